"""The files of a file store: how their names, links and locks represent the state of objects.

    ID                  the object, in the layout of Glance's file store
    .ID.UPLOAD.part     the bytes of an upload. Between commit and finalize it is a second link to the object: the
                        same inode shows that the object is that upload's
    .imgsvc-left-over/  objects that were set aside, see `objects.py`
    .imgsvc-lock        the mark: it names the owner of the folder, see `mark.py`. One byte of it is locked while the
                        links of one name are compared and changed

All functions block, so they are called in threads. They raise OSError; those that need the mark also raise NotMarked.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Final
from uuid import uuid4

from attrs import field, frozen

from imgsvc.errors import Invalid
from imgsvc.folders import PRIVATE, Folders, sync
from imgsvc.model import StoreUsage, UnfinishedObject
from imgsvc.page_cache import READ_ONLY
from imgsvc.stores.locks import LockBusy, hold, name_lock
from imgsvc.stores.mark import MarkFile

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UPLOAD: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_MARK: Final = ".imgsvc-lock"
_PART: Final = re.compile(rf"\.({_NAME.pattern})\.({_UPLOAD.pattern})\.part")


class NameTaken(Exception):
    """The name has an object that may not be replaced."""


class UploadDiscarded(Exception):
    """Another process has removed the bytes of this upload."""


class WriterAtWork(Exception):
    """Another writer of the upload holds the lock of its file, and may still write."""


@frozen
class Folder:
    """A folder. path: absolute. durable: whether changes of names are flushed to the disk before a function returns."""

    path: str
    durable: bool
    mark: MarkFile = field(init=False)

    @mark.default
    def _make_mark(self) -> MarkFile:
        return MarkFile(f"{self.path}/{_MARK}")

    def final(self, name: str) -> str:
        """Return the path of an object. Raises Invalid for a name that no object can have."""
        if not is_name(name):
            raise Invalid(f"{name!r} cannot be the name of an object.")
        return f"{self.path}/{name}"

    def part(self, name: str, lease_id: str) -> str:
        """Return the path of the file of an upload. Raises Invalid for names that no object or upload can have."""
        if not is_name(name) or not _UPLOAD.fullmatch(lease_id):
            raise Invalid(f"{name!r}, {lease_id!r} cannot be the names of an object and an upload.")
        return f"{self.path}/.{name}.{lease_id}.part"

    def prepare(self) -> None:
        """Check that files can be created, linked and locked in the folder."""
        with self.locked(""):
            pass
        probe = f"{self.path}/.imgsvc-probe-{uuid4()}"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            os.link(probe, f"{probe}-link")
            os.unlink(f"{probe}-link")
        finally:
            os.unlink(probe)
        self._sync()

    def make(self, folders: Folders, file_mode: int) -> None:
        """Create the folder and its parents.

        file_mode: permissions of the files. Users who may read the files may enter the folder. 0: the umask decides
        about both.
        """
        folders.make(Path(self.path), file_mode and PRIVATE | _entry(file_mode), self.durable)

    def names(self) -> set[str]:
        """Return the names of all objects and of all uploads. Needs no mark; returns nothing if there is no folder."""
        try:
            with os.scandir(self.path) as entries:
                return {name for entry in entries if (name := _object_of(entry)) is not None}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def begin(self, name: str, lease_id: str, file_mode: int) -> int:
        """Create and lock the file of an upload. Returns its descriptor, for writing.

        file_mode: permissions that the finished file will have; until then only the owner has access. 0: the umask
        decides, at once.
        The file stays locked until the descriptor is closed.
        """
        path = self.part(name, lease_id)
        self.mark.check()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if file_mode else 0o666)
        with _closed_on_failure(fd):
            hold(fd)
        return fd

    def resume(self, name: str, lease_id: str) -> tuple[int, int]:
        """Open and lock the file of an interrupted upload. Returns its descriptor and its bytes, which are durable.

        Raises FileNotFoundError; NameTaken if the upload is committed; WriterAtWork; LockBusy.
        """
        part, final = self.part(name, lease_id), self.final(name)
        with self.locked(name):
            fd = os.open(part, os.O_WRONLY | os.O_CLOEXEC)
            with _closed_on_failure(fd):
                if os.fstat(fd).st_ino == _inode(final):
                    raise NameTaken(name)
                try:
                    hold(fd)
                except LockBusy:
                    raise WriterAtWork(lease_id) from None
        with _closed_on_failure(fd):
            if self.durable:
                os.fsync(fd)
            return fd, os.fstat(fd).st_size

    def publish(self, name: str, lease_id: str) -> None:
        """Link the file of an upload to its final name, durably.

        Replaces the object of an earlier upload that was never finalized. Raises NameTaken, UploadDiscarded, LockBusy.
        """
        part, final = self.part(name, lease_id), self.final(name)
        with self.locked(name):
            inode = _inode(part)
            if inode is None:
                raise UploadDiscarded(lease_id)
            there = _inode(final)
            if there is not None and there != inode:
                if there not in self._earlier(name, lease_id):
                    raise NameTaken(name)
                os.unlink(final)
            if there != inode:
                os.link(part, final)
        self._sync()

    def discard(self, name: str, lease_id: str) -> None:
        """Remove the files of an upload, and no file of another upload. Raises LockBusy."""
        part, final = self.part(name, lease_id), self.final(name)
        with self.locked(name):
            inode = _inode(part)
            if inode is None:
                return
            if inode == _inode(final):
                os.unlink(final)
                self._sync()  # so that no power failure restores the object without the link that names its upload
            os.unlink(part)

    def finalize(self, name: str, lease_id: str) -> None:
        """Remove the second link of a committed upload."""
        self.mark.check()
        Path(self.part(name, lease_id)).unlink(missing_ok=True)

    def open(self, name: str) -> tuple[int, int]:
        """Open an object for reading. Returns its descriptor and its size in bytes."""
        self.mark.check()
        fd = os.open(self.final(name), READ_ONLY)
        with _closed_on_failure(fd):
            return fd, os.fstat(fd).st_size

    def size(self, name: str) -> int:
        """Return the size of an object in bytes."""
        self.mark.check()
        return os.stat(self.final(name)).st_size

    def delete(self, name: str) -> None:
        """Delete an object, durably."""
        self.mark.check()
        os.unlink(self.final(name))
        self._sync()

    def unfinished(self) -> list[UnfinishedObject]:
        """Return the uploads that were neither finalized nor discarded, sorted by name and upload."""
        self.mark.check()
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if _PART.fullmatch(entry.name)]
        found = (_PART.fullmatch(name) for name in sorted(names))
        return [UnfinishedObject(match[1], match[2]) for match in found if match]

    def usage(self) -> StoreUsage:
        """Return the bytes of the file system, and those free for unprivileged users; None if they are unknown."""
        self.mark.check()
        figures = os.statvfs(self.path)
        if figures.f_blocks == 0:  # a tmpfs without a limit, and some file systems in user space
            return StoreUsage(None, None)
        return StoreUsage(figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize)

    def check_room(self, size: int, min_free: int) -> None:
        """Raise OSError with ENOSPC if `size` more bytes would leave less than `min_free` bytes free."""
        free = self.usage().free
        if free is not None and size + min_free > free:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def _earlier(self, name: str, lease_id: str) -> Iterator[int | None]:
        """Yield the inodes of the files of earlier uploads of the same image."""
        for other in self.unfinished():
            if other.name == name and other.lease_id < lease_id:
                yield _inode(self.part(name, other.lease_id))

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Lock a name, so that no other process changes its files. Raises LockBusy."""
        self.mark.check()
        return name_lock(self.mark.path, name)

    def _sync(self) -> None:
        if self.durable:
            sync(self.path)


@contextmanager
def _closed_on_failure(fd: int) -> Iterator[None]:
    """Close the descriptor if the block raises."""
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _object_of(entry: os.DirEntry[str]) -> str | None:
    """Return the name of the object that a file of the folder belongs to; None if it belongs to none."""
    if not entry.is_file(follow_symlinks=True):
        return None
    if is_name(entry.name):
        return entry.name
    part = _PART.fullmatch(entry.name)
    return None if part is None else part[1]


def is_name(name: str) -> bool:
    """Whether an object may have that name."""
    return _NAME.fullmatch(name) is not None


def _inode(path: str) -> int | None:
    """Return the inode number of a file; None if there is no file."""
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def share_folder(path: str, file_mode: int) -> None:
    """Let users who may read the files enter the folder, as Glance's file store does for file_perm."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode | _entry(file_mode) != mode:
        os.chmod(path, mode | _entry(file_mode))


def _entry(file_mode: int) -> int:
    """Return the permissions to enter a folder, for those of group and others who may read its files."""
    return (file_mode & (stat.S_IRGRP | stat.S_IROTH)) >> 2
