"""Writes many small buffers to a file in few system calls, copies from file to file, and leaves holes for zeros."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from errno import EINVAL, EIO, ENOSYS, ENXIO, EOPNOTSUPP, EXDEV
from typing import Final

from imgsvc.store_model import Buffer

Write = Callable[[int, int, Sequence[Buffer]], int]
"""Writes all bytes of some buffers to a file. Takes a descriptor, the offset, and the buffers; see `write_all`."""

UNIT: Final = 64 * 1024
"""Bytes of an aligned unit, which becomes a hole if all its bytes are zero: a chunk of Glance's file store."""
_ZEROS: Final = bytes(UNIT)
_NOT_BETWEEN: Final = frozenset({EINVAL, ENOSYS, EOPNOTSUPP, EXDEV})
"""Errors of the kernel when it cannot copy between two files."""
_MOST_BUFFERS: Final = os.sysconf("SC_IOV_MAX")


def write_all(fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
    """Write all bytes of `pieces` at `offset`. Returns the offset after them. Raises OSError."""
    left = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    first = 0
    while first < len(left):
        count = os.pwritev(fd, left[first : first + _MOST_BUFFERS], offset)
        if count == 0:
            raise OSError(EIO, "a write wrote nothing")
        offset += count
        while first < len(left) and count >= len(left[first]):
            count -= len(left[first])
            first += 1
        if count:
            left[first] = left[first][count:]
    return offset


def write_sparse(fd: int, offset: int, pieces: Sequence[Buffer], write: Write = write_all) -> int:
    """Do as `write`, but leave holes for zeros. The caller must set the size of the file in the end."""
    for start, run in runs_of_data(offset, pieces):
        write(fd, start, run)
    return offset + sum(map(len, pieces))


def copy_all(source: int, start: int, length: int, fd: int, offset: int) -> int:
    """Let the kernel copy bytes of one file to another. Returns the offset after the copied bytes. Raises OSError.

    source, start, length: descriptor, offset and number of the bytes. fd, offset: where they are written.
    Copies fewer bytes if the source ends early, and none if the kernel cannot copy between these files.
    """
    stop = start + length
    while start < stop:
        try:
            count = os.copy_file_range(source, fd, stop - start, start, offset)
        except OSError as error:
            if error.errno in _NOT_BETWEEN:
                break
            raise
        if count == 0:
            break
        start += count
        offset += count
    return offset


def copy_sparse(source: int, start: int, length: int, fd: int, offset: int) -> int:
    """Do as `copy_all`, but leave holes for holes. The caller must set the size of the file in the end."""
    shift, stop = offset - start, start + length
    while start < stop:
        data, hole = _next_data(source, start, stop)
        end = copy_all(source, data, hole - data, fd, data + shift)
        if end < hole + shift:
            return end if end > data + shift else start + shift
        start = hole
    return stop + shift


def _next_data(fd: int, start: int, stop: int) -> tuple[int, int]:
    """Return the start and the end of the next bytes outside holes; twice `stop` if there are none before it."""
    try:
        data = min(os.lseek(fd, start, os.SEEK_DATA), stop)
    except OSError as error:
        if error.errno != ENXIO:
            raise
        return stop, stop
    return data, min(os.lseek(fd, data, os.SEEK_HOLE), stop) if data < stop else stop


def runs_of_data(offset: int, pieces: Sequence[Buffer]) -> Iterator[tuple[int, list[Buffer]]]:
    """Yield offsets and buffers of `pieces`, without aligned units that are all zeros."""
    run: list[Buffer] = []
    start = offset
    for piece in pieces:
        rest = memoryview(piece).cast("B")
        while rest:
            size = min(len(rest), UNIT - offset % UNIT)
            part, rest = rest[:size], rest[size:]
            offset += size
            if not _ZEROS.startswith(part):
                run.append(part)
                continue
            if run:
                yield start, run
            run, start = [], offset
    if run:
        yield start, run
