"""Objects in a folder: how their names, links and locks stand for what has happened to them.

    ID                  the object, in the layout of Glance's file store
    .ID.UPLOAD.part     what an upload has written. Another link to the object itself once that is committed, until it
                        is finalized: the same inode tells whose object it is
    .imgsvc-left-over/  what was taken out of the store, see `objects.py`
    .imgsvc-lock        the mark: says whose the folder is, see `mark.py`. A byte of it is locked while links of one
                        name are compared and changed

Every function blocks, belongs into a thread, and raises OSError; those that need the mark also NotMarked.
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
    """The name has an object that is not a stale one."""


class UploadDiscarded(Exception):
    """Another process removed what this upload had written."""


class WriterAtWork(Exception):
    """A writer holds the lock of what its upload has written: it may write more."""


@frozen
class Folder:
    """The folder `path`, absolute. durable: changes of names reach the disk before a function returns."""

    path: str
    durable: bool
    mark: MarkFile = field(init=False)

    @mark.default
    def _make_mark(self) -> MarkFile:
        return MarkFile(f"{self.path}/{_MARK}")

    def final(self, name: str) -> str:
        """The path of an object. Raises Invalid for a name that cannot be one."""
        if not is_name(name):
            raise Invalid(f"{name!r} cannot be the name of an object.")
        return f"{self.path}/{name}"

    def part(self, name: str, lease_id: str) -> str:
        """The path of what an upload writes. Raises Invalid for a name that cannot be one."""
        if not is_name(name) or not _UPLOAD.fullmatch(lease_id):
            raise Invalid(f"{name!r}, {lease_id!r} cannot be the names of an object and an upload.")
        return f"{self.path}/.{name}.{lease_id}.part"

    def prepare(self) -> None:
        """Prove that files can be made, linked and locked in the folder."""
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
        """Make the folder, with all that is above it.

        file_mode: permissions of the files; who may read these may enter the folder. 0: what the umask leaves, of both.
        """
        folders.make(Path(self.path), file_mode and PRIVATE | _entry(file_mode), self.durable)

    def names(self) -> set[str]:
        """Those of all objects, and of all that uploads have begun. No mark is needed; no folder is one without any."""
        try:
            with os.scandir(self.path) as entries:
                return {name for entry in entries if (name := _object_of(entry)) is not None}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def begin(self, name: str, lease_id: str, file_mode: int) -> int:
        """Make the file of an upload, for nobody else as long as it is not whole. Its descriptor, for writing.

        file_mode: permissions that it will have; 0: what the umask leaves, at once.
        The file is locked until the descriptor is closed.
        """
        path = self.part(name, lease_id)
        self.mark.check()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if file_mode else 0o666)
        with _closed_on_failure(fd):
            hold(fd)
        return fd

    def resume(self, name: str, lease_id: str) -> tuple[int, int]:
        """Open the file of an interrupted upload again. Its descriptor, as of `begin`, and its bytes, durable.

        Raises FileNotFoundError; NameTaken if it is committed, WriterAtWork, LockBusy.
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
        """Give what an upload has written its final name, durably.

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
        """Remove what an upload has left, and nothing of any other. Raises LockBusy."""
        part, final = self.part(name, lease_id), self.final(name)
        with self.locked(name):
            inode = _inode(part)
            if inode is None:
                return
            if inode == _inode(final):
                os.unlink(final)
                self._sync()  # else a power failure might bring back the object without the link that tells whose it is
            os.unlink(part)

    def finalize(self, name: str, lease_id: str) -> None:
        """Remove the link that tells whose the object is."""
        self.mark.check()
        Path(self.part(name, lease_id)).unlink(missing_ok=True)

    def open(self, name: str) -> tuple[int, int]:
        """Open an object for reading. Its descriptor and its size."""
        self.mark.check()
        fd = os.open(self.final(name), READ_ONLY)
        with _closed_on_failure(fd):
            return fd, os.fstat(fd).st_size

    def size(self, name: str) -> int:
        """Bytes of an object."""
        self.mark.check()
        return os.stat(self.final(name)).st_size

    def delete(self, name: str) -> None:
        """Remove an object, durably."""
        self.mark.check()
        os.unlink(self.final(name))
        self._sync()

    def unfinished(self) -> list[UnfinishedObject]:
        """What uploads have begun and neither finalized nor discarded, in the order of names and uploads."""
        self.mark.check()
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if _PART.fullmatch(entry.name)]
        found = (_PART.fullmatch(name) for name in sorted(names))
        return [UnfinishedObject(match[1], match[2]) for match in found if match]

    def usage(self) -> StoreUsage:
        """Bytes of the file system, and those of them that are left for ordinary users; None where it does not tell."""
        self.mark.check()
        figures = os.statvfs(self.path)
        if figures.f_blocks == 0:  # a tmpfs without limit, and what some file systems in user space say
            return StoreUsage(None, None)
        return StoreUsage(figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize)

    def check_room(self, size: int, min_free: int) -> None:
        """That so many more bytes leave `min_free` of the file system. Raises OSError, with ENOSPC if not."""
        free = self.usage().free
        if free is not None and size + min_free > free:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def _earlier(self, name: str, lease_id: str) -> Iterator[int | None]:
        """The inodes of what earlier uploads of the same image have left."""
        for other in self.unfinished():
            if other.name == name and other.lease_id < lease_id:
                yield _inode(self.part(name, other.lease_id))

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Keep other processes from changing what has this name. Raises LockBusy."""
        self.mark.check()
        return name_lock(self.mark.path, name)

    def _sync(self) -> None:
        if self.durable:
            sync(self.path)


@contextmanager
def _closed_on_failure(fd: int) -> Iterator[None]:
    """Close a descriptor if what is done with it raises."""
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _object_of(entry: os.DirEntry[str]) -> str | None:
    """The object that an entry of the folder belongs to; None for what is no object's."""
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
    """The number of a file, None if there is none."""
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def share_folder(path: str, file_mode: int) -> None:
    """Let those enter the folder who may read its files, as Glance's file store does for file_perm."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode | _entry(file_mode) != mode:
        os.chmod(path, mode | _entry(file_mode))


def _entry(file_mode: int) -> int:
    """The permissions of a folder that let those enter who may read its files, group and others."""
    return (file_mode & (stat.S_IRGRP | stat.S_IROTH)) >> 2
