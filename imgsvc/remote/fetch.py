"""Requests to servers that clients have named, as far as a Guard allows."""

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
from imgsvc.remote.connections import RemoteConnection
from imgsvc.remote.guard import Guard, Target
from imgsvc.remote.response import RemoteResponse

log = make_logger()

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CANCELLED: Final = (CancelledError, ConnectingCancelledError, ResponseFailed)
"""The errors of a cancelled request, before and after it is connected."""
_BROKEN: Final = (ConnectError, ConnectingCancelledError, ConnectionClosed, ResponseFailed, RequestTransmissionFailed)

NO_ANSWER: Final = "No server that may be asked answers there."
"""One text for an unknown name, an address that is not allowed, and a server that does not answer: clients must not
learn which names the server's own network knows. The log has the reason.
"""


@frozen
class FetchLimits:
    """timeout: seconds to connect, to receive the head of a response, and between two pieces of its body.

    redirects: how many are followed.
    """

    timeout: float = 30.0
    redirects: int = 5


class Fetcher:
    """Makes GET and HEAD requests. Checks the target of every redirect as it checks the first URL."""

    def __init__(self, reactor: Any, guard: Guard, limits: FetchLimits, tls: IPolicyForHTTPS | None = None) -> None:
        """reactor: provides IReactorTime, IReactorTCP and IReactorPluggableNameResolver.
        tls: which certificates to trust; None: those that the system trusts.
        """
        self._reactor = reactor
        self._guard = guard
        self._limits = limits
        self._tls = BrowserLikePolicyForHTTPS() if tls is None else tls

    async def open(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> RemoteResponse:
        """The response, of any status, as soon as its headers are complete. The caller ends it with stopProducing.

        Raises UrlRefused: the URL or a redirect is not allowed. Raises RemoteUnavailable: no response in time, or too
        many redirects.
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

    async def _ask(self, method: str, target: Target, headers: Mapping[str, str]) -> RemoteResponse:
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
        return RemoteResponse(self._reactor, response, limits.timeout, connection.abort)


def trust(path: Path, option: str) -> IPolicyForHTTPS:
    """A policy that trusts the certificate authorities of a PEM file and no others.

    option: the option that names the file, for messages. Raises ConfigurationError: the file cannot be read, or is not
    PEM.
    """
    given = f"{option} = {str(path)!r}"
    try:
        text = path.read_text(encoding="ascii")
        parts = [f"{part}-----END CERTIFICATE-----\n" for part in text.split("-----END CERTIFICATE-----")[:-1]]
        certificates = [Certificate.loadPEM(part.encode()) for part in parts]
    except OSError as error:
        raise ConfigurationError(f"{given}: cannot be read: {error.strerror}") from error
    except Exception as error:  # OpenSSL and its wrappers raise unrelated classes
        raise ConfigurationError(f"{given}: holds what is no certificate") from error
    if not certificates:
        raise ConfigurationError(f"{given}: holds no certificate")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))


def _join(base: str, to: str) -> str:
    """The URL that a redirect leads to. Raises UrlRefused: it is not a URL."""
    try:
        return urljoin(base, to.partition("#")[0])
    except ValueError as error:
        raise UrlRefused("it redirects to something that is not a URL") from error
