"""A worker as its parent sees it, and how the two talk.

The parent tells a worker through the pipe of its standard input: a line of JSON first (what it serves), then lines
`reopen` (the log), `reload JSON` (another configuration), `stop` and `stop_now`. The end of the pipe is the end of the
parent.

A worker says on its standard output, once, `serving`, or `failed REASON`, which it has logged, or `rejected REASON`,
where the configuration is wrong, which it leaves to the parent to say. To each `reload` it answers `reloaded`, or
`refused REASON`, and then all stays as it was. It writes to the parent's log by itself: a line for every request is too
much to hand on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from imgsvc.logger import make_logger

log = make_logger()

LOG_FD: Final = 3
"""The descriptor that a worker finds its log at."""
FIRST_PORT_FD: Final = 4
"""The first of the descriptors that it finds its listening sockets at, in the order of server.listen."""
COMMAND: Final = "import gc; gc.disable(); from imgsvc.daemon.worker import main; main()"
"""What a worker runs: see `tap.makeService` for the collector."""
SERVING: Final = b"serving"
"""What a worker says when it serves."""
FAILED: Final = b"failed "
"""What it says when it cannot, before the reason."""
REJECTED: Final = b"rejected "
"""The same, where the configuration is wrong."""
RELOADED: Final = b"reloaded"
"""What it says when it does as another configuration says."""
REFUSED: Final = b"refused "
"""What it says when it does not, before the reason."""


class WorkerEnded(Exception):
    """The process has ended before it answered."""


class Worker(ProcessProtocol):
    """A child process, as its parent sees it: what it is told, what it says, how it ends."""

    def __init__(self, reactor: Any, serving: Callable[[], None], ended: Callable[[Worker, str, float], None]) -> None:
        """ended: called with how it ended, for people, and the seconds that it lived."""
        self._reactor = reactor
        self._serving = serving
        self._ended = ended
        self._born = reactor.seconds()
        self._lines = {1: b"", 2: b""}
        self._gone: Deferred[None] = Deferred()
        self._reloads: deque[Deferred[str | None]] = deque()
        self._process: Any = None
        self.pid = 0
        self.failure = ""
        """Why it could not start, if it said so."""
        self.rejection = ""
        """What is wrong with the configuration, if it said so."""

    def connectionMade(self) -> None:
        """Called when the process runs."""
        self._process = self.transport
        self.pid = self._process.pid

    def tell(self, line: str) -> None:
        """Send a line."""
        self._process.write(line.encode() + b"\n")

    def reload(self, document: str) -> Deferred[str | None]:
        """Hand over another configuration, as JSON. Fires with why the worker refuses it; None: it does as it says.

        Fails with WorkerEnded.
        """
        answer: Deferred[str | None] = Deferred()
        self._reloads.append(answer)
        self.tell(f"reload {document}")
        return answer

    def stop(self, patience: float) -> Deferred[None]:
        """Have it stop, and kill it after `patience` seconds. Fires when the process has ended."""
        self.tell("stop")
        kill = self._reactor.callLater(patience, self._process.signalProcess, "KILL")
        return self._gone.addCallback(lambda _: kill.cancel() if kill.active() else None)

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """Called with what the process says."""
        *lines, self._lines[descriptor] = (self._lines[descriptor] + data).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        if line == SERVING:
            self._serving()
        elif line.startswith(FAILED):
            self.failure = line.removeprefix(FAILED).decode("utf-8", "replace")
        elif line.startswith(REJECTED):
            self.rejection = line.removeprefix(REJECTED).decode("utf-8", "replace")
        elif line == RELOADED:
            self._answered(None)
        elif line.startswith(REFUSED):
            self._answered(line.removeprefix(REFUSED).decode("utf-8", "replace"))
        else:  # what Python itself, or a library, writes about a fault
            log.error("worker {pid}: {line}", pid=self.pid, line=line.decode("utf-8", "replace"))

    def _answered(self, refusal: str | None) -> None:
        answer = self._reloads.popleft()
        if not answer.called:  # else nobody waited for so long
            answer.callback(refusal)

    def processEnded(self, reason: Failure) -> None:
        """Called when the process has ended and its pipes are closed."""
        signal, status = getattr(reason.value, "signal", None), getattr(reason.value, "exitCode", None)
        how = f"status {status}" if signal is None else f"signal {signal}"
        self._ended(self, how, self._reactor.seconds() - self._born)
        for answer in self._reloads:
            if not answer.called:
                answer.errback(WorkerEnded())
        self._gone.callback(None)
