"""Connections to the addresses that a Guard admits, and to no others."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from imgsvc.errors import RemoteUnavailable
from imgsvc.remote.addresses import Address
from imgsvc.remote.guard import Guard, Target

LARGEST_HEAD: Final = 128 << 10
"""Bytes that a server may send before the headers of its response are complete."""
MOST_ADDRESSES: Final = 4
"""Addresses of one host that are tried, at most."""


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class RemoteConnection:
    """The connection of one request to a Target. Its owner ends it with `abort`.

    It resolves the host, checks the address, and connects to that same address. A name whose address changes between
    check and connection (DNS rebinding) cannot lead to another address.
    """

    def __init__(self, reactor: Any, guard: Guard, target: Target, timeout: float, tls: IPolicyForHTTPS) -> None:
        """timeout: seconds for each address."""
        self._reactor = reactor
        self._guard = guard
        self._target = target
        self._timeout = timeout
        self._tls = tls
        self._transport: _CountingTransport | None = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See IAgentEndpointFactory. The URI comes from the target and is ignored."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint. Fails with RemoteUnavailable or ConnectError."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        target = self._target
        addresses = [address for address in await self._addresses() if self._guard.admits(target.host, address)]
        if not addresses:
            raise RemoteUnavailable("its host has no address that is allowed")
        failed: ConnectError | None = None
        for address in addresses[:MOST_ADDRESSES]:
            kind = TCP4ClientEndpoint if isinstance(address, IPv4Address) else TCP6ClientEndpoint
            endpoint: IStreamClientEndpoint = kind(self._reactor, str(address), target.port, self._timeout)
            if target.scheme == "https":
                creator = self._tls.creatorForNetloc(target.host.encode().removesuffix(b"."), target.port)
                endpoint = wrapClientTLS(creator, endpoint)
            try:
                transport: Any = await endpoint.connect(_CountingFactory(factory))
            except ConnectError as error:
                failed = error
            else:
                self._transport = transport
                protocol: IProtocol = transport.wrappedProtocol
                return protocol
        assert failed is not None
        raise failed

    async def _addresses(self) -> Sequence[Address]:
        if self._target.address is not None:
            return [self._target.address]
        receiver = _Addresses()
        self._reactor.nameResolver.resolveHostName(receiver, self._target.host, self._target.port)
        return await receiver.complete

    def answered(self) -> None:
        """Lift the limit of the head: the headers are complete, and the body may have any length."""
        if self._transport is not None:
            self._transport.left = None

    def abort(self) -> None:
        """End the connection now. May be called repeatedly, also if there was no connection."""
        transport, self._transport = self._transport, None
        if transport is not None and transport.connected:
            transport.abortConnection()


class _CountingTransport(ProtocolWrapper):
    """Aborts when the head of a response exceeds LARGEST_HEAD, because the HTTP client keeps all headers in memory."""

    left: int | None = LARGEST_HEAD

    def dataReceived(self, data: bytes) -> None:
        if self.left is not None:
            self.left -= len(data)
            if self.left < 0:
                transport: Any = self.transport
                transport.abortConnection()
                return
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        super().connectionLost(reason)


class _CountingFactory(WrappingFactory):
    noisy = False
    protocol = _CountingTransport


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses of a name."""

    def __init__(self) -> None:
        self._found: list[Address] = []
        self._resolution: IHostResolution | None = None
        self.complete: Deferred[Sequence[Address]] = Deferred(self._cancelled)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See IResolutionReceiver."""
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        """See IResolutionReceiver."""
        found: Any = address
        self._found.append(ip_address(found.host))

    def resolutionComplete(self) -> None:
        """See IResolutionReceiver."""
        if self.complete.called:
            return
        if self._found:
            self.complete.callback(self._found)
        else:
            self.complete.errback(RemoteUnavailable("its host has no address"))

    def _cancelled(self, complete: Deferred[Sequence[Address]]) -> None:
        complete.errback(CancelledError())
