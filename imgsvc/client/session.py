"""Sends requests with credentials to one Image API. Failures are ClientErrors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from hyperlink import EncodedURL
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
from imgsvc.client.connections import make_agent
from imgsvc.client.errors import BadResponse, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.patience import Notice, Patience, no_notice

DOCUMENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a JSON answer that are read."""
ERROR_LIMIT: Final = 64 * 1024
"""Bytes of the answer to a refused request that are read."""
ELSEWHERE: Final = (301, 302, 303, 307, 308)
"""Status codes of redirects."""


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


class _Url(EncodedURL):
    """A URL for treq. hyperlink takes an IPv6 address for a name, and refuses it."""

    def to_uri(self) -> EncodedURL:
        return self if ":" in self.host else super().to_uri()


def check_endpoint(endpoint: str) -> None:
    """Check the URL of an Image API. endpoint: a string. Raises ValueError that says what is wrong."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        _Url.from_text(endpoint).to_uri().to_text().encode("ascii")
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{endpoint!r} is not an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("the URL must not have a user name")
    if parts.query or parts.fragment:
        raise ValueError(f"{endpoint!r} has more than a path after the host")


class Session:
    """One endpoint, its credentials and its connections.

    endpoint: a string, the URL of the Image API, with or without `/v2`. reactor: makes the connections and keeps the
    time. headers: strings by name, sent with every request. auth: a pair of strings, user and password for HTTP Basic.
    agent: an IAgent that makes the requests; by default one that keeps idle connections. connections: the most of these
    that it keeps. stall_limit: seconds that the server may be silent. notice: a Notice, called before something is
    tried again.

    It owns the connections; `close` ends them.
    """

    def __init__(
        self,
        endpoint: str,
        reactor: Any,
        *,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
        agent: IAgent | None,
        connections: int,
        stall_limit: float,
        notice: Notice = no_notice,
    ) -> None:
        check_endpoint(endpoint)
        self.endpoint = re.sub(r"/v2(\.\d+)?$", "", endpoint.rstrip("/"))
        self.clock: IReactorTime = reactor
        self.stall_limit = stall_limit
        self._reactor = reactor
        self.notice = notice
        self._answered = False
        self._headers = dict(headers)
        self._auth = auth
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = connections
        self._agent = agent or make_agent(reactor, self._pool)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()

    def patience(self, retries: int | None = None) -> Patience:
        """Make a Patience for one call. retries: most tries in a row after the first; None for the default."""
        return Patience(self.clock, self.notice) if retries is None else Patience(self.clock, self.notice, retries)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        agent: IAgent | None = None,
        answer_limit: float | None = None,
        **arguments: Any,
    ) -> IResponse:
        """Send a request, and wait for the headers of the answer.

        method: a string. path: a string below the endpoint, with its query. headers: strings by name, sent beside those
        of the session. agent: an IAgent instead of that of the session. answer_limit: seconds until the headers of the
        answer must be there; None for stall_limit, 0 for no limit. arguments: passed to treq's request (params, data,
        ...).

        Returns the response, whatever its status is; its body is not read. Raises Unreachable, TransferInterrupted,
        BadResponse.
        """
        treq = HTTPClient(_PlainAgent(agent or self._agent))
        sent: Deferred[Any] = treq.request(
            method,
            _Url.from_text(self.endpoint + path),
            headers=_headers({**self._headers, **(headers or {})}),
            auth=self._auth,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
            **arguments,
        )
        limit = self.stall_limit if answer_limit is None else answer_limit
        if limit:
            sent.addTimeout(limit, self._reactor, onTimeoutCancel=_no_answer)
        response: IResponse = await sent.addErrback(self._explain)
        self._answered = True
        return response

    async def document(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send a request that is answered with JSON.

        method: a string. path: a string below the endpoint, with its query. body: a value that is sent as JSON; None
        for no body. content_type: a string, of the body.

        A server that refuses for a while, and says for how long, is asked again after that. As long as the server has
        not answered anything, a broken connection counts as Unreachable: what listens there may not be an HTTP server,
        or may expect TLS.

        Returns the value of the JSON, None if the answer has no body. Raises RequestRefused, BadResponse, Unreachable,
        TransferInterrupted.
        """
        headers, data = {"Accept": "application/json"}, None
        if body is not None:  # treq would send JSON always as application/json
            headers["Content-Type"], data = content_type, json.dumps(body).encode()
        patience = self.patience()
        while True:
            try:
                response = await self.request(method, path, headers=headers, data=data)
                return await self._document(response, f"{method} {path}")
            except RequestRefused as refusal:
                if refusal.retry_after is None:
                    raise
                await patience.after(refusal)
            except TransferInterrupted as problem:
                if self._answered or isinstance(problem, BadResponse):
                    raise
                hint = "Is it an Image API, and is http or https right?"
                raise Unreachable(self.endpoint, f"{problem} {hint}") from problem

    async def _document(self, response: IResponse, request: str) -> Any:
        if response.code == 300:  # the answer to a path without a version
            await self.refusal(response)
            raise BadResponse(f"There is no Image API at {self.endpoint}, but perhaps at another path of this server.")
        if response.code in ELSEWHERE:
            await self.refusal(response)
            place = printable(header(response, "location") or "another place")
            raise BadResponse(f"The server at {self.endpoint} sends requests on to {place}: use the URL of that one.")
        if not 200 <= response.code < 300:
            raise await self.refusal(response)
        content = await self._content(response, DOCUMENT_LIMIT)
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError as problem:
            raise BadResponse(
                f"The answer to {request} is not JSON: there is no Image API at {self.endpoint}."
            ) from problem

    async def refusal(self, response: IResponse) -> RequestRefused:
        """Read the body of an unsuccessful response, and make the error that it means."""
        try:
            content = await self._content(response, ERROR_LIMIT)
        except TransferInterrupted:
            content = b""
        message = error_message(header(response, "content-type") or "", content)
        words = message or printable(bytes(response.phrase).decode("latin-1"))
        return RequestRefused(response.code, words, retry_after(response))

    def body(self, response: IResponse) -> Body:
        """Make the Body of a response."""
        return Body(response, self.clock, self.stall_limit)

    async def _content(self, response: IResponse, limit: int) -> bytes:
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

    def _explain(self, failure: Failure) -> NoReturn:
        """Raise the ClientError that a failure of Twisted's HTTP client means."""
        problem = failure.value
        if failure.check(ResponseNeverReceived, ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed):
            causes = [reason.value for reason in problem.reasons]  # type: ignore[union-attr]
            cause = causes[0]
            if failure.check(RequestGenerationFailed) or isinstance(cause, CancelledError):
                raise cause
            if failure.check(ResponseNeverReceived) and not isinstance(cause, error.ConnectionClosed):
                # Before the first byte of an answer, all other errors than the end of the connection are those of TLS.
                raise Unreachable(self.endpoint, _tls_words(cause)) from problem
            if failure.check(ResponseFailed) and not isinstance(cause, error.ConnectionClosed):
                raise BadResponse(f"What listens at {self.endpoint} does not speak HTTP.") from problem
            raise TransferInterrupted(f"The connection to {self.endpoint} was lost: {_words(cause)}") from problem
        if failure.check(error.ConnectError, error.DNSLookupError, error.TimeoutError, error.ConnectBindError):
            raise Unreachable(self.endpoint, _words(problem)) from problem
        failure.raiseException()


def _headers(values: Mapping[str, str]) -> Headers:
    return Headers({name: [value] for name, value in values.items()})


def _no_answer(_result: object, limit: float) -> NoReturn:
    raise TransferInterrupted(f"The server did not answer within {limit:.0f} seconds.")


def _tls_words(problem: BaseException) -> str:
    match problem.args:
        case ([(_, _, str(reason)), *_],):  # the form of OpenSSL's errors
            return f"TLS: {reason}."
    return str(problem) or type(problem).__name__


def _words(problem: BaseException | None) -> str:
    return " ".join(str(problem).split()).rstrip(".") + "."
