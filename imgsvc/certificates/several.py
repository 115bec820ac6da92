"""Certificates from several places."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from imgsvc.errors import NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller


@implementer(ICertificates)
@frozen(eq=False)
class SeveralPlaces:
    """Asks the places in order, and returns the certificate of the first one that has it."""

    places: Sequence[ICertificates]

    def certificate(self, certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """See ICertificates."""
        return Deferred.fromCoroutine(self._certificate(certificate_id, caller))

    def stop(self) -> Deferred[None]:
        """See ICertificates."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for stopping in [place.stop() for place in self.places]:
            await stopping

    async def _certificate(self, certificate_id: str, caller: Caller) -> bytes:
        for place in self.places:
            try:
                found: bytes = await place.certificate(certificate_id, caller)
                return found
            except NoSuchCertificate:
                continue
        raise NoSuchCertificate(certificate_id)
