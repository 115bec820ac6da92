"""Space kept on the catalogue's disk, so that deletes work when it is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from imgsvc.logger import make_logger

__all__ = ["RESERVED", "Reserve"]

log = make_logger()

RESERVED: Final = 8 << 20
"""Bytes: twice what SQLite's log grows to before it begins anew."""
PLENTY: Final = 4
"""The reserve is made when so many times its size are free."""


class Reserve:
    """A file beside an SQLite file that holds nothing: given up, it lets deletes be written to a full disk.

    Several processes share it. Functions block, and belong into a thread.
    """

    def __init__(self, database: Path, size: int = RESERVED) -> None:
        """database: the SQLite file. size: bytes."""
        self._path = database.with_name(f"{database.name}-reserve")
        self._size = size
        self._wanted = True

    def fill(self) -> None:
        """Take the room, if it is not taken and there is plenty. Cheap when there is nothing to do."""
        if not self._wanted:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._wanted = False
            log.warn("{path} cannot be made: {reason}", path=self._path, reason=error.strerror)
            return
        try:
            if os.fstat(descriptor).st_size < self._size:
                if _free(self._path) < PLENTY * self._size:
                    return
                os.posix_fallocate(descriptor, 0, self._size)
            self._wanted = False
        except OSError:  # the disk was filled meanwhile: the next call tries again
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def give_up(self) -> None:
        """Give the room back to the disk if that is full. `fill` takes it again when there is plenty."""
        with suppress(OSError):
            if _free(self._path) < self._size:
                os.truncate(self._path, 0)
                self._wanted = True
                log.warn("The disk of the catalogue is full: what was kept free for deletes is given to them.")


def _free(path: Path) -> int:
    figures = os.statvfs(path.parent)
    return figures.f_bavail * figures.f_frsize
