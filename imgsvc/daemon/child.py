"""The parent's view of a worker process, and the protocol between the two.

The parent writes lines to the worker's standard input. The first is a JSON object that says what to serve. Then come
`reopen` (open the log file again), `reload JSON` (use another configuration), `stop` and `stop_now`. When the pipe is
closed, the parent has ended.

The worker writes lines to its standard output. The outcome of its start is one line: `serving`; or `failed REASON`,
which the worker has logged; or `rejected REASON` if the configuration is wrong, which the worker has not logged. The
answer to each `reload` is `reloaded`, or `refused REASON` if the worker keeps the configuration that it had. The worker
writes to the log file itself, since the log may have a line for every request.
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
"""The descriptor of the log in a worker."""
FIRST_PORT_FD: Final = 4
"""The descriptor of the first listening socket in a worker. The others follow, in the order of server.listen."""
COMMAND: Final = "import gc; gc.disable(); from imgsvc.daemon.worker import main; main()"
"""The Python code that a worker runs. `tap.makeService` says why the garbage collector is off during the start."""
SERVING: Final = b"serving"
"""The worker serves."""
FAILED: Final = b"failed "
"""The worker cannot serve. The reason follows."""
REJECTED: Final = b"rejected "
"""The worker cannot serve because the configuration is wrong. The reason follows."""
RELOADED: Final = b"reloaded"
"""The worker uses the new configuration."""
REFUSED: Final = b"refused "
"""The worker refuses the new configuration and keeps the old one. The reason follows."""


class WorkerEnded(Exception):
    """The worker ended before it answered."""


class Worker(ProcessProtocol):
    """A worker process, as its parent sees it. Sends commands, reads answers, and notices the end."""

    def __init__(self, reactor: Any, serving: Callable[[], None], ended: Callable[[Worker, str, float], None]) -> None:
        """reactor: provides IReactorTime.

        serving: called when the worker serves. ended: called when the process has ended, with the worker, a text such
        as `signal 9`, and the seconds that it ran.
        """
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
        """The reason of `failed`; empty if the worker has not sent it."""
        self.rejection = ""
        """The reason of `rejected`; empty if the worker has not sent it."""

    def connectionMade(self) -> None:
        """See IProcessProtocol: the process has been started."""
        self._process = self.transport
        self.pid = self._process.pid

    def tell(self, line: str) -> None:
        """Send a line to the worker."""
        self._process.write(line.encode() + b"\n")

    def reload(self, document: str) -> Deferred[str | None]:
        """Send another configuration, as the JSON of `config.to_json`.

        Fires with None if the worker uses it, or with the reason why the worker refuses it. Fails with WorkerEnded: the
        process ended first.
        """
        answer: Deferred[str | None] = Deferred()
        self._reloads.append(answer)
        self.tell(f"reload {document}")
        return answer

    def stop(self, patience: float) -> Deferred[None]:
        """Tell the worker to stop, and kill it after `patience` seconds. Fires when the process has ended."""
        self.tell("stop")
        kill = self._reactor.callLater(patience, self._process.signalProcess, "KILL")
        return self._gone.addCallback(lambda _: kill.cancel() if kill.active() else None)

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """See IProcessProtocol: the process has written `data`."""
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
        else:  # an error message of Python or of a library
            log.error("worker {pid}: {line}", pid=self.pid, line=line.decode("utf-8", "replace"))

    def _answered(self, refusal: str | None) -> None:
        answer = self._reloads.popleft()
        if not answer.called:  # else it has timed out
            answer.callback(refusal)

    def processEnded(self, reason: Failure) -> None:
        """See IProcessProtocol: the process has ended and its pipes are closed."""
        signal, status = getattr(reason.value, "signal", None), getattr(reason.value, "exitCode", None)
        how = f"status {status}" if signal is None else f"signal {signal}"
        self._ended(self, how, self._reactor.seconds() - self._born)
        for answer in self._reloads:
            if not answer.called:
                answer.errback(WorkerEnded())
        self._gone.callback(None)
