"""Tests of imgsvc.certificates.several."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.certificates.several import SeveralPlaces
from imgsvc.errors import CertificatesUnavailable, NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller
from tests.support.server import fired
from tests.support.signing import KnownCertificates


class SeveralTests(SynchronousTestCase):
    """The first source that has a certificate gives it."""

    def setUp(self) -> None:
        self.first, self.second = KnownCertificates({"a": b"1"}), KnownCertificates({"a": b"2", "b": b"3"})
        self.places = SeveralPlaces([self.first, self.second])

    def get(self, name: str) -> bytes:
        found: bytes = fired(self.places.certificate(name, Caller()))
        return found

    def test_order(self) -> None:
        """Sources are asked in their order, until one has it."""
        verifyObject(ICertificates, self.places)
        self.assertEqual([self.get("a"), self.get("b")], [b"1", b"3"])
        self.assertEqual((len(self.first.callers), len(self.second.callers)), (2, 1))
        self.assertRaises(NoSuchCertificate, self.get, "c")

    def test_unavailable(self) -> None:
        """If a source fails, the next is not asked, because the first might have had it."""
        self.first.waiting = Deferred()
        self.first.waiting.errback(CertificatesUnavailable("down"))
        self.assertRaises(CertificatesUnavailable, self.get, "b")
        self.assertEqual(self.second.callers, [])
