"""Certificates in Barbican, OpenStack's keeper of secrets (its API guide, "Secrets")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from imgsvc.certificates.limits import LARGEST, readable
from imgsvc.errors import BadSignature, CertificatesUnavailable, ConfigurationError, NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.logger import make_logger
from imgsvc.model import Caller

log = make_logger()

CONTENT_TYPES: Final = ("application/pkix-cert", "application/octet-stream", "text/plain")
"""What a certificate may have been stored as. Barbican gives a payload only as what it was stored as."""

_BROKEN: Final = (
    *(CancelledError, DNSLookupError, ConnectError, ConnectionClosed),
    *(ResponseFailed, RequestTransmissionFailed),
)


@implementer(ICertificates)
class Barbican:
    """Asks Barbican with the caller's own token, so that nobody uses a certificate which that does not show them."""

    def __init__(
        self,
        endpoint: str,
        agent: IAgent,
        clock: IReactorTime,
        timeout: float,
        own_token: Callable[[], str | None] = lambda: None,
    ) -> None:
        """endpoint: the URL of its API, without `/v1`. timeout: seconds for all that one certificate takes.

        own_token: the service's, for callers that have none. Raises ConfigurationError.
        """
        if not re.fullmatch(r"https?://[^/?#\s]+(?:/[^?#\s]*)?", endpoint):
            raise ConfigurationError(
                f"signatures.barbican = {endpoint!r}: must be a URL, as 'https://barbican.example'"
            )
        self._endpoint = endpoint.rstrip("/")
        self._client = HTTPClient(agent)
        self._clock = clock
        self._timeout = timeout
        self._own_token = own_token

    def certificate(self, certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """See ICertificates."""
        done: Deferred[bytes] = Deferred.fromCoroutine(self._certificate(certificate_id, caller))
        return done.addTimeout(self._timeout, self._clock, _late)

    async def _certificate(self, certificate_id: str, caller: Caller) -> bytes:
        try:
            path = f"/v1/secrets/{UUID(certificate_id)}"
        except ValueError:
            raise NoSuchCertificate(certificate_id) from None
        token = caller.token or self._own_token()
        content_type = _content_type(await self._get(path, "application/json", token, certificate_id), certificate_id)
        return await self._get(f"{path}/payload", content_type, token, certificate_id)

    async def _get(self, path: str, accept: str, token: str | None, certificate_id: str) -> bytes:
        headers = Headers({"Accept": [accept]})
        if token is not None:
            headers.setRawHeaders("X-Auth-Token", [token])
        body = _Body()
        try:
            # No redirects: they could take the token elsewhere.
            response: Any = await self._client.get(
                self._endpoint + path, headers=headers, allow_redirects=False, unbuffered=True
            )
            response.deliverBody(body)
            data = await body.done
        except _BROKEN as error:
            log.error("barbican: {path}: {error}", path=path, error=repr(error))
            raise CertificatesUnavailable("Barbican does not answer as it should.") from error
        if response.code == 200:
            return readable(data, certificate_id)
        if response.code == 404:
            raise NoSuchCertificate(certificate_id)
        if response.code in (401, 403):
            raise BadSignature(f"Barbican does not give certificate {certificate_id} to this caller.")
        if response.code == 406:
            raise _no_certificate(certificate_id)
        log.error("barbican: {path}: {status}", path=path, status=response.code)
        raise CertificatesUnavailable(f"Barbican has answered {response.code}.")


class _Body(Protocol):
    """Gathers a body, up to the first bytes that are too many. done: Deferred of it; cancelling ends the connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._leave())

    def dataReceived(self, data: bytes) -> None:
        """See Protocol."""
        self._data += data
        if len(self._data) > LARGEST and not self.done.called:
            self.done.callback(bytes(self._data))
            self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See Protocol."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(reason)

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _content_type(metadata: bytes, certificate_id: str) -> str:
    """What the secret was stored as. Raises BadSignature for a secret that is no certificate."""
    try:
        secret = json.loads(metadata)
        content_type = secret["content_types"]["default"].partition(";")[0]
        usable = secret["status"] == "ACTIVE" and content_type in CONTENT_TYPES
    except (ValueError, LookupError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise _no_certificate(certificate_id)
    return str(content_type)


def _no_certificate(certificate_id: str) -> BadSignature:
    return BadSignature(f"The secret {certificate_id} of Barbican holds no certificate.")


def _late(result: bytes | Failure, timeout: float) -> bytes:
    log.error("barbican: no certificate within {timeout} s", timeout=timeout)
    raise CertificatesUnavailable("Barbican does not answer in time.")
