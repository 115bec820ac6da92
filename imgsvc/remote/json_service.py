"""Calls of JSON services over HTTP that the operator has configured and trusts, such as Keystone and Barbican.

The operator chooses the URLs. `fetch.Fetcher` is for URLs that clients name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS

from imgsvc import __version__
from imgsvc.context import bound, headers_for_services, seconds_left
from imgsvc.errors import ConfigurationError, ServiceAnswerTooLarge, ServiceUnavailable
from imgsvc.logger import make_logger
from imgsvc.remote.bounded import PlainAgent, TooMuch, read_body
from imgsvc.remote.service_calls import ServiceAnswer, ServiceLimits, ServiceRequest, TokenSource

__all__ = ["JsonService", "connect"]

log = make_logger()

_NOT_SENT: Final = (ConnectError, DNSLookupError)
_BROKEN: Final = (ConnectionClosed, ResponseFailed, RequestTransmissionFailed)
_CANCELLED: Final = (CancelledError, ConnectingCancelledError)
_IDEMPOTENT: Final = frozenset({"GET", "HEAD"})
TOO_MANY_REQUESTS: Final = 429


class JsonService:
    """One service. `stop` ends all calls. Each call has a timeout, and ends also when its Deferred is cancelled.

    A call for a request ends at the request's deadline, too.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        agent: IAgent,
        clock: IReactorTime,
        limits: ServiceLimits,
        *,
        option: str,
        tokens: TokenSource | None = None,
        close: Callable[[], Deferred[object]] | None = None,
    ) -> None:
        """name: of the service, for messages. endpoint: its URL. option: the option that has the URL, for messages.

        tokens: gives the tokens of the server itself. close: closes the idle connections of the agent.
        Raises ConfigurationError: the endpoint is not a URL.
        """
        if not re.fullmatch(r"https?://[^/?#\s]+(?:/[^?#\s]*)?", endpoint):
            raise ConfigurationError(f"{option} = {endpoint!r}: must be a URL, as 'https://{name.lower()}.example'")
        self.name = name
        self._endpoint = endpoint.rstrip("/")
        self._agent = PlainAgent(agent)
        self._clock = clock
        self._limits = limits
        self._tokens = tokens
        self._close = close
        self._calls: set[Deferred[ServiceAnswer]] = set()
        self._stopped = False

    def ask(self, request: ServiceRequest) -> Deferred[ServiceAnswer]:
        """Send a request, and return its response. Cancelling the Deferred ends the call and its connection.

        Redirects are not followed, because they could send the token to another server. Fails with ServiceUnavailable:
        after the last attempt there was no response in time, or it was a redirect, 429, or 500 and above; or the
        deadline of the current request is over. Fails with ServiceAnswerTooLarge: its body has more bytes than the
        limit.
        """
        left = seconds_left(self._clock)
        seconds = self._limits.timeout if left is None else min(left, self._limits.timeout)
        if seconds <= 0:
            return fail(self._failure(request, f"{self.name} is not asked any more: the request has taken too long."))
        end = self._clock.seconds() + seconds
        call: Deferred[ServiceAnswer] = Deferred.fromCoroutine(self._ask(request, end))
        late = bound(self._late)
        call.addTimeout(seconds, self._clock, lambda _result, _seconds: late(request))
        self._calls.add(call)
        return call.addBoth(self._ended, call)

    def stop(self) -> Deferred[None]:
        """End all calls, and close the connections. These calls, and all later ones, fail with ServiceUnavailable."""
        self._stopped = True
        for call in list(self._calls):
            call.cancel()
        return Deferred.fromCoroutine(self._closed())

    async def _closed(self) -> None:
        if self._close is not None:
            await self._close()

    def _ended(self, result: ServiceAnswer | Failure, call: Deferred[ServiceAnswer]) -> ServiceAnswer | Failure:
        self._calls.discard(call)
        if self._stopped and isinstance(result, Failure) and result.check(CancelledError):
            return Failure(self._stopping())
        return result

    async def _ask(self, request: ServiceRequest, end: float) -> ServiceAnswer:
        if self._stopped:
            raise self._stopping()
        token = await self._token(request)
        answer = await self._repeated(request, token, end)
        if answer.status != 401 or request.token is not None or token is None or self._tokens is None:
            return answer
        self._tokens.forget(token)
        renewed = await self._token(request)
        return answer if renewed == token else await self._repeated(request, renewed, end)

    async def _repeated(self, request: ServiceRequest, token: str | None, end: float) -> ServiceAnswer:
        """Try until there is a response, or no attempt or no time is left. Raises ServiceUnavailable, CancelledError.

        end: when the call ends, in seconds of the clock.
        """
        attempt = 1
        while True:
            try:
                return await self._once(request, token)
            except _Again as again:
                seconds = max(self._limits.pause * 2 ** (attempt - 1), again.retry_after)
                in_time = self._clock.seconds() + seconds < end
                if attempt >= self._limits.attempts or not again.may_repeat(request) or not in_time:
                    raise self._failure(request, again.reason, is_down=not again.answered) from again.__cause__
                await self._pause(request, seconds, again.reason)
                attempt += 1

    async def _token(self, request: ServiceRequest) -> str | None:
        if request.token is not None or self._tokens is None:
            return request.token
        return await self._tokens.token()

    async def _pause(self, request: ServiceRequest, seconds: float, reason: str) -> None:
        log.info(
            "{service}: {method} {path}: {reason} Once more in {seconds} s.",
            **self._about(request),
            reason=reason,
            seconds=seconds,
        )
        await deferLater(self._clock, seconds)

    async def _once(self, request: ServiceRequest, token: str | None) -> ServiceAnswer:
        """One attempt. Raises _Again: another attempt may succeed. Raises CancelledError, ServiceAnswerTooLarge."""
        more: dict[str, Any] = {} if request.document is None else {"data": json.dumps(request.document).encode()}
        try:
            # Each request has its own client, so that requests do not share cookies.
            response: Any = await HTTPClient(self._agent).request(
                request.method,
                self._endpoint + request.path,
                headers=self._headers(request, token),
                allow_redirects=False,
                unbuffered=True,
                reactor=cast("Any", self._clock),  # treq uses it for timeouts only, and sets none here
                **more,
            )
            body = await read_body(response, self._limits.largest)
        except TooMuch:
            raise ServiceAnswerTooLarge(
                self.name, f"{self.name} has answered more than {self._limits.largest} bytes.", is_down=False
            ) from None
        except _CANCELLED as error:
            raise CancelledError from error
        except _NOT_SENT as error:
            raise _Again(f"{self.name} cannot be reached: {type(error).__name__}.", sent=False) from error
        except _BROKEN as error:
            if _was_cancelled(error):
                raise CancelledError from error
            raise _Again(f"{self.name} does not answer as it should: {type(error).__name__}.") from error
        return self._judged(request, ServiceAnswer(self.name, response.code, response.headers, body))

    def _judged(self, request: ServiceRequest, answer: ServiceAnswer) -> ServiceAnswer:
        if 200 <= answer.status < 300 or (400 <= answer.status < 500 and answer.status != TOO_MANY_REQUESTS):
            return answer
        reason = f"{self.name} has answered {answer.status}."
        if 300 <= answer.status < 400:
            raise self._failure(request, reason, is_down=False)
        raise _Again(reason, answered=True, retry_after=_seconds(answer.headers))

    def _headers(self, request: ServiceRequest, token: str | None) -> Headers:
        headers = Headers({"Accept": [request.accept], "User-Agent": [f"imgsvc/{__version__}"]})
        if request.document is not None:
            headers.setRawHeaders("Content-Type", ["application/json"])
        if token is not None:
            headers.setRawHeaders("X-Auth-Token", [token])
        for name, value in {**headers_for_services(), **request.headers}.items():
            headers.setRawHeaders(name, [value])
        return headers

    def _about(self, request: ServiceRequest) -> dict[str, str]:
        """The fields of a call in the log. The query is left out, because it may hold secrets."""
        return {
            "service": self.name,
            "method": request.method,
            "path": request.path.partition("?")[0],
        }

    def _failure(self, request: ServiceRequest, reason: str, is_down: bool = True) -> ServiceUnavailable:
        log.error("{service}: {method} {path}: {reason}", **self._about(request), reason=reason)
        return ServiceUnavailable(self.name, reason, is_down)

    def _late(self, request: ServiceRequest) -> ServiceAnswer:
        raise self._failure(request, f"{self.name} does not answer in time.")

    def _stopping(self) -> ServiceUnavailable:
        return ServiceUnavailable(self.name, f"{self.name} is not asked any more: the server ends.")


def connect(
    name: str,
    endpoint: str,
    reactor: Any,
    limits: ServiceLimits,
    *,
    option: str,
    tokens: TokenSource | None = None,
    tls: IPolicyForHTTPS | None = None,
) -> JsonService:
    """The service at a URL. It keeps up to two idle connections for later calls.

    reactor: provides IReactorTime, IReactorTCP and IReactorPluggableNameResolver. tls: which certificates to trust;
    None: those that the system trusts. For the others see JsonService.
    Raises ConfigurationError: the endpoint is not a URL.
    """
    pool = HTTPConnectionPool(reactor)
    agent = Agent(
        reactor,
        BrowserLikePolicyForHTTPS() if tls is None else tls,
        connectTimeout=limits.timeout,
        pool=pool,
    )
    return JsonService(
        name, endpoint, agent, reactor, limits, option=option, tokens=tokens, close=pool.closeCachedConnections
    )


class _Again(Exception):
    """An attempt has failed, and another one may succeed.

    sent: whether the service may have received the request. answered: whether it has answered. retry_after: seconds
    that the service asks to wait.
    """

    def __init__(self, reason: str, sent: bool = True, answered: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.answered = answered
        self.retry_after = retry_after

    def may_repeat(self, request: ServiceRequest) -> bool:
        """Whether the request may be sent again."""
        return not self.sent or request.repeatable or request.method in _IDEMPOTENT


def _was_cancelled(error: BaseException) -> bool:
    """Whether a request failed because it was cancelled. The HTTP client has that among its reasons."""
    return any(reason.check(*_CANCELLED) for reason in getattr(error, "reasons", ()))


def _seconds(headers: Headers) -> float:
    """The seconds of a Retry-After header (RFC 9110, section 10.2.3); 0 if it has a date."""
    [value, *_] = headers.getRawHeaders("retry-after", ["0"])
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0
