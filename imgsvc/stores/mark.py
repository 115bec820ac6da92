"""The mark on a medium: which store of which catalogue it belongs to. And where a folder keeps it.

Every function of `MarkFile` blocks, belongs into a thread, and raises OSError.
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
"""Bytes of a file that are looked at."""


class NotMarked(Exception):
    """The medium does not have the mark that it must have. str(): what is there instead."""


@frozen
class Mark:
    """Whose a medium is."""

    catalogue_id: str
    store_id: str

    def encode(self) -> bytes:
        """As it is kept: JSON, for people too."""
        return json.dumps({"catalogue": self.catalogue_id, "store": self.store_id}).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Mark | None:
        """Of what `encode` gave; None for anything else."""
        try:
            document = json.loads(data)
            mark = cls(document["catalogue"], document["store"])
        except (ValueError, KeyError, TypeError):
            return None
        return mark if isinstance(mark.catalogue_id, str) and isinstance(mark.store_id, str) else None


def describe(data: bytes | None) -> str:
    """What a mark says, in words. None: there is none."""
    if data is None:
        return "has no mark"
    if not data:
        return "has a mark that names no catalogue"
    mark = Mark.decode(data)
    if mark is None:
        return "has a mark that cannot be read"
    return f"has the mark of store {mark.store_id} of catalogue {mark.catalogue_id}"


def fault_of(data: bytes | None, catalogue_id: str | None, store_id: str, object_count: int) -> str | None:
    """Why a store is away whose medium has this mark; None: it is not, as far as the mark tells.

    catalogue_id: None as long as the catalogue has none. object_count: objects that must be on the medium.
    """
    if data is None:
        return f"{describe(data)}, and {object_count} objects must be there" if object_count else None
    if data and (catalogue_id is None or Mark.decode(data) != Mark(catalogue_id, store_id)):
        return describe(data)
    return None


@define(eq=False)
class MarkFile:
    """The mark of a folder, in the file `path`. own: the mark that it must have; None: not known yet.

    The file is also the one whose bytes are locked, so it is never replaced by another file.
    """

    path: str
    own: Mark | None = None
    _right: tuple[int, ...] = field(default=(), init=False)
    """What told the file from all others when the right mark was read from it."""

    def check(self) -> None:
        """Raises NotMarked unless the folder has the right mark. Reads the file only if it may have changed."""
        try:
            status = os.stat(self.path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._right:
                return
            data = self.read()
        except OSError as error:
            if error.errno in _ABSENT:
                raise NotMarked(describe(None)) from None
            raise NotMarked(f"does not show its mark: {os.strerror(error.errno or 0)}") from None
        if data is None or self.own is None or Mark.decode(data) != self.own:
            raise NotMarked(describe(data))
        self._right = seen

    def read(self) -> bytes | None:
        """What it says; nothing is in those of versions that knew no catalogue. None: there is no mark."""
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
        """Make it the right mark, durably, if it still says `before`. Whether it did. Raises LockBusy.

        Of any number of processes on any number of hosts one succeeds.
        """
        assert self.own is not None
        data = self.own.encode()
        return self._create(data) if before is None else self._change(before, data)

    def _create(self, data: bytes) -> bool:
        # The link makes the file appear as a whole, and only where there is none.
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
    """Make this the content of a file, on the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)
