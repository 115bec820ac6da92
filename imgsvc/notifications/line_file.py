"""A file that lines are appended to, in a thread, while the reactor goes on.

The file is opened for each write. So another program may move it away at any time, and the next write makes a new one.
Several processes may append to one file: each write has whole lines.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from imgsvc.context import working_for
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger
from imgsvc.notifications.drops import Drops

log = make_logger()

MOST_AT_ONCE: Final = 1 << 20
"""Bytes of one write. Only a single line may be longer."""
PAUSE: Final = 1.0
"""Seconds before a failed write is repeated."""


@define(eq=False)
class LineFile:
    """Appends lines to a file. threads: one thread, in which the file is written. limit: bytes that may wait."""

    path: Path
    threads: IThreads
    clock: IReactorTime
    limit: int
    drops: Drops
    _waiting: deque[bytes] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    _writing: Deferred[None] | None = field(default=None, init=False)
    _pause: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _failing: bool = field(default=False, init=False)
    _torn: bool = field(default=False, init=False)

    def write(self, line: bytes) -> None:
        """Append a line, which ends in a newline, soon. If too many bytes wait, the line is lost and counted."""
        if self._size + len(line) > self.limit:
            self.drops.add(1, f"{self.limit} bytes wait for {self.path} already.")
            return
        self._waiting.append(line)
        self._size += len(line)
        self._go_on()

    async def stop(self) -> None:
        """Try once more to write what waits, and end. What cannot be written is lost and counted."""
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._go_on()
        if self._writing is not None:
            await self._writing
        self.drops.add(len(self._waiting), f"the server ends, and {self.path} cannot be written.")
        self._waiting.clear()
        self.drops.tell()

    def _go_on(self) -> None:
        if self._waiting and self._writing is None and self._pause is None:
            with working_for(None):
                self._writing = Deferred.fromCoroutine(self._write_all())
                if self._writing.called:
                    self._writing = None

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                lines = self._next_lines()
                try:
                    written, error = await self.threads.run(append, self.path, b"\n" * self._torn + b"".join(lines))
                except CancelledError:  # the thread has ended
                    return
                if written:
                    self._count(lines, written - self._torn)
                if error is not None:
                    self._failed(error)
                    return
                self._recovered()
        finally:
            self._writing = None

    def _next_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        for line in self._waiting:
            if lines and size + len(line) > MOST_AT_ONCE:
                break
            lines.append(line)
            size += len(line)
        return lines

    def _count(self, lines: list[bytes], written: int) -> None:
        """Forget the lines that were written as a whole. One that was written in part is written again."""
        for line in lines:
            if written < len(line):
                break
            written -= len(line)
            self._size -= len(self._waiting.popleft())
        self._torn = written > 0 and bool(self._waiting)

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            log.error("{path} cannot be written: {why}", path=str(self.path), why=error.strerror)
        self._failing = True
        if not self._stopped:
            self._pause = self.clock.callLater(PAUSE, self._again)

    def _again(self) -> None:
        self._pause = None
        self._go_on()

    def _recovered(self) -> None:
        if self._failing:
            log.info("{path} can be written again", path=str(self.path))
        self._failing = False
        self.drops.tell()


def append(path: Path, data: bytes) -> tuple[int, OSError | None]:
    """Append bytes to a file, which is made if there is none, for the server's account and its group to read.

    Returns how many were written, and the error if these are not all.
    """
    written = 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            while written < len(data):
                written += os.write(fd, data[written:])
        finally:
            os.close(fd)
    except OSError as error:
        return written, error
    return written, None
