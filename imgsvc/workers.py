"""Several processes that serve on the same ports, and their parent, which binds these and accepts nothing itself.

The parent tells a worker through the pipe of its standard input: a line of JSON first (what it serves), then lines
`reopen` (the log), `reload JSON` (another configuration), `stop` and `hasten`. The end of the pipe is the end of the
parent. A worker says `serving` on its standard output, once, or `failed REASON`. It writes to the parent's log by
itself: a line for every request is too much to hand on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.python.failure import Failure

from imgsvc import config as configuration
from imgsvc.compose import Server, address_of
from imgsvc.config import Config
from imgsvc.errors import ConfigurationError
from imgsvc.log import LogOutput
from imgsvc.logger import make_logger
from imgsvc.ports import ListeningReactor
from imgsvc.process import Place, Report, exit_with, on_sighup, on_sigterm, places, start_or_exit, stop
from imgsvc.reload import Reloading
from imgsvc.service import ServerService
from imgsvc.store_model import Scope

log = make_logger()

LOG_FD = 3
"""The descriptor that a worker finds its log at."""
WORKER = "import gc; gc.disable(); from imgsvc.worker import main; main()"
"""What a worker runs: see `tap.makeService` for the collector."""
FIRST_PORT_FD = 4
"""The first of the descriptors that it finds its listening sockets at, in the order of server.listen."""
SHORT_LIFE = 5.0
"""Seconds; a worker that ends sooner is replaced only after a pause of ..."""
PAUSE = 1.0
MARGIN = 10.0
"""Seconds that a worker may take to stop beyond the grace of its transfers."""


def make_service(
    config: Config,
    read: Callable[[], Config],
    data_folder: Path,
    log_output: LogOutput,
    reactor: Any,
    report: Report,
) -> IService:
    """What twistd runs. read: gives the configuration as it is now, for SIGHUP. Raises ConfigurationError."""
    server = Server(config, data_folder, reactor)  # what is wrong with the configuration is said here, once
    listen = places(ListeningReactor(reactor), config.server.listen)
    service: ServerService | WorkersService
    if config.server.workers == 1:
        service = ServerService(server, listen, log_output, reactor, report)
    else:
        _refuse_stores_of_one_process(config, server)
        service = WorkersService(config, data_folder, log_output, listen, reactor, report, server)
    on_sighup(reactor, Reloading(config, read, service))
    return service


def _refuse_stores_of_one_process(config: Config, server: Server) -> None:
    for info in (store.info for store in server.core.stores.every()):
        if info.scope is Scope.PROCESS:
            raise ConfigurationError(
                f"server.workers = {config.server.workers}: must be 1 with stores.{info.id} of kind {info.kind},"
                " whose images only the process sees that took them"
            )


@define(eq=False)
class WorkersService(Service):
    """Binds the ports and keeps `server.workers` processes that accept from them.

    The first worker shows whether the configuration can be served: the others follow when it serves, and the parent
    stops when it cannot. From then on every worker that ends is replaced.
    """

    config: Config
    data_folder: Path
    log_output: LogOutput
    places: Sequence[Place]
    reactor: Any
    report: Report
    server: Server
    """Never started: it shows what is wrong with a configuration."""
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _workers: set[Worker] = field(factory=set, init=False)
    _served: bool = field(default=False, init=False)

    def startService(self) -> None:
        """Called by twistd before the reactor runs."""
        Service.startService(self)
        self.report.begin()
        self.reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        on_sigterm(self.reactor, self._stop_or_hasten)
        start_or_exit(self._bind(), self.reactor, self.report)

    async def _bind(self) -> None:
        for place in self.places:
            port: Any = await place.listen(SilentFactory())
            port.stopReading()  # the workers accept
            port._shouldShutdown = False  # each of them until it has heard of the stop
            self._ports.append(port)
        self._spawn()

    def _spawn(self) -> None:
        if not self.running:
            return
        worker = Worker(self.reactor, self._serving, self._ended)
        self._workers.add(worker)
        # It hears of SIGHUP by its parent: one to the whole group must not end it, from its first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self._fork(worker)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        document = {
            "config": configuration.to_json(self.config),
            "data_folder": str(self.data_folder),
            "log_format": self.log_output.format,
            "log_path": self.log_output.path,
        }
        worker.tell(json.dumps(document))

    def _fork(self, worker: Worker) -> None:
        descriptors = [port.fileno() for port in self._ports]  # type: ignore[attr-defined]
        self.reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-c", WORKER],
            env=os.environ,
            childFDs={
                **{0: "w", 1: "r", 2: "r", LOG_FD: self.log_output.stream.fileno()},
                **dict(enumerate(descriptors, FIRST_PORT_FD)),
            },
        )

    def _serving(self) -> None:
        if self._served:
            return
        self._served = True
        number = self.config.server.workers
        log.info("{number} workers on {ports}", number=number, ports=", ".join(map(address_of, self._ports)))
        for _ in range(number - 1):
            self._spawn()
        self.report.serving()

    def _ended(self, worker: Worker, how: str, lived: float) -> None:
        self._workers.discard(worker)
        if not self.running:
            return
        if not self._served:
            self.report.failed(worker.failure or f"the worker ended ({how})")
            exit_with(1)
            stop(self.reactor)
            return
        log.error("worker {pid} ended ({how}) after {lived:.1f} s", pid=worker.pid, how=how, lived=lived)
        self.reactor.callLater(PAUSE if lived < SHORT_LIFE else 0, self._spawn)

    def reopen_log(self) -> None:
        """See Reloadable."""
        self.log_output.reopen()
        self._tell_all("reopen")

    def reload(self, config: Config) -> None:
        """See Reloadable."""
        for place in self.places:
            place.read_certificates()  # each worker reads them for itself
        self.server.reload(config)
        self.config = config
        self._tell_all(f"reload {configuration.to_json(config)}")

    def _tell_all(self, line: str) -> None:
        for worker in self._workers:
            worker.tell(line)

    def _stop_or_hasten(self) -> None:
        if self.running:
            stop(self.reactor)
        else:
            self._tell_all("hasten")

    def stopService(self) -> Deferred[None]:
        """Called by twistd; the reactor stops when the Deferred has fired."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ended = gatherResults([worker.stop(self.config.server.grace + MARGIN) for worker in self._workers])
        for port in self._ports:
            closed = port.stopListening()
            if closed is not None:
                await closed
        await ended


class SilentFactory(Factory):
    """Of ports that nobody accepts from."""

    noisy = False


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
        self._process: Any = None
        self.pid = 0
        self.failure = ""
        """Why it could not start, if it said so."""

    def connectionMade(self) -> None:
        """Called when the process runs."""
        self._process = self.transport
        self.pid = self._process.pid

    def tell(self, line: str) -> None:
        """Send a line."""
        self._process.write(line.encode() + b"\n")

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
        else:  # what Python itself, or a library, writes about a fault
            log.error("worker {pid}: {line}", pid=self.pid, line=line.decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        """Called when the process has ended and its pipes are closed."""
        signal, status = getattr(reason.value, "signal", None), getattr(reason.value, "exitCode", None)
        how = f"status {status}" if signal is None else f"signal {signal}"
        self._ended(self, how, self._reactor.seconds() - self._born)
        self._gone.callback(None)


SERVING = b"serving"
"""What a worker says when it serves."""
FAILED = b"failed "
"""What it says when it cannot, before the reason."""
