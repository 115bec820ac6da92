"""What a JSON service sends back: its body whole, within a bound, and never compressed."""

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
    """A body has more bytes than are read of it."""


@implementer(IAgent)
class PlainAgent:
    """Asks another agent for bodies as they are: a few compressed bytes can stand for very many.

    treq asks for gzip, and unpacks each piece whole; a body that comes compressed all the same is handed on as it is.
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
    """The body of a response. Cancelling it ends the connection.

    most: bytes. Fails with TooMuch at the first byte beyond them, with the connection ended; with what ResponseFailed
    or the connection says of a body that breaks off.
    """
    body = _Body(most)
    response.deliverBody(body)
    return body.done


class _Body(Protocol):
    """Gathers a body."""

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
        """End the connection at once: under TLS a peer that is silent would be waited for.

        Uses a name which Twisted does not promise to keep: `TransportProxyProducer._producer`.
        """
        transport: Any = self.transport
        if transport is not None:
            producer = getattr(transport, "_producer", None)
            getattr(producer, "abortConnection", transport.loseConnection)()
