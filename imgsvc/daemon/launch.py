"""How those who started the daemon in the background learn whether it serves."""

from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final

__all__ = ["Launch"]

_SERVING: Final = b"serving"


class Launch:
    """The start of a daemon, as seen from the terminal.

    A twistd that goes to the background forks and leaves a process at the terminal, which would say that all is well
    before anything was tried, and would wait for good if the daemon died. So this process waits here, in the fork, for
    the end of a pipe that the daemon holds.
    """

    def __init__(self, twistd: MutableMapping[str, Any]) -> None:
        """twistd: its options. To be called before it goes to the background, once in a process."""
        self._twistd = twistd
        self._pipe: int | None = None
        self._waits = not (twistd.get("nodaemon") or twistd.get("debug"))
        if self._waits:
            self._reader, self._pipe = os.pipe()
            os.register_at_fork(after_in_parent=self._wait, after_in_child=self._leave)

    def _leave(self) -> None:
        """In the process that goes to the background."""
        if self._waits:
            self._waits = False
            os.close(self._reader)

    def _wait(self) -> None:
        """In the process at the terminal: wait, say why it failed, and end."""
        if not self._waits or self._pipe is None:
            return  # another fork
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.close(self._pipe)
        said = b""
        while more := os.read(self._reader, 4096):
            said += more
        if said == _SERVING:
            os._exit(0)
        with suppress(OSError):  # a terminal that is gone
            os.write(2, b"imgsvc: cannot start: " + (said or b"the process has ended, see the log") + b"\n")
        os._exit(1)

    def begin(self) -> None:
        """See Report. Takes away what twistd would answer by."""
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
        """See Report. In the foreground it is said on the terminal, as of what is found wrong before twistd runs."""
        if self._pipe is None:
            with suppress(OSError):
                os.write(2, f"imgsvc: {reason}\n".encode())
        self.failed(reason)

    def _say(self, words: bytes) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            with suppress(OSError):  # nobody waits any more
                os.write(pipe, words)
            os.close(pipe)
