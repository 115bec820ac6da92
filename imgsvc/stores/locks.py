"""File locks that processes share, on one host or over a network file system."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

_SET_LOCK: Final = 37
"""F_OFD_SETLK (fcntl(2)): a lock of the open file description, which also excludes other threads of the process."""
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""


class LockBusy(Exception):
    """Another process or thread holds the lock."""


def hold(fd: int) -> None:
    """Lock a whole file until `fd` is closed. Never waits: raises LockBusy."""
    _lock(fd, 0, 0)


def _lock(fd: int, offset: int, length: int) -> None:
    """Lock bytes of a file. length: bytes; 0: all from `offset` on."""
    try:
        fcntl.fcntl(fd, _SET_LOCK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0))
    except (BlockingIOError, PermissionError):  # POSIX allows either error
        raise LockBusy from None


@contextmanager
def name_lock(path: str, name: str) -> Iterator[None]:
    """Hold the lock of `name`: a byte of the file at `path`, chosen by a hash. Never waits: raises LockBusy.

    The kernel releases the lock when the process dies. A process that is stopped (SIGSTOP) keeps it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        offset = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 2
        _lock(fd, offset, 1)
        yield
    finally:
        os.close(fd)
