"""Asks servers that clients have named, by way of a Guard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS, IResponse

from imgsvc import __version__
from imgsvc.errors import ConfigurationError, RemoteUnavailable, UrlRefused
from imgsvc.logger import make_logger
from imgsvc.remote.answer import Answer
from imgsvc.remote.connections import RemoteConnection
from imgsvc.remote.guard import Guard, Target

log = make_logger()

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CANCELLED: Final = (CancelledError, ConnectingCancelledError, ResponseFailed)
"""What comes of a cancelled request, before and after the connection is there."""
_BROKEN: Final = (ConnectError, ConnectingCancelledError, ConnectionClosed, ResponseFailed, RequestTransmissionFailed)

NO_ANSWER: Final = "No server that may be asked answers there."
"""The one text for a name that means nothing, an address that is not allowed, and a server that says nothing: clients
are not to learn which names the server's own network knows. The log has the reason."""


@frozen
class FetchLimits:
    """timeout: seconds for a connection, for the head of an answer, and between two pieces of its body.

    redirects: how many are followed.
    """

    timeout: float = 30.0
    redirects: int = 5


class Fetcher:
    """Makes GET and HEAD requests. Every hop of a redirect is checked as the first URL is."""

    def __init__(self, reactor: Any, guard: Guard, limits: FetchLimits, tls: IPolicyForHTTPS | None = None) -> None:
        """reactor: provides IReactorTime, IReactorTCP and IReactorPluggableNameResolver. tls: whom to trust."""
        self._reactor = reactor
        self._guard = guard
        self._limits = limits
        self._tls = BrowserLikePolicyForHTTPS() if tls is None else tls

    async def open(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer, whatever its status, when its headers are complete. The caller ends it with stopProducing.

        Raises UrlRefused, RemoteUnavailable.
        """
        target = self._guard.check(url)
        for _ in range(self._limits.redirects + 1):
            answer = await self._ask(method, target, headers or {})
            to = answer.header("location")
            if answer.status not in _REDIRECTS or to is None:
                return answer
            answer.stopProducing()
            following = self._guard.check(_join(target.url, to))
            if target.scheme == "https" and following.scheme != "https":
                raise UrlRefused("it redirects from https to http")
            target = following
        raise RemoteUnavailable("It redirects too often.")

    async def _ask(self, method: str, target: Target, headers: Mapping[str, str]) -> Answer:
        limits = self._limits
        connection = RemoteConnection(self._reactor, self._guard, target, limits.timeout, self._tls)
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent = Agent.usingEndpointFactory(self._reactor, connection, pool)
        lines = Headers({"User-Agent": [f"imgsvc/{__version__}"], "Accept-Encoding": ["identity"]})
        for name, value in headers.items():
            lines.setRawHeaders(name, [value])
        asking: Deferred[IResponse] = agent.request(method.encode(), target.url.encode(), lines)
        late = self._reactor.callLater(limits.timeout, asking.cancel)
        try:
            response = await asking
        except BaseException as error:
            connection.abort()
            if isinstance(error, _CANCELLED) and not late.active():
                why = "it does not answer in time"
            elif isinstance(error, RemoteUnavailable):
                why = str(error)
            elif isinstance(error, _BROKEN):
                why = f"{type(error).__name__}: {error}"
            else:
                raise
            log.info("{host}, port {port}: {why}", host=target.host, port=target.port, why=why)
            raise RemoteUnavailable(NO_ANSWER) from error
        finally:
            if late.active():
                late.cancel()
        connection.answered()
        return Answer(self._reactor, response, limits.timeout, connection.abort)


def trust(path: Path, option: str) -> IPolicyForHTTPS:
    """A policy that trusts the authorities of a PEM file, and no other. Raises ConfigurationError.

    option: where the configuration names the file.
    """
    given = f"{option} = {str(path)!r}"
    try:
        text = path.read_text(encoding="ascii")
        parts = [f"{part}-----END CERTIFICATE-----\n" for part in text.split("-----END CERTIFICATE-----")[:-1]]
        certificates = [Certificate.loadPEM(part.encode()) for part in parts]
    except OSError as error:
        raise ConfigurationError(f"{given}: cannot be read: {error.strerror}") from error
    except Exception as error:  # OpenSSL has a class of its own, and its wrappers have others
        raise ConfigurationError(f"{given}: holds what is no certificate") from error
    if not certificates:
        raise ConfigurationError(f"{given}: holds no certificate")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))


def _join(base: str, to: str) -> str:
    """Where a redirect leads. Raises UrlRefused."""
    try:
        return urljoin(base, to.partition("#")[0])
    except ValueError as error:
        raise UrlRefused("it redirects to what is no URL") from error
