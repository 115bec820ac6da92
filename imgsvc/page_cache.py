"""What Linux can tell or do at once, without waiting for a disk: for the reactor's thread.

Every function has a slow way beside it, in a thread, which its caller takes when the answer here is no. On a kernel
or file system that lacks a call the answer is always no.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Final

# The same numbers on every architecture.
_OPENAT2: Final = 437
"""openat2(2), Linux 5.6."""
_CACHESTAT: Final = 451
"""cachestat(2), Linux 6.5: a twentieth of the time of mincore(2)."""
_AT_FDCWD: Final = -100
_RESOLVE_CACHED: Final = 0x20
"""Linux 5.12: fail with EAGAIN instead of waiting for a directory to be read."""
_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_PAGE: Final = mmap.PAGESIZE
_IN_CORE: Final = bytes(range(1, 256, 2))
"""Every value of mincore's bytes whose lowest bit, "the page is in memory", is set."""

_LOCAL_FILE_SYSTEMS: Final = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs"})
"""Where a file whose name and pages are in memory is opened and read without asking anybody else."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _CacheRange(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _CacheCounts(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


# PyDLL keeps the interpreter lock: these calls take microseconds, winning the lock back from a busy thread can take
# milliseconds.
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
"""How to open a file that somebody else may have put there: to open a FIFO would else wait for its writer."""

_open_how: Final = _OpenHow(READ_ONLY, 0, _RESOLVE_CACHED)
_open_arguments: Final = (
    ctypes.c_long(_OPENAT2),
    ctypes.c_long(_AT_FDCWD),
    ctypes.byref(_open_how),
    ctypes.c_size_t(ctypes.sizeof(_open_how)),
)


def open_cached(path: str) -> int | None:
    """Open a file for reading if the kernel knows every part of `path` by heart.

    The descriptor, which is the caller's to close; None if a disk would have to be asked, and after every failure,
    whose cause the ordinary open(2) in a thread will tell.
    """
    number, folder, how, size = _open_arguments
    fd: int = _syscall(number, folder, os.fsencode(path), how, size)
    return fd if fd >= 0 else None


def resident(fd: int, offset: int, length: int) -> bool:
    """Whether all these bytes of an open file are in the page cache, so that sendfile(2) will not wait for a disk.

    False also for a file of another user, unless this process is root: of such files Linux tells nothing, or
    pretends that all is in memory (5.2), against spying on the page cache.
    """
    if length <= 0:
        return True
    last = offset + length - 1
    cached = cached_pages(fd, offset, length)
    if cached is None:
        return in_core(fd, offset, length)
    if cached <= last // _PAGE - offset // _PAGE:
        return False
    # A page counts also while it is on its way from the disk. Who reads a file in order has nothing in memory behind
    # such pages, so they are the last ones here. Not seen is one that fills a gap, and is waited for: a single read.
    try:
        return os.preadv(fd, [_byte], last, os.RWF_NOWAIT) == 1
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP and in_core(fd, offset, length)


def cached_pages(fd: int, offset: int, length: int) -> int | None:
    """How many pages of these bytes the page cache has or is reading; None where cachestat(2) does not tell."""
    asked, counts = _CacheRange(offset, length), _CacheCounts()
    if _syscall(_CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(counts), 0):
        return None
    return int(counts.cached)


def in_core(fd: int, offset: int, length: int) -> bool:
    """The same as `resident`, page by page, by mincore(2)."""
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
    """These bytes of an open file, if all of them are in the page cache."""
    block = memoryview(_scratch)[:length] if length <= len(_scratch) else bytearray(length)
    try:
        count = os.preadv(fd, [block], offset, os.RWF_NOWAIT)
    except OSError:  # EAGAIN: not in memory. EOPNOTSUPP: the file system cannot tell.
        return None
    return bytes(block) if count == length else None


_byte: Final = bytearray(1)
_scratch: Final = bytearray(64 << 10)
"""To read into, for calls in one thread: a new one would be filled with zeros each time."""


def is_local(path: str) -> bool:
    """Whether the file system that holds `path` is of a kind that asks no other machine and no other process."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            # proc_pid_mountinfo(5): id, parent, major:minor, ..., " - ", type, source, options
            head, _, tail = line.partition(" - ")
            if head.split(" ", 3)[2] == wanted:
                return tail.split(" ", 1)[0] in _LOCAL_FILE_SYSTEMS
    return False
