"""Runs the server in this process, or in several that share its ports."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import txaio
from attrs import define, field
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.tcp import Port
from twisted.logger import LogLevel, globalLogBeginner
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from imgsvc import config as configuration
from imgsvc.compose import Server, address_of
from imgsvc.config import Config
from imgsvc.errors import ConfigurationError, ImgsvcError
from imgsvc.log import make_observer
from imgsvc.web.site import StreamingSite

log = txaio.make_logger()

FIRST_PORT_FD = 3
CANNOT_START = 3
"""Exit status of a worker that cannot start, and would not if it were tried again."""
SHORT_LIFE = 5.0
"""Seconds; a worker that ends sooner is replaced only after a pause."""
PAUSE = 1.0
MARGIN = 10.0
"""Seconds that a worker may take to stop beyond the grace of its transfers."""


def make_service(config: Config, data_folder: Path, reactor: Any) -> IService:
    """What twistd runs. Raises ConfigurationError."""
    if config.server.workers == 1:
        return ServerService(Server(config, data_folder, reactor), config.server.listen, reactor)
    Server(config, data_folder, reactor)  # what is wrong with the configuration is said here, once
    return WorkersService(config, data_folder, reactor)


class ServerService(Service):
    """The server in this process."""

    def __init__(self, server: Server, endpoints: tuple[str, ...], reactor: Any) -> None:
        self._server = server
        self._endpoints = endpoints
        self._reactor = reactor
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:
        """Called by twistd before the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> Deferred[None]:
        """Called by twistd; the reactor stops when the Deferred has fired."""
        super().stopService()
        return Deferred.fromCoroutine(self._server.stop())

    def _start(self) -> None:
        exit_cleanly_on_sigterm(self._reactor)
        start_or_exit(self._server.start(self._listen), self._reactor)

    async def _listen(self, site: StreamingSite) -> list[IListeningPort]:
        return [await serverFromString(self._reactor, endpoint).listen(site) for endpoint in self._endpoints]


def exit_cleanly_on_sigterm(reactor: Any) -> None:
    """SIGTERM is how the daemon is told to stop: its exit status is 0 then. twistd would end by the signal."""
    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(reactor.stop))


def start_or_exit(starting: Coroutine[Any, Any, None], reactor: Any) -> None:
    """Run `starting`; if it fails, say why in one line and end the process with a status that tells."""

    def failed(failure: Failure) -> None:
        if failure.check(ImgsvcError, CannotListenError):
            log.critical("cannot start: {error}", error=failure.getErrorMessage())
        else:
            log.failure("cannot start", failure=failure)
        exit_with(CANNOT_START if failure.check(ConfigurationError, CannotListenError) else 1)
        reactor.stop()

    Deferred.fromCoroutine(starting).addErrback(failed)


def exit_with(status: int) -> None:
    """Let the process end with this exit status, once twistd is done: it has no way to be told."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)


# --- the parent of workers


@define(eq=False)
class WorkersService(Service):
    """Binds the ports and keeps `server.workers` processes that accept from them."""

    config: Config
    data_folder: Path
    reactor: Any
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _workers: set[Worker] = field(factory=set, init=False)

    def startService(self) -> None:
        """Called by twistd before the reactor runs."""
        Service.startService(self)
        self.reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        exit_cleanly_on_sigterm(self.reactor)
        start_or_exit(self._bind(), self.reactor)

    async def _bind(self) -> None:
        for endpoint in self.config.server.listen:
            port: Any = await serverFromString(self.reactor, endpoint).listen(Factory())
            port.stopReading()  # the workers accept
            os.set_inheritable(port.fileno(), True)
            self._ports.append(port)
        log.info(
            "{number} workers on {addresses}",
            number=self.config.server.workers,
            addresses=", ".join(address_of(port) for port in self._ports),
        )
        for _ in range(self.config.server.workers):
            self._spawn()

    def _spawn(self) -> None:
        if not self.running:
            return
        fds = [port.fileno() for port in self._ports]  # type: ignore[attr-defined]
        worker = Worker(self.reactor, self._ended)
        self._workers.add(worker)
        self.reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-m", "imgsvc.workers"],
            env=os.environ,
            childFDs={0: "w", 1: "r", 2: 2, **{FIRST_PORT_FD + n: fd for n, fd in enumerate(fds)}},
        )
        worker.tell({"config": configuration.to_json(self.config), "data_folder": str(self.data_folder)})

    def _ended(self, worker: Worker, status: int | None, lived: float) -> None:
        self._workers.discard(worker)
        if not self.running:
            return
        log.error("worker {pid} ended (status {status}) after {lived:.1f} s", pid=worker.pid, status=status, lived=lived)
        if status == CANNOT_START:
            exit_with(CANNOT_START)
            self.running = 0
            self.reactor.stop()
        else:
            self.reactor.callLater(PAUSE if lived < SHORT_LIFE else 0, self._spawn)

    def stopService(self) -> Deferred[Any]:
        """Called by twistd; the reactor stops when the Deferred has fired."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for port in self._ports:
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
        patience = self.config.server.grace + MARGIN
        await gatherResults([worker.stop(patience) for worker in self._workers])


class Worker(ProcessProtocol):
    """A child process, as its parent sees it: what it is told, what it logs, how it ends."""

    def __init__(self, reactor: Any, ended: Callable[[Worker, int | None, float], None]) -> None:
        self._reactor = reactor
        self._ended = ended
        self._born = reactor.seconds()
        self._line = b""
        self._gone: Deferred[None] = Deferred()
        self.pid = 0

    def connectionMade(self) -> None:
        """Called when the process runs."""
        self.pid = self.transport.pid

    def tell(self, document: object) -> None:
        """Send a line of JSON. The pipe stays open: the child stops when its parent is gone."""
        self.transport.write(json.dumps(document).encode() + b"\n")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Called with what the child logs, one JSON object a line."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._log(line)

    def _log(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            level = LogLevel.lookupByName(event["level"])
        except (ValueError, KeyError, TypeError):
            log.info("worker {pid}: {line}", pid=self.pid, line=line.decode("utf-8", "replace"))
            return
        message = "\n".join(filter(None, [event.get("message"), event.get("traceback")]))
        getattr(log, _TXAIO_NAMES.get(level.name, level.name))(
            "worker {pid}: {message}", pid=self.pid, message=message, request_id=event.get("request_id")
        )

    def processEnded(self, reason: Failure) -> None:
        """Called when the process has ended and its pipes are closed."""
        self._ended(self, getattr(reason.value, "exitCode", None), self._reactor.seconds() - self._born)
        self._gone.callback(None)

    def stop(self, patience: float) -> Deferred[None]:
        """SIGTERM now, SIGKILL after `patience` seconds. Fires when the process has ended."""
        self.transport.signalProcess("TERM")
        kill = self._reactor.callLater(patience, self.transport.signalProcess, "KILL")
        return self._gone.addCallback(lambda _: kill.cancel() if kill.active() else None)


_TXAIO_NAMES = {"warn": "warn", "critical": "critical"}


# --- the worker itself


class FairPort(Port):
    """Accepts one connection a turn of the reactor, so that the workers share what arrives at once."""

    numberAccepts = property(lambda self: 1, lambda self, number: None)


class AdoptingReactor:
    """A reactor for endpoints, on which every listen*() takes the next socket that the parent has bound."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._fd = FIRST_PORT_FD

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _adopt(self, factory: Any) -> IListeningPort:
        with socket.socket(fileno=os.dup(self._fd)) as bound:
            family = bound.family
        fd, self._fd = self._fd, self._fd + 1
        if family == socket.AF_UNIX:
            adopted: IListeningPort = self._reactor.adoptStreamPort(fd, family, factory)
            return adopted
        port = FairPort._fromListeningDescriptor(self._reactor, fd, family, factory)
        port.startListening()
        return port

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See IReactorTCP."""
        return self._adopt(factory)

    def listenSSL(self, port: int, factory: Any, context: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See IReactorSSL."""
        return self._adopt(TLSMemoryBIOFactory(context, False, factory))

    def listenUNIX(self, address: Any, factory: Any, **options: Any) -> IListeningPort:
        """See IReactorUNIX."""
        return self._adopt(factory)

    def adoptStreamPort(self, fd: int, family: int, factory: Any) -> IListeningPort:
        """See IReactorSocket: a port that the parent was given by systemd."""
        return self._adopt(factory)


def main() -> None:
    """A worker: reads its configuration from standard input and serves until told to stop or left alone."""
    from twisted.internet import reactor as installed
    from twisted.internet.stdio import StandardIO
    from twisted.protocols.basic import LineReceiver

    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([make_observer("json", sys.stdout)], redirectStandardIO=False)

    class Parent(LineReceiver):
        delimiter = b"\n"
        MAX_LENGTH = 1 << 20

        def lineReceived(self, line: bytes) -> None:
            told = json.loads(line)
            config = configuration.from_json(told["config"])
            try:
                server = Server(config, Path(told["data_folder"]), reactor)
            except ConfigurationError as error:
                log.critical("cannot start: {error}", error=str(error))
                exit_with(CANNOT_START)
                reactor.stop()
                return
            reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(server.stop()))
            adopting = AdoptingReactor(reactor)

            async def listen(site: StreamingSite) -> list[IListeningPort]:
                return [await serverFromString(adopting, text).listen(site) for text in config.server.listen]

            start_or_exit(server.start(listen), reactor)

        def connectionLost(self, reason: Failure = Failure(EOFError())) -> None:
            if reactor.running:
                reactor.stop()

    parent = Parent()
    reactor.callWhenRunning(exit_cleanly_on_sigterm, reactor)
    reactor.callWhenRunning(lambda: StandardIO(parent))
    reactor.run()


if __name__ == "__main__":
    main()
