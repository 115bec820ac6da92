"""Locks on names that processes share, on one host or over a network file system."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

_SET_LOCK: Final = 37
"""F_OFD_SETLK (fcntl(2)): a lock of the open file, so that two threads of one process keep each other out too."""
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""


class LockBusy(Exception):
    """Somebody else holds the lock now."""


def hold(fd: int) -> None:
    """Lock a whole file for who has opened it with `fd`, until that is closed. Never waits: raises LockBusy."""
    _lock(fd, 0, 0)


def _lock(fd: int, offset: int, length: int) -> None:
    """Lock bytes of a file; length 0: all from `offset` on."""
    try:
        fcntl.fcntl(fd, _SET_LOCK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0))
    except (BlockingIOError, PermissionError):  # POSIX lets fcntl say either
        raise LockBusy from None


@contextmanager
def name_lock(path: str, name: str) -> Iterator[None]:
    """Hold the lock of `name`, one byte of the file at `path` that stands for it. Never waits: raises LockBusy.

    The kernel releases it when the process dies. A process that is stopped keeps it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        offset = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 2
        _lock(fd, offset, 1)
        yield
    finally:
        os.close(fd)
