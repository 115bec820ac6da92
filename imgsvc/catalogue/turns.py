"""Decides which process writes next, when several processes share an SQLite file.

SQLite allows one writing transaction at a time. Others sleep and try again, with growing pauses, so that the first may
come last. Here the kernel wakes the next one. This is only for fairness: SQLite itself excludes concurrent writes, so
where the file system has no such locks, SQLite's own waiting is used.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import Final

from imgsvc.logger import make_logger

__all__ = ["Turn"]

log = make_logger()

_TRY: Final = 37
_WAIT: Final = 38
"""F_OFD_SETLK and F_OFD_SETLKW (fcntl(2)): locks of the open file, which the kernel releases if the process dies."""
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""
_QUEUE: Final = 0
_TURN: Final = 1
"""Bytes of the file. A process that waits for the turn locks the queue, so that the last holder cannot overtake it."""


class Turn:
    """The right to begin a writing transaction on one SQLite file. Each process uses it in one thread at a time."""

    def __init__(self, database: Path, patience: float) -> None:
        """database: the file. patience: seconds to wait for a turn; 0 or more."""
        self._database = database
        self._path = Path(f"{database}-turn")
        self._patience = patience
        self._fd: int | None = None
        self._waiter: _Waiter | None = None
        self._usable = True

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, and hold it until the end of the block.

        Raises TimeoutError. If the file cannot be created or locked, the block runs without a turn.
        """
        fd = self._take()
        try:
            yield
        finally:
            if fd is not None:
                _set(fd, fcntl.F_UNLCK, _TURN)

    def close(self) -> None:
        """Close the file. May be called any number of times; `taken` opens it again."""
        if self._fd is not None and self._waiter is None:
            os.close(self._fd)
            self._fd = None

    def _take(self) -> int | None:
        """Take the turn, and return the descriptor of its file; None if there are no turns."""
        if not self._usable:
            return None
        try:
            if self._fd is None:
                self._fd = self._opened()
            if self._waiter is not None or not _taken_at_once(self._fd):
                self._wait(self._fd)
        except TimeoutError:
            raise
        except OSError as error:
            # The file system has no such locks, or the folder cannot be written.
            log.warn(
                "Processes cannot take turns to write with {path}: {error}", path=str(self._path), error=str(error)
            )
            self._usable = False
            return None
        return self._fd

    def _opened(self) -> int:
        """Open the file, with the owner and the permissions of the database, as SQLite does for its own files."""
        of = self._database.stat() if self._database.exists() else None
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600 if of is None else of.st_mode & 0o666)
        if of is not None and os.geteuid() == 0:
            os.fchown(fd, of.st_uid, of.st_gid)
        return fd

    def _wait(self, fd: int) -> None:
        """Wait in another thread, because the kernel has no wait for a lock with a timeout.

        After a timeout, the thread goes on waiting, and the next call uses it.
        """
        if self._waiter is None or not self._waiter.wanted():
            self._waiter = _Waiter(fd)
            self._waiter.start()
        self._waiter.wait(self._patience)
        self._waiter = None


class _Waiter(Thread):
    """Waits in the kernel for the turn, and gives it back at once if nobody needs it any more."""

    def __init__(self, fd: int) -> None:
        super().__init__(name="catalogue-turn", daemon=True)
        self._fd = fd
        self._changed = Condition()
        self._wanted = True
        self._ended = False
        self._error: OSError | None = None

    def run(self) -> None:
        """The code of the thread."""
        try:
            _set(self._fd, fcntl.F_WRLCK, _QUEUE, wait=True)
            _set(self._fd, fcntl.F_WRLCK, _TURN, wait=True)
        except OSError as error:
            self._error = error
        with self._changed:
            _set(self._fd, fcntl.F_UNLCK, _QUEUE)
            if not self._wanted:
                _set(self._fd, fcntl.F_UNLCK, _TURN)
            self._ended = True
            self._changed.notify()

    def wanted(self) -> bool:
        """Wait for this turn again. Returns False if it is too late."""
        with self._changed:
            self._wanted = not self._ended
            return self._wanted

    def wait(self, seconds: float) -> None:
        """Wait until the turn is taken. Raises TimeoutError; OSError if there are no such locks."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, seconds):
                self._wanted = False
                raise TimeoutError("another process keeps the database locked")
        if self._error is not None:
            raise self._error


def _taken_at_once(fd: int) -> bool:
    """Take the turn if no other process has it or waits for it. Returns whether it was taken."""
    try:
        _set(fd, fcntl.F_WRLCK, _QUEUE)
    except (BlockingIOError, PermissionError):  # POSIX allows either error
        return False
    try:
        _set(fd, fcntl.F_WRLCK, _TURN)
    except (BlockingIOError, PermissionError):
        return False
    finally:
        _set(fd, fcntl.F_UNLCK, _QUEUE)
    return True


def _set(fd: int, kind: int, byte: int, wait: bool = False) -> None:
    """Lock or unlock one byte of the file. Raises OSError."""
    fcntl.fcntl(fd, _WAIT if wait else _TRY, struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0))
