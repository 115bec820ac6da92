"""One of several processes that serve. `child.py` describes the protocol with its parent."""

from __future__ import annotations

import json
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc import config as configuration
from imgsvc.daemon.child import FAILED, FIRST_PORT_FD, LOG_FD, REFUSED, REJECTED, RELOADED, SERVING
from imgsvc.daemon.clock import go_by_time_passed
from imgsvc.daemon.listening import listen_endpoints
from imgsvc.daemon.ports import longest_backlog
from imgsvc.daemon.process import stop
from imgsvc.daemon.records import JoiningFactory
from imgsvc.daemon.server import Server
from imgsvc.daemon.service import ServerService
from imgsvc.errors import ConfigurationError
from imgsvc.log import LogOutput, make_observer
from imgsvc.logger import make_logger

log = make_logger()


def main() -> None:
    """Read from standard input what to serve. Serve until the parent says `stop` or ends."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    go_by_time_passed(reactor)
    with open(0, "rb", buffering=0, closefd=False) as parent:
        line = parent.readline()
    if not line:
        return
    told = json.loads(line)
    stream = open(LOG_FD, "w", encoding="utf-8")  # noqa: SIM115  # open until the process ends
    log_output = LogOutput(told["log_format"], stream, f"worker {os.getpid()}: ", told["log_path"])
    globalLogBeginner.beginLoggingTo([make_observer(log_output)], redirectStandardIO=False)
    config = configuration.from_json(told["config"])
    report = ReportToParent()
    try:
        server = Server(config, Path(told["data_folder"]), reactor)
        endpoints = listen_endpoints(AdoptingReactor(reactor), config.server.listen)
    except ConfigurationError as error:
        report.rejected(" ".join(str(error).split()))
        raise SystemExit(1) from error
    service = ServerService(server, endpoints, log_output, reactor, report)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.addReader(Parent(reactor, service))
    reactor.run()


def say(line: bytes) -> None:
    """Send a line to the parent."""
    with suppress(BrokenPipeError):  # the parent has ended, which `Parent` notices
        os.write(1, line + b"\n")


class ReportToParent:
    """Sends the outcome of the start to the parent. See Report."""

    def begin(self) -> None:
        """See Report. Sends nothing, as the parent knows it."""

    def serving(self) -> None:
        """See Report."""
        say(SERVING)

    def failed(self, reason: str) -> None:
        """See Report."""
        say(FAILED + reason.encode())

    def rejected(self, reason: str) -> None:
        """See Report."""
        say(REJECTED + reason.encode())


@implementer(IReadDescriptor)
class Parent:
    """Reads the commands of the parent from standard input."""

    def __init__(self, reactor: Any, service: ServerService) -> None:
        self._reactor = reactor
        self._service = service
        self._line = b""

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return 0

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "Parent"

    def doRead(self) -> None:
        """See IReadDescriptor."""
        told = os.read(0, 65536)
        if not told:
            self._reactor.removeReader(self)
            stop(self._reactor)
        *lines, self._line = (self._line + told).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"reopen":
            self._service.reopen_log()
        elif word == b"reload":
            self._reload(rest.decode())
        else:
            if word == b"stop_now":  # after `stop`
                self._service.stop_now()
            stop(self._reactor)

    def _reload(self, text: str) -> None:
        try:
            self._service.apply(configuration.from_json(text))
        except ConfigurationError as error:
            say(REFUSED + " ".join(str(error).split()).encode())
        else:
            say(RELOADED)

    def connectionLost(self, reason: Failure) -> None:
        """See IFileDescriptor: the parent has ended."""
        stop(self._reactor)


class AdoptingReactor:
    """A reactor for endpoints. Each call of a `listen` method takes the next socket that the parent has bound."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._next = FIRST_PORT_FD

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _adopt(self, factory: Any) -> IListeningPort:
        descriptor, self._next = self._next, self._next + 1
        with socket.socket(fileno=descriptor) as bound:  # closed here, as the port makes a duplicate
            port: Any
            if bound.family == socket.AF_UNIX:
                port = SharedUnixPort._fromListeningDescriptor(self._reactor, descriptor, factory)
                port.backlog = longest_backlog()  # a unix port calls listen() again with its own backlog
                port.mode = stat.S_IMODE(os.stat(bound.getsockname()).st_mode)
            else:
                port = SharedPort._fromListeningDescriptor(self._reactor, descriptor, bound.family, factory)
        port.startListening()
        return port  # type: ignore[no-any-return]

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See IReactorTCP."""
        return self._adopt(factory)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See IReactorSSL."""
        adopted: Any = self._adopt(JoiningFactory(contextFactory, False, factory))
        adopted._type = "TLS"  # as the reactor does
        return adopted  # type: ignore[no-any-return]

    def listenUNIX(self, address: Any, factory: Any, *options: Any, **named: Any) -> IListeningPort:
        """See IReactorUNIX."""
        return self._adopt(factory)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> IListeningPort:
        """See IReactorSocket: a socket that systemd has passed to the parent."""
        return self._adopt(factory)


class SharedPort(tcp.Port):
    """Accepts one connection in a turn of the reactor, so that workers share connections that arrive together."""

    numberAccepts = property(lambda self: 1, lambda self, number: None)


class SharedUnixPort(unix.Port):
    """The same for a unix socket, whose path belongs to the parent."""

    _shouldShutdown = False
    numberAccepts = property(lambda self: 1, lambda self, number: None)

    def connectionLost(self, reason: Failure) -> None:
        """Called when the port is closed. Does not remove the path, which a unix port would."""
        tcp.Port.connectionLost(self, reason)
