"""Files that are read and written in threads."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from imgsvc.client.errors import LocalFileError

Runner = Callable[..., Deferred[Any]]
"""`run(function, *arguments)` calls a function outside of the reactor's thread. Returns a Deferred of its result."""


class ThreadedFile:
    """An open file descriptor. It owns the descriptor, and closes it when the last call has ended.

    path: a string, for error messages only. fd: the descriptor. run: a Runner, which makes the calls.
    """

    def __init__(self, path: str, fd: int, run: Runner) -> None:
        self.path = path
        self._fd = fd
        self._run = run
        self._lock = threading.Lock()
        self._calls = 0
        self._closing = False

    def read(self, offset: int, size: int) -> Deferred[bytes]:
        """Read up to `size` bytes at `offset`: a Deferred of them, b"" at the end. Fails with LocalFileError."""
        return self._run(self._call, os.pread, size, offset)

    def write(self, offset: int, data: bytes) -> Deferred[None]:
        """Write all of `data` at `offset`: a Deferred of None. Fails with LocalFileError."""
        return self._run(self._call, _write_all, data, offset)

    def digest(self, offset: int, digest: Any, buffer: memoryview) -> Deferred[int]:
        """Read bytes and add them to a digest.

        offset: bytes. digest: a hashlib object. buffer: is filled with the bytes; only one call at a time may use it.

        Returns a Deferred of the number of bytes, 0 at the end of the file. Fails with LocalFileError.
        """
        return self._run(self._call, _digest_some, offset, digest, buffer)

    def sync(self) -> Deferred[None]:
        """Write the bytes of the file to the disk: a Deferred of None. Fails with LocalFileError."""
        return self._run(self._call, os.fsync)

    def close(self) -> None:
        """Close the file at once or, if calls are under way, after the last one. May be called several times."""
        with self._lock:
            already, self._closing = self._closing, True
            close_now = not already and self._calls == 0
        if close_now:
            os.close(self._fd)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            if self._closing:
                raise LocalFileError(self.path, "closed")
            self._calls += 1
        try:
            return function(self._fd, *arguments)
        except OSError as error:
            raise LocalFileError(self.path, error.strerror or str(error)) from error
        finally:
            with self._lock:
                self._calls -= 1
                close_now = self._closing and self._calls == 0
            if close_now:
                os.close(self._fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(fd, left, offset)
        left, offset = left[written:], offset + written


def _digest_some(fd: int, offset: int, digest: Any, buffer: memoryview) -> int:
    count = os.preadv(fd, [buffer], offset)
    digest.update(buffer[:count])
    return count


def open_for_reading(path: str) -> tuple[int, int]:
    """Open a file or a block device for reading. Blocks.

    path: a string. Returns the file descriptor and the size in bytes. Raises LocalFileError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would block until somebody writes to it
    except OSError as error:
        raise LocalFileError(path, error.strerror or str(error)) from error
    try:
        kind = os.fstat(fd).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
            raise LocalFileError(path, "its size is not known: not a file or a block device")
        # Seeking gives the size of a block device too; stat says 0 there.
        return fd, os.lseek(fd, 0, os.SEEK_END)
    except BaseException:
        os.close(fd)
        raise
