"""Tells the user who starts the daemon in the background whether it serves."""

from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final

__all__ = ["Launch"]

_SERVING: Final = b"serving"


class Launch:
    """The Report of a start from a terminal. In the background, it is also the exit status of the command.

    When twistd goes to the background, it forks. The process at the terminal would report success before the daemon has
    tried anything, and would wait for ever if the daemon died. So that process waits here instead: it reads a pipe
    until the daemon closes its end.
    """

    def __init__(self, twistd: MutableMapping[str, Any]) -> None:
        """twistd: its options. To be called once in a process, before twistd goes to the background."""
        self._twistd = twistd
        self._pipe: int | None = None
        self._waits = not (twistd.get("nodaemon") or twistd.get("debug"))
        if self._waits:
            self._reader, self._pipe = os.pipe()
            os.register_at_fork(after_in_parent=self._wait, after_in_child=self._leave)

    def _leave(self) -> None:
        """Runs after a fork, in the process that goes to the background."""
        if self._waits:
            self._waits = False
            os.close(self._reader)

    def _wait(self) -> None:
        """Runs after a fork, in the process at the terminal. Waits for the outcome, prints a failure, and exits."""
        if not self._waits or self._pipe is None:
            return  # a later fork, which is not that of the start
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.close(self._pipe)
        said = b""
        while more := os.read(self._reader, 4096):
            said += more
        if said == _SERVING:
            os._exit(0)
        with suppress(OSError):  # the terminal is gone
            os.write(2, b"imgsvc: cannot start: " + (said or b"the process has ended, see the log") + b"\n")
        os._exit(1)

    def begin(self) -> None:
        """See Report. Removes the pipe by which twistd would report the start."""
        answer = self._twistd.pop("statusPipe", None)
        if answer is not None:
            os.close(answer)

    def serving(self) -> None:
        """See Report."""
        self._say(_SERVING)

    def failed(self, reason: str) -> None:
        """See Report."""
        self._say(reason.encode())

    def rejected(self, reason: str) -> None:
        """See Report. In the foreground, prints the reason on the terminal, like errors found before twistd runs."""
        if self._pipe is None:
            with suppress(OSError):
                os.write(2, f"imgsvc: {reason}\n".encode())
        self.failed(reason)

    def _say(self, words: bytes) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            with suppress(OSError):  # the process at the terminal has ended
                os.write(pipe, words)
            os.close(pipe)
