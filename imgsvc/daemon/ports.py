"""Listening sockets for many clients at once: with a long backlog, and few connections accepted in one turn."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort

from imgsvc.daemon.records import JoiningFactory
from imgsvc.endpoints import endpoint_parts

ACCEPTED_AT_ONCE: Final = 16
"""The most connections to accept in one turn of the reactor. Open connections wait for no more than these."""
BACKLOG_PLACES: Final = {"tcp": 3, "tcp4": 3, "tcp6": 2, "ssl": 6, "unix": 3}
"""The position of the backlog among the positional arguments of an endpoint string."""


def longest_backlog() -> int:
    """The largest backlog that the kernel allows: connections that wait to be accepted."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except (OSError, ValueError):
        return socket.SOMAXCONN


def with_backlog(description: str) -> str:
    """Add the longest backlog to an endpoint string of Twisted, unless it has a backlog."""
    kind, arguments = endpoint_parts(description)
    named = [argument.partition("=")[0] for argument in arguments if "=" in argument]
    place = BACKLOG_PLACES.get(kind)
    if place is None or "backlog" in named or len(arguments) - len(named) >= place:
        return description
    return f"{description}:backlog={longest_backlog()}"


class Port(tcp.Port):
    """A TCP port that accepts few connections in a turn. Twisted's port accepts more and more as they come."""

    numberAccepts = property(lambda self: ACCEPTED_AT_ONCE, lambda self, number: None)


class UnixPort(unix.Port):
    """The same for a unix socket."""

    numberAccepts = property(lambda self: ACCEPTED_AT_ONCE, lambda self, number: None)


class ListeningReactor:
    """A reactor for endpoints. Its `listen` methods make the ports of this module."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See IReactorTCP."""
        return _listening(Port(port, factory, backlog, interface, self._reactor))

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See IReactorSSL."""
        listening: Any = self.listenTCP(port, JoiningFactory(contextFactory, False, factory), backlog, interface)
        listening._type = "TLS"  # as the reactor does
        return listening  # type: ignore[no-any-return]

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """See IReactorUNIX."""
        return _listening(UnixPort(address, factory, backlog, mode, self._reactor, wantPID))

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> IListeningPort:
        """See IReactorSocket. Takes a socket of systemd, and leaves a TCP socket the backlog that systemd has set."""
        if family == socket.AF_UNIX:
            adopted = UnixPort._fromListeningDescriptor(self._reactor, descriptor, factory)
            adopted.backlog = longest_backlog()
            return _listening(adopted)
        return _listening(Port._fromListeningDescriptor(self._reactor, descriptor, family, factory))


def _listening(port: Any) -> IListeningPort:
    port.startListening()
    return port  # type: ignore[no-any-return]
