"""Certificates from Barbican, the key manager of OpenStack. Source: Barbican's API guide, "Secrets"."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.certificates.limits import LARGEST, too_large
from imgsvc.errors import (
    BadSignature,
    CertificatesUnavailable,
    NoSuchCertificate,
    ServiceAnswerTooLarge,
    ServiceUnavailable,
)
from imgsvc.interfaces import ICertificates
from imgsvc.logger import make_logger
from imgsvc.model import Caller
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import ServiceAnswer, ServiceLimits, ServiceRequest

log = make_logger()

CONTENT_TYPES: Final = ("application/pkix-cert", "application/octet-stream", "text/plain")
"""Content types that a certificate may be stored with. Barbican returns a payload only as the type it was stored with.
"""


def limits(timeout: float) -> ServiceLimits:
    """The limits of requests to Barbican. timeout: seconds for one certificate."""
    return ServiceLimits(timeout, largest=LARGEST)


@implementer(ICertificates)
class Barbican:
    """Asks Barbican with the caller's token, so that callers can use only the certificates that they may read there."""

    def __init__(self, service: JsonService, clock: IReactorTime, timeout: float) -> None:
        """service: Barbican's API, at the URL above `/v1`. timeout: seconds for all requests for one certificate
        together.
        """
        self._service = service
        self._clock = clock
        self._timeout = timeout

    def certificate(self, certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """See ICertificates."""
        done: Deferred[bytes] = Deferred.fromCoroutine(self._certificate(certificate_id, caller))
        return done.addTimeout(self._timeout, self._clock, _late)

    def stop(self) -> Deferred[None]:
        """See ICertificates."""
        return self._service.stop()

    async def _certificate(self, certificate_id: str, caller: Caller) -> bytes:
        try:
            path = f"/v1/secrets/{UUID(certificate_id)}"
        except ValueError:
            raise NoSuchCertificate(certificate_id) from None
        metadata = await self._get(path, "application/json", caller, certificate_id)
        payload = await self._get(f"{path}/payload", _content_type(metadata, certificate_id), caller, certificate_id)
        return payload.body

    async def _get(self, path: str, accept: str, caller: Caller, certificate_id: str) -> ServiceAnswer:
        try:
            answer = await self._service.ask(ServiceRequest("GET", path, accept, token=caller.token))
        except ServiceAnswerTooLarge as error:
            raise too_large(certificate_id) from error
        except ServiceUnavailable as error:
            raise CertificatesUnavailable(str(error)) from error
        if answer.status == 200:
            return answer
        if answer.status == 404:
            raise NoSuchCertificate(certificate_id)
        if answer.status in (401, 403):
            raise BadSignature(f"Barbican does not give certificate {certificate_id} to this caller.")
        if answer.status == 406:
            raise _no_certificate(certificate_id)
        log.error("barbican: {path}: {status}", path=path, status=answer.status)
        raise CertificatesUnavailable(f"Barbican has answered {answer.status}.")


def _content_type(metadata: ServiceAnswer, certificate_id: str) -> str:
    """The content type that the secret was stored with. Raises BadSignature: the secret is not a certificate."""
    try:
        secret: Any = metadata.document()
        content_type = secret["content_types"]["default"].partition(";")[0]
        usable = secret["status"] == "ACTIVE" and content_type in CONTENT_TYPES
    except (ServiceUnavailable, LookupError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise _no_certificate(certificate_id)
    return str(content_type)


def _no_certificate(certificate_id: str) -> BadSignature:
    return BadSignature(f"The secret {certificate_id} of Barbican holds no certificate.")


def _late(result: bytes | Failure, timeout: float) -> bytes:
    log.error("barbican: no certificate within {timeout} s", timeout=timeout)
    raise CertificatesUnavailable("Barbican does not answer in time.")
