"""Sends single requests to HTTP servers. Failures are ClientErrors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import (
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from imgsvc.client.answers import error_message, header, printable, retry_after
from imgsvc.client.body import Body
from imgsvc.client.connections import UploadConnection, make_agent
from imgsvc.client.errors import BadResponse, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.identity.login import Tls
from imgsvc.client.tls import make_policy
from imgsvc.client.urls import Url

ERROR_LIMIT: Final = 64 * 1024
"""Bytes of the answer to a refused request that are read."""


@frozen
class Service:
    """A server that is asked. name: for messages, as `the Image API`. url: where it is; paths are put behind it."""

    name: str
    url: str


@implementer(IAgent)
class _PlainAgent:
    """Asks for unchanged bytes. treq would accept gzip, and a range of compressed bytes is another range."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders(b"accept-encoding", [b"identity"])
        return self._agent.request(method, uri, headers, bodyProducer)


class Transport:
    """The connections of one client.

    reactor: makes the connections and keeps the time. agent: an IAgent that makes the requests; None for one that keeps
    idle connections. connections: the most of these that it keeps for each server. stall_limit: seconds that a server
    may be silent. tls: a Tls.

    It owns the connections; `close` ends them. Raises LocalFileError: a file of `tls` cannot be used.
    """

    def __init__(self, reactor: Any, *, agent: IAgent | None, connections: int, stall_limit: float, tls: Tls) -> None:
        self.clock: IReactorTime = reactor
        self.stall_limit = stall_limit
        self._reactor = reactor
        self._policy = make_policy(tls)
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = connections
        self._agent = agent or make_agent(reactor, self._pool, self._policy)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()

    def upload_connection(self) -> UploadConnection:
        """Make the connection of one upload, which the caller aborts."""
        return UploadConnection(self._reactor, self._policy)

    async def request(
        self,
        service: Service,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        data: bytes | IBodyProducer | None = None,
        agent: IAgent | None = None,
        answer_limit: float | None = None,
    ) -> IResponse:
        """Send a request, and wait for the headers of the answer.

        service: a Service. method: a string. path: a string below its URL, with its query. headers: strings by name.
        data: the body. agent: an IAgent instead of that of the transport. answer_limit: seconds until the headers of
        the answer must be there; None for stall_limit, 0 for no limit.

        Returns the response, whatever its status is; its body is not read. Raises Unreachable, TransferInterrupted,
        BadResponse.
        """
        treq = HTTPClient(_PlainAgent(agent or self._agent))
        sent: Deferred[Any] = treq.request(
            method,
            Url.from_text(service.url + path),
            headers=Headers({name: [value] for name, value in headers.items()}),
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
            data=data,
        )
        limit = self.stall_limit if answer_limit is None else answer_limit
        if limit:
            sent.addTimeout(limit, self._reactor, onTimeoutCancel=_no_answer)
        response: IResponse = await sent.addErrback(_explain, service)
        return response

    async def refusal(self, response: IResponse) -> RequestRefused:
        """Read the body of an unsuccessful response, and make the error that it means."""
        try:
            content = await self.content(response, ERROR_LIMIT)
        except TransferInterrupted:
            content = b""
        message = error_message(header(response, "content-type") or "", content)
        words = message or printable(bytes(response.phrase).decode("latin-1"))
        return RequestRefused(response.code, words, retry_after(response))

    def body(self, response: IResponse) -> Body:
        """Make the Body of a response."""
        return Body(response, self.clock, self.stall_limit)

    async def content(self, response: IResponse, limit: int) -> bytes:
        """Read the body of a response, up to `limit` bytes. Raises TransferInterrupted."""
        if response.length == 0:
            return b""
        body, content = self.body(response), bytearray()
        try:
            async for block in body:
                content += block
                if len(content) > limit:
                    break
        finally:
            body.close()
        return bytes(content[:limit])


def _explain(failure: Failure, service: Service) -> NoReturn:
    """Raise the ClientError that a failure of Twisted's HTTP client means."""
    problem = failure.value
    if failure.check(ResponseNeverReceived, ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed):
        causes = [reason.value for reason in problem.reasons]  # type: ignore[union-attr]
        cause = causes[0]
        if failure.check(RequestGenerationFailed) or isinstance(cause, CancelledError):
            raise cause
        if failure.check(ResponseNeverReceived) and not isinstance(cause, error.ConnectionClosed):
            # Before the first byte of an answer, all other errors than the end of the connection are those of TLS.
            raise Unreachable(service.url, _tls_words(cause), service.name) from problem
        if failure.check(ResponseFailed) and not isinstance(cause, error.ConnectionClosed):
            raise BadResponse(f"What listens at {service.url} does not speak HTTP.") from problem
        raise TransferInterrupted(f"The connection to {service.url} was lost: {_words(cause)}") from problem
    if failure.check(error.ConnectError, error.DNSLookupError, error.TimeoutError, error.ConnectBindError):
        raise Unreachable(service.url, _words(problem), service.name) from problem
    failure.raiseException()


def _no_answer(_result: object, limit: float) -> NoReturn:
    raise TransferInterrupted(f"The server did not answer within {limit:.0f} seconds.")


def _tls_words(problem: BaseException) -> str:
    match problem.args:
        case ([(_, _, str(reason)), *_],):  # the form of OpenSSL's errors
            return f"TLS: {reason}."
    return str(problem) or type(problem).__name__


def _words(problem: BaseException | None) -> str:
    return " ".join(str(problem).split()).rstrip(".") + "."
