"""Whose turn it is to write, where several processes share an SQLite file.

SQLite lets one transaction write at a time, and has the others sleep and look again, for longer each time: who came
first may go last. Here the kernel wakes who waits. Nothing but the waiting depends on it: that no two write at once is
SQLite's own care, so where there can be no such lock, its way of waiting is what remains.
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
"""F_OFD_SETLK and F_OFD_SETLKW (fcntl(2)): locks of the open file, which the kernel gives up when its process dies."""
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""
_QUEUE: Final = 0
_TURN: Final = 1
"""Bytes of the file. Who waits for the turn holds the queue meanwhile: who has just had a turn comes after it."""


class Turn:
    """The right to begin a transaction that writes to one SQLite file. For one thread of each process at a time."""

    def __init__(self, database: Path, patience: float) -> None:
        """database: the file. patience: seconds that a turn is waited for; 0 or more."""
        self._database = database
        self._path = Path(f"{database}-turn")
        self._patience = patience
        self._fd: int | None = None
        self._waiter: _Waiter | None = None
        self._usable = True

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, and hold it until the end of the block.

        Raises TimeoutError. Where the file cannot be made or locked, the block is run without a turn.
        """
        fd = self._take()
        try:
            yield
        finally:
            if fd is not None:
                _set(fd, fcntl.F_UNLCK, _TURN)

    def close(self) -> None:
        """Close the file. Any number of times; another `taken` opens it again."""
        if self._fd is not None and self._waiter is None:
            os.close(self._fd)
            self._fd = None

    def _take(self) -> int | None:
        """The file, whose turn this process has now; None: there are no turns."""
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
            # A file system without such locks, or a folder of somebody else's.
            log.warn("No turns are taken at {path}: {error}", path=str(self._path), error=str(error))
            self._usable = False
            return None
        return self._fd

    def _opened(self) -> int:
        """With the owner and the permissions of the database, as SQLite makes its own files beside it."""
        of = self._database.stat() if self._database.exists() else None
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600 if of is None else of.st_mode & 0o666)
        if of is not None and os.geteuid() == 0:
            os.fchown(fd, of.st_uid, of.st_gid)
        return fd

    def _wait(self, fd: int) -> None:
        """Through a thread, because no call of the kernel waits for a lock and ends by itself after a time.

        Who has waited for too long leaves it behind, and the next one finds it where it stands.
        """
        if self._waiter is None or not self._waiter.wanted():
            self._waiter = _Waiter(fd)
            self._waiter.start()
        self._waiter.wait(self._patience)
        self._waiter = None


class _Waiter(Thread):
    """Waits in the kernel for the turn, which is given back at once if nobody wants it any more."""

    def __init__(self, fd: int) -> None:
        super().__init__(name="catalogue-turn", daemon=True)
        self._fd = fd
        self._changed = Condition()
        self._wanted = True
        self._ended = False
        self._error: OSError | None = None

    def run(self) -> None:
        """Called by the thread."""
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
        """Somebody waits again. Whether that is in time."""
        with self._changed:
            self._wanted = not self._ended
            return self._wanted

    def wait(self, seconds: float) -> None:
        """Until the turn is there. Raises TimeoutError; OSError where there are no such locks."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, seconds):
                self._wanted = False
                raise TimeoutError("another process keeps the database locked")
        if self._error is not None:
            raise self._error


def _taken_at_once(fd: int) -> bool:
    """Take the turn, if nobody has it and nobody waits for it."""
    try:
        _set(fd, fcntl.F_WRLCK, _QUEUE)
    except (BlockingIOError, PermissionError):  # POSIX lets fcntl say either
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
