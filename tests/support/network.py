"""A network in memory: names, addresses and web servers, for servers that connect to others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IReactorPluggableNameResolver, IReactorTCP
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

PIECE = 4096
"""Bytes that a client reads at once."""

Serve = Callable[["Exchange"], None]
"""Called when the head of a request is complete."""


def _address(host: str, port: int) -> IPv4Address | IPv6Address:
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)


@implementer(IReactorPluggableNameResolver, IReactorTCP, IHostnameResolver)
class Network(Clock):
    """A reactor whose connections lead to servers of the test.

    names: addresses by name; of a list of lists, each look-up uses up one, except the last. servers: by address and
    port. Other addresses refuse connections, and `silent` ones never answer. connected: the targets so far, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str] | list[list[str]]] = {}
        self.servers: dict[tuple[str, int], Serve] = {}
        self.silent: set[str] = set()
        self.lookups: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.exchanges: list[Exchange] = []

    @property
    def nameResolver(self) -> Network:
        """See IReactorPluggableNameResolver."""
        return self

    def installNameResolver(self, resolver: Any) -> Any:
        """See IReactorPluggableNameResolver."""
        raise NotImplementedError

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *arguments: Any) -> Any:
        """See IHostnameResolver."""
        self.lookups.append(hostName)
        receiver.resolutionBegan(_Resolution(hostName))
        found: Any = self.names.get(hostName, [])
        if found and isinstance(found[0], list):
            found = found.pop(0) if len(found) > 1 else found[0]

        def answer() -> None:
            for host in found:
                receiver.addressResolved(_address(host, portNumber))
            receiver.resolutionComplete()

        self.callLater(0, answer)
        return receiver

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        """See IReactorTCP."""
        self.connected.append((host, port))
        connector = _Connector(factory, host, port)
        factory.doStart()
        factory.startedConnecting(connector)
        if host in self.silent:
            connector.late = self.callLater(timeout, connector.fail, TimeoutError())
            return connector
        serve = self.servers.get((host, port))
        if serve is None:
            self.callLater(0, connector.fail, ConnectionRefusedError())
        else:
            self.callLater(0, self._connect, connector, serve)
        return connector

    def _connect(self, connector: _Connector, serve: Serve) -> None:
        if connector.ended:
            return
        connector.ended = True
        protocol = connector.factory.buildProtocol(_address(connector.host, connector.port))
        exchange = Exchange(self, protocol, serve)
        self.exchanges.append(exchange)
        protocol.makeConnection(exchange.transport)

    def listenTCP(self, *arguments: Any, **more: Any) -> Any:
        """See IReactorTCP."""
        raise NotImplementedError


@implementer(IHostResolution)
@define
class _Resolution:
    name: str

    def cancel(self) -> None:
        """See IHostResolution."""


@define(eq=False)
class _Connector:
    factory: Any
    host: str
    port: int
    ended: bool = False
    late: Any = None

    def fail(self, error: Exception) -> None:
        if not self.ended:
            self.ended = True
            self.factory.clientConnectionFailed(self, Failure(error))

    def getDestination(self) -> Any:
        return _address(self.host, self.port)

    def stopConnecting(self) -> None:
        if self.late is not None and self.late.active():
            self.late.cancel()
        self.fail(DNSLookupError("given up"))

    def disconnect(self) -> None:
        self.stopConnecting()


class Exchange:
    """One connection of a client, as the server sees it: what was received, and what is sent."""

    def __init__(self, network: Network, protocol: Any, serve: Serve) -> None:
        self._network = network
        self._protocol = protocol
        self._serve: Serve | None = serve
        self._waiting: deque[bytes] = deque()
        self._closing = False
        self._moving = False
        self.closed = False
        """Whether the client has closed the connection, or the server has."""
        self.transport = _Transport(self)

    @property
    def request(self) -> bytes:
        """All that the client has sent."""
        sent: bytes = self.transport.value()
        return sent

    def header(self, name: str) -> str | None:
        """A header of the request."""
        for line in self.request.decode("latin-1").split("\r\n")[1:]:
            if line.lower().startswith(f"{name.lower()}: "):
                return line.partition(": ")[2]
        return None

    @property
    def line(self) -> str:
        """The first line of the request."""
        return self.request.partition(b"\r\n")[0].decode("latin-1")

    def asked(self) -> None:
        """Called when the client has sent something."""
        if self._serve is not None and b"\r\n\r\n" in self.request:
            serve, self._serve = self._serve, None
            self._network.callLater(0, serve, self)

    def send(self, data: bytes) -> None:
        """Send as fast as the client reads."""
        self._waiting.extend(data[start : start + PIECE] for start in range(0, len(data), PIECE))
        self.move()

    def close(self) -> None:
        """Close the connection after everything was read."""
        self._closing = True
        self.move()

    def move(self) -> None:
        """Send more, if the client reads."""
        if not self._moving:
            self._moving = True
            self._network.callLater(0, self._move)

    def _move(self) -> None:
        self._moving = False
        if self.closed or self.transport.producerState != "producing":
            return
        if self._waiting:
            self._protocol.dataReceived(self._waiting.popleft())
            self.move()
        elif self._closing:
            self.lost()

    def lost(self) -> None:
        """The connection was lost."""
        if not self.closed:
            self.closed = True
            self._protocol.connectionLost(Failure(ConnectionDone()))


class _Transport(StringTransport):
    def __init__(self, exchange: Exchange) -> None:
        super().__init__(lenient=True)
        self._exchange = exchange

    def write(self, data: bytes) -> None:
        super().write(data)
        self._exchange.asked()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._exchange.move()

    def loseConnection(self) -> None:
        self._exchange._network.callLater(0, self._exchange.lost)

    def abortConnection(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The client has no body."""

    def unregisterProducer(self) -> None:
        """The client has no body."""


@define
class WebSite:
    """Objects by their path, with ranges and HEAD, or without. asked: the first lines of all requests."""

    objects: dict[str, bytes] = field(factory=dict)
    ranges: bool = True
    head: bool = True
    status: int | None = None
    """The response to every request, if it is set."""
    holding: bool = False
    """Whether only HEAD is answered, and other requests wait for `release`."""
    asked: list[str] = field(factory=list)
    held: list[Exchange] = field(factory=list)

    def release(self) -> None:
        """Answer the requests that wait."""
        self.holding = False
        held, self.held = self.held, []
        for exchange in held:
            self._answer(exchange)

    def __call__(self, exchange: Exchange) -> None:
        """See Serve."""
        self.asked.append(exchange.line)
        if self.holding and not exchange.line.startswith("HEAD"):
            self.held.append(exchange)
        else:
            self._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        method, path, _ = exchange.line.split(" ")
        data = self.objects.get(path)
        asked = exchange.header("range")
        if self.status is not None:
            exchange.send(answer(self.status))
        elif method == "HEAD" and not self.head:
            exchange.send(answer(405))
        elif data is None:
            exchange.send(answer(404))
        elif asked is not None and self.ranges:
            start, stop = (int(text) for text in asked.removeprefix("bytes=").split("-"))
            if stop >= len(data):
                exchange.send(answer(416))
            else:
                part = data[start : stop + 1]
                exchange.send(answer(206, part, f"Content-Range: bytes {start}-{stop}/{len(data)}"))
        else:
            exchange.send(answer(200, data, body=method == "GET"))
        exchange.close()


def answer(status: int, data: bytes = b"", *lines: str, body: bool = True) -> bytes:
    """The bytes of a response."""
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", *lines, "", ""]
    return "\r\n".join(head).encode() + (data if body else b"")
