"""Reads the body of a JSON service's response: as a whole, up to a limit, and uncompressed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["PlainAgent", "TooMuch", "read_body"]


class TooMuch(Exception):
    """A body has more bytes than the limit."""


@implementer(IAgent)
class PlainAgent:
    """Asks another agent for uncompressed bodies, because a few compressed bytes can expand to very many.

    Without this, treq would ask for gzip and decompress without a limit. If the server compresses the body anyway, the
    compressed bytes are handed on.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """See IAgent."""
        asked = Headers() if headers is None else headers.copy()
        asked.setRawHeaders(b"accept-encoding", [b"identity"])
        response: Deferred[IResponse] = self._agent.request(method, uri, asked, bodyProducer)
        return response.addCallback(_without_encoding)


def _without_encoding(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"content-encoding")
    return response


def read_body(response: Any, most: int) -> Deferred[bytes]:
    """The body of a response. Cancelling the Deferred ends the connection.

    most: largest number of bytes. Fails with TooMuch, and ends the connection, when the body is longer. If the body
    breaks off, it fails with ResponseFailed or the error of the connection.
    """
    body = _Body(most)
    response.deliverBody(body)
    return body.done


class _Body(Protocol):
    """Collects a body."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._leave())

    def dataReceived(self, data: bytes) -> None:
        """See Protocol."""
        if self.done.called:
            return
        self._data += data
        if len(self._data) > self._most:
            self._leave()
            self.done.errback(TooMuch())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See Protocol."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(reason)

    def _leave(self) -> None:
        """Abort the connection. A regular close would wait for the peer under TLS, which may be silent.

        `TransportProxyProducer._producer` is not part of Twisted's public API.
        """
        transport: Any = self.transport
        if transport is not None:
            producer = getattr(transport, "_producer", None)
            getattr(producer, "abortConnection", transport.loseConnection)()
