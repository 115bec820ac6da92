"""Writing many small buffers to a file in few system calls, and leaving out the zeros among them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from errno import EIO
from typing import Final

from imgsvc.store_model import Buffer

UNIT: Final = 64 * 1024
"""Bytes, aligned in the file, that become a hole when all of them are zero: the chunk of Glance's file store."""
_ZEROS: Final = bytes(UNIT)
_MOST_BUFFERS: Final = os.sysconf("SC_IOV_MAX")


def write_all(fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
    """Write all bytes of `pieces` at `offset`, in as many calls as it takes. The offset after them. Raises OSError."""
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


def write_sparse(fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
    """As `write_all`, but leave out stretches of zeros. The file must be truncated to its size in the end."""
    for start, run in runs_of_data(offset, pieces):
        write_all(fd, start, run)
    return offset + sum(map(len, pieces))


def runs_of_data(offset: int, pieces: Sequence[Buffer]) -> Iterator[tuple[int, list[Buffer]]]:
    """What is left of `pieces`, as offsets and buffers, without those that are zero throughout an aligned unit."""
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
