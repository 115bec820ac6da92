"""Reserves space on the catalogue's disk, so that deletions work when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from imgsvc.logger import make_logger

__all__ = ["RESERVED", "Reserve"]

log = make_logger()

RESERVED: Final = 8 << 20
"""Bytes: twice the size at which SQLite restarts its write-ahead log."""
PLENTY: Final = 4
"""The reserve is allocated if this many times its size is free."""


class Reserve:
    """A file without data beside an SQLite file. It is truncated to make room for deletions on a full disk.

    Several processes share it. Its methods block, so they are called in threads.
    """

    def __init__(self, database: Path, size: int = RESERVED) -> None:
        """database: the SQLite file. size: bytes."""
        self._path = database.with_name(f"{database.name}-reserve")
        self._size = size
        self._wanted = True

    def fill(self) -> None:
        """Allocate the file, if it is not allocated and there is plenty of space. Cheap if there is nothing to do."""
        if not self._wanted:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._wanted = False
            log.warn("{path} cannot be created: {reason}", path=self._path, reason=error.strerror)
            return
        try:
            if os.fstat(descriptor).st_size < self._size:
                if _free(self._path) < PLENTY * self._size:
                    return
                os.posix_fallocate(descriptor, 0, self._size)
            self._wanted = False
        except OSError:  # the disk has become full meanwhile: the next call tries again
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def give_up(self) -> None:
        """Free the space if the disk is full. `fill` allocates it again when there is plenty of space."""
        with suppress(OSError):
            if _free(self._path) < self._size:
                os.truncate(self._path, 0)
                self._wanted = True
                log.warn("The disk of the catalogue is full: deletions use the space that was reserved for them.")


def _free(path: Path) -> int:
    figures = os.statvfs(path.parent)
    return figures.f_bavail * figures.f_frsize
