"""The mark on a medium, which names the store and the catalogue that the medium belongs to, and its file in a folder.

All methods of `MarkFile` block, so they are called in threads. They raise OSError.
"""

from __future__ import annotations

import json
import os
from errno import ENOENT, ENOTDIR
from typing import Final
from uuid import uuid4

from attrs import define, field, frozen

from imgsvc.folders import sync
from imgsvc.page_cache import READ_ONLY
from imgsvc.stores.locks import name_lock

_ABSENT: Final = frozenset({ENOENT, ENOTDIR})
_LONGEST: Final = 4096
"""Bytes of the file that are read."""


class NotMarked(Exception):
    """The medium does not have the right mark. str(): what was found instead."""


@frozen
class Mark:
    """The owner of a medium."""

    catalogue_id: str
    store_id: str

    def encode(self) -> bytes:
        """Return the content of the file: JSON, so that people can read it too."""
        return json.dumps({"catalogue": self.catalogue_id, "store": self.store_id}).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Mark | None:
        """Return the mark in the content of a file; None if it has none."""
        try:
            document = json.loads(data)
            mark = cls(document["catalogue"], document["store"])
        except (ValueError, KeyError, TypeError):
            return None
        return mark if isinstance(mark.catalogue_id, str) and isinstance(mark.store_id, str) else None


def describe(data: bytes | None) -> str:
    """Describe the content of a mark in words. data: content of the file; None: there is none."""
    if data is None:
        return "has no mark"
    if not data:
        return "has a mark that names no catalogue"
    mark = Mark.decode(data)
    if mark is None:
        return "has a mark that cannot be read"
    return f"has the mark of store {mark.store_id} of catalogue {mark.catalogue_id}"


def fault_of(data: bytes | None, catalogue_id: str | None, store_id: str, object_count: int) -> str | None:
    """Return the reason for which a store with this mark is away; None if the mark gives no reason.

    data: content of the file; None: there is none. catalogue_id: None: the catalogue has no id yet. object_count:
    number of objects that must be on the medium.
    """
    if data is None:
        return f"{describe(data)}, and {object_count} objects must be there" if object_count else None
    if data and (catalogue_id is None or Mark.decode(data) != Mark(catalogue_id, store_id)):
        return describe(data)
    return None


@define(eq=False)
class MarkFile:
    """The mark of a folder, in the file `path`. own: the right mark; None: not known yet.

    The bytes of this file also serve as locks, so the file is never replaced by another one.
    """

    path: str
    own: Mark | None = None
    _right: tuple[int, ...] = field(default=(), init=False)
    """Device, inode, size and time of change of the file when the right mark was read from it."""

    def check(self) -> None:
        """Raise NotMarked unless the folder has the right mark. Reads the file only if it may have changed."""
        try:
            status = os.stat(self.path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._right:
                return
            data = self.read()
        except OSError as error:
            if error.errno in _ABSENT:
                raise NotMarked(describe(None)) from None
            raise NotMarked(f"has a mark that cannot be read: {os.strerror(error.errno or 0)}") from None
        if data is None or self.own is None or Mark.decode(data) != self.own:
            raise NotMarked(describe(data))
        self._right = seen

    def read(self) -> bytes | None:
        """Return the content of the file; None if there is no file. Old versions of the server wrote an empty file."""
        try:
            fd = os.open(self.path, READ_ONLY)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        try:
            return os.read(fd, _LONGEST)
        finally:
            os.close(fd)

    def write(self, before: bytes | None) -> bool:
        """Write the right mark, durably, if the content of the file is still `before`. Returns whether it was written.

        Only one of several processes, also on several hosts, succeeds. Raises LockBusy.
        """
        assert self.own is not None
        data = self.own.encode()
        return self._create(data) if before is None else self._change(before, data)

    def _create(self, data: bytes) -> bool:
        # link(2) makes the complete file appear at once, and fails if there is a file already.
        draft = f"{self.path}-{uuid4()}"
        try:
            _put(draft, data, os.O_CREAT | os.O_EXCL)
            os.link(draft, self.path)
        except FileExistsError:
            return False
        finally:
            if os.path.exists(draft):
                os.unlink(draft)
        sync(os.path.dirname(self.path))
        return True

    def _change(self, before: bytes, data: bytes) -> bool:
        with name_lock(self.path, ""):
            if self.read() != before:
                return False
            _put(self.path, data)
        return True


def _put(path: str, data: bytes, flags: int = 0) -> None:
    """Replace the content of a file, and flush it to the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)
