"""Opens and reads files that Linux has in memory, without waiting for a disk, on the reactor's thread.

When a function here answers no, its caller does the same in a thread. On a kernel or file system that lacks a call, the
answer is always no.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Final

# The same numbers on every architecture.
_OPENAT2: Final = 437
"""openat2(2), since Linux 5.6."""
_CACHESTAT: Final = 451
"""cachestat(2), since Linux 6.5. Takes a twentieth of the time of mincore(2)."""
_AT_FDCWD: Final = -100
_RESOLVE_CACHED: Final = 0x20
"""Since Linux 5.12: fail with EAGAIN instead of waiting until a directory is read."""
_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_PAGE: Final = mmap.PAGESIZE
_IN_CORE: Final = bytes(range(1, 256, 2))
"""All byte values of mincore(2) whose lowest bit is set, which means that the page is in memory."""

_LOCAL_FILE_SYSTEMS: Final = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs"})
"""File systems that open and read a file without another machine or process, if its name and pages are in memory."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _CacheRange(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _CacheCounts(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


# PyDLL keeps the interpreter lock, because these calls take microseconds, and getting the lock back from a busy thread
# can take milliseconds.
_libc: Final = ctypes.PyDLL(None, use_errno=True)
_syscall: Final = _libc.syscall
_syscall.restype = ctypes.c_long
_mmap: Final = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_munmap: Final = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_mincore: Final = _libc.mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)

READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Flags to open a file that others may have placed there. Without O_NONBLOCK, opening a FIFO waits for its writer."""

_open_how: Final = _OpenHow(READ_ONLY, 0, _RESOLVE_CACHED)
_open_arguments: Final = (
    ctypes.c_long(_OPENAT2),
    ctypes.c_long(_AT_FDCWD),
    ctypes.byref(_open_how),
    ctypes.c_size_t(ctypes.sizeof(_open_how)),
)


def open_cached(path: str) -> int | None:
    """Open a file for reading if the kernel has every part of `path` in memory.

    Returns the descriptor, which the caller closes. Returns None if a disk has to be read, and after every failure;
    open(2) in a thread then finds the reason.
    """
    number, folder, how, size = _open_arguments
    fd: int = _syscall(number, folder, os.fsencode(path), how, size)
    return fd if fd >= 0 else None


def resident(fd: int, offset: int, length: int) -> bool:
    """Whether all these bytes of an open file are in the page cache, so that sendfile(2) does not wait for a disk.

    False also for a file of another user, unless this process is root. Since Linux 5.2 mincore(2) reports all pages of
    such a file as in memory, and cachestat(2) may refuse, to prevent spying on the page cache.
    """
    if length <= 0:
        return True
    last = offset + length - 1
    cached = cached_pages(fd, offset, length)
    if cached is None:
        return in_core(fd, offset, length)
    if cached <= last // _PAGE - offset // _PAGE:
        return False
    # Pages that are just being read from the disk count too. When a file is read in order, they are the last ones, so
    # check the last byte. A page that is being read elsewhere is not noticed, and costs the wait for a single read.
    try:
        return os.preadv(fd, [_byte], last, os.RWF_NOWAIT) == 1
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP and in_core(fd, offset, length)


def cached_pages(fd: int, offset: int, length: int) -> int | None:
    """The number of pages of these bytes that the page cache has or is reading; None if cachestat(2) fails."""
    asked, counts = _CacheRange(offset, length), _CacheCounts()
    if _syscall(_CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(counts), 0):
        return None
    return int(counts.cached)


def in_core(fd: int, offset: int, length: int) -> bool:
    """As `resident`, for each page, with mincore(2)."""
    if os.geteuid() not in (0, os.fstat(fd).st_uid):
        return False
    start = offset - offset % _PAGE
    size = offset + length - start
    address = _mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, start)
    if address == _MAP_FAILED:
        return False
    try:
        pages = ctypes.create_string_buffer((size + _PAGE - 1) // _PAGE)
        return _mincore(address, size, pages) == 0 and not pages.raw.translate(None, _IN_CORE)
    finally:
        _munmap(address, size)


def read_cached(fd: int, offset: int, length: int) -> bytes | None:
    """These bytes of an open file if all of them are in the page cache, else None."""
    block = memoryview(_scratch)[:length] if length <= len(_scratch) else bytearray(length)
    try:
        count = os.preadv(fd, [block], offset, os.RWF_NOWAIT)
    except OSError:  # EAGAIN: not in memory. EOPNOTSUPP: the file system cannot tell.
        return None
    return bytes(block) if count == length else None


_byte: Final = bytearray(1)
_scratch: Final = bytearray(64 << 10)
"""A buffer for reads, used by one thread only. A new buffer for each read would be filled with zeros first."""


def is_local(path: str) -> bool:
    """Whether the file system of `path` works without another machine or process."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            # proc_pid_mountinfo(5): id, parent, major:minor, ..., " - ", type, source, options
            head, _, tail = line.partition(" - ")
            if head.split(" ", 3)[2] == wanted:
                return tail.split(" ", 1)[0] in _LOCAL_FILE_SYSTEMS
    return False
