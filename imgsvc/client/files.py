"""Files whose calls run in threads."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from imgsvc.client.errors import LocalFileError

Runner = Callable[..., Deferred[Any]]
"""`run(function, *arguments)` calls the function elsewhere than on the reactor; Deferred of its result."""


class ThreadedFile:
    """An open file descriptor; owns it, and closes it when no call is under way any more.

    path: for error messages only. run: where the calls are made.
    """

    def __init__(self, path: str, fd: int, run: Runner) -> None:
        self.path = path
        self._fd = fd
        self._run = run
        self._lock = threading.Lock()
        self._calls = 0
        self._closing = False

    def read(self, offset: int, size: int) -> Deferred[bytes]:
        """Deferred of up to `size` bytes at `offset`; b"" at the end of the file. Fails with LocalFileError."""
        return self._run(self._call, os.pread, size, offset)

    def write(self, offset: int, data: bytes) -> Deferred[None]:
        """Deferred of None when all of `data` stands at `offset`. Fails with LocalFileError."""
        return self._run(self._call, _write_all, data, offset)

    def digest(self, offset: int, digest: Any, buffer: memoryview) -> Deferred[int]:
        """Read what `buffer` holds at `offset` and add it to a hashlib object. Deferred of the bytes, 0 at the end.

        Fails with LocalFileError. One call at a time may use a buffer.
        """
        return self._run(self._call, _digest_some, offset, digest, buffer)

    def sync(self) -> Deferred[None]:
        """Deferred of None when the file's bytes are on the medium. Fails with LocalFileError."""
        return self._run(self._call, os.fsync)

    def close(self) -> None:
        """Close at once, or when the last call that is under way ends. Any number of times."""
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
    """File descriptor and size, bytes, of a regular file. Raises LocalFileError. Blocks."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # nobody may write to a pipe
    except OSError as error:
        raise LocalFileError(path, error.strerror or str(error)) from error
    try:
        kind = os.fstat(fd).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
            raise LocalFileError(path, "its size cannot be told: not a file or a block device")
        # Seeking tells the size of a block device too, where stat says 0.
        return fd, os.lseek(fd, 0, os.SEEK_END)
    except BaseException:
        os.close(fd)
        raise
