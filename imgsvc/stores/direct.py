"""Writes to files past the page cache (O_DIRECT, see open(2)).

The kernel then copies nothing and keeps nothing, and little is left to flush at the end of an upload. The price is that
the first download reads the disk.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from errno import EINVAL, EOPNOTSUPP
from fcntl import F_GETFL, F_SETFL, fcntl
from threading import local
from typing import Final

from imgsvc.logger import make_logger
from imgsvc.store_model import Buffer
from imgsvc.stores.pieces import write_all

log = make_logger()

UNIT: Final = 4096
"""Direct writes begin and end at multiples of this, in the file and in memory. No disk has larger blocks."""
BUFFER: Final = 1 << 20
"""Bytes of one direct write. Each thread that writes keeps an aligned buffer of this size."""
SMALLEST: Final = 256 << 10
"""Fewer bytes are not worth the wait for the disk."""
_REFUSED: Final = frozenset({EINVAL, EOPNOTSUPP})
"""Errors of a file system that cannot write directly, or not in these units."""


class DirectWrites:
    """Direct writes to the files of one store, from any number of threads.

    works: whether the file system has not refused them yet.
    """

    def __init__(self, store_id: str) -> None:
        self.works = True
        self._store_id = store_id
        self._of_thread = local()

    def write(self, fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
        """Do as `write_all`. The whole units within these bytes are written directly, and the rest through the cache.

        No other call may write to the same file description at the same time.
        """
        total = sum(map(len, pieces))
        first = -offset % UNIT
        whole = (total - first) // UNIT * UNIT
        if whole < SMALLEST or not self.works:
            return write_all(fd, offset, pieces)
        head, rest = split(pieces, first)
        offset = write_all(fd, offset, head)
        units, tail = split(rest, whole)
        written = self._write_units(fd, offset, units)
        _, left = split(units, written)
        return write_all(fd, offset + written, [*left, *tail])

    def _write_units(self, fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
        """Write units at a multiple of UNIT. Returns how many bytes the file system has taken directly."""
        flags, written = fcntl(fd, F_GETFL), 0
        try:
            fcntl(fd, F_SETFL, flags | os.O_DIRECT)
            for filled in fill(self._buffer(), pieces):
                count = os.pwrite(fd, filled, offset + written)
                written += count
                if count < len(filled):
                    break
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self._give_up()
        finally:
            fcntl(fd, F_SETFL, flags)
        return written

    def _buffer(self) -> memoryview:
        try:
            return self._of_thread.buffer  # type: ignore[no-any-return]
        except AttributeError:
            self._of_thread.buffer = memoryview(mmap.mmap(-1, BUFFER))
            return self._of_thread.buffer  # type: ignore[no-any-return]

    def _give_up(self) -> None:
        if self.works:
            log.warn(
                "Store {store}: its file system has no direct writes; it is written as without", store=self._store_id
            )
        self.works = False


def split(pieces: Sequence[Buffer], at: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `at` bytes of the pieces, and the others. Copies nothing."""
    before: list[memoryview] = []
    after: list[memoryview] = []
    for piece in pieces:
        view = memoryview(piece).cast("B")
        if at:
            before.append(view[:at])
        if at < len(view):
            after.append(view[at:])
        at = max(0, at - len(view))
    return before, after


def fill(buffer: memoryview, pieces: Sequence[Buffer]) -> Iterator[memoryview]:
    """Copy the pieces into the buffer, and yield its filled part each time that it is full, and at the end."""
    filled = 0
    for piece in pieces:
        rest = memoryview(piece).cast("B")
        while rest:
            size = min(len(rest), len(buffer) - filled)
            buffer[filled : filled + size] = rest[:size]
            rest = rest[size:]
            filled += size
            if filled == len(buffer):
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]
