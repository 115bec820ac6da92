"""Makes connections to the server."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

CONNECT_LIMIT: Final = 30.0
"""Seconds until a connection must be made."""


def make_agent(reactor: Any, pool: HTTPConnectionPool, policy: IPolicyForHTTPS) -> IAgent:
    """Make an agent that keeps its connections in a pool. policy: of TLS."""
    agent: IAgent = Agent(reactor, policy, connectTimeout=CONNECT_LIMIT, pool=pool)
    return agent


class UploadConnection:
    """The connection of one upload. It can be aborted, and it reads a refusal while it still sends.

    Twisted's HTTP client stops reading after the headers of an answer until somebody asks for the body. Nobody can ask
    for it while the request is still being written, so an early refusal would not be read. Therefore this connection
    goes on reading while the request is written.

    policy: of TLS.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS) -> None:
        self.agent: IAgent = Agent.usingEndpointFactory(reactor, _UploadEndpoints(reactor, self, policy))
        self._transport: _ReadingTransport | None = None

    def opened(self, transport: _ReadingTransport) -> None:
        """Called when the connection is made."""
        self._transport = transport

    def abort(self) -> None:
        """End the connection at once. May be called several times, also if it was never made."""
        transport, self._transport = self._transport, None
        if transport is not None and transport.connected:
            transport.abortConnection()


class _ReadingTransport(ProtocolWrapper):
    """Wraps the transport of the HTTP client, and does not pause reading while a producer is registered."""

    _sending = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._sending = True
        super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._sending = False
        super().unregisterProducer()

    def pauseProducing(self) -> None:
        if not self._sending:
            transport: Any = self.transport
            transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        super().connectionLost(reason)


class _ReadingFactory(WrappingFactory):
    protocol = _ReadingTransport


@implementer(IStreamClientEndpoint)
class _UploadEndpoint:
    def __init__(self, endpoint: IStreamClientEndpoint, connection: UploadConnection) -> None:
        self._endpoint = endpoint
        self._connection = connection

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        def opened(transport: Any) -> IProtocol:
            self._connection.opened(transport)
            protocol: IProtocol = transport.wrappedProtocol
            return protocol

        connecting: Deferred[Any] = self._endpoint.connect(_ReadingFactory(protocolFactory))
        return connecting.addCallback(opened)


@implementer(IAgentEndpointFactory)
class _UploadEndpoints:
    def __init__(self, reactor: Any, connection: UploadConnection, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._connection = connection
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, uri.host.decode("ascii"), uri.port, timeout=CONNECT_LIMIT
        )
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _UploadEndpoint(endpoint, self._connection)
