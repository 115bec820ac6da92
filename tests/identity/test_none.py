"""Tests of imgsvc.identity.none."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from imgsvc.errors import Forbidden
from imgsvc.identity.none import LOCAL_ADMINISTRATOR, LocalAdministrator
from imgsvc.interfaces import IIdentity, RequestHead

PEER = IPv4Address("TCP", "127.0.0.1", 1)


def head(headers: Headers, peer: IAddress = PEER) -> RequestHead:
    """Of a request."""
    return RequestHead("GET", "/v2/images", headers, peer)


class LocalAdministratorTests(SynchronousTestCase):
    """Identity is not asked for."""

    def test_interface(self) -> None:
        """It provides IIdentity and challenges nobody."""
        identity = LocalAdministrator()
        verifyObject(IIdentity, identity)
        self.assertIsNone(identity.challenge)

    def test_everybody_is_administrator(self) -> None:
        """The caller is an administrator without project, whatever the headers say."""
        headers = Headers({"X-Identity-Status": ["Confirmed"], "X-Project-Id": ["p"], "X-Roles": ["reader"]})
        caller = LocalAdministrator().identify(head(headers))
        self.assertTrue(caller.is_admin)
        self.assertIsNone(caller.project_id)
        self.assertEqual(caller.roles, {"admin", "member", "reader"})

    def allows(self, identity: LocalAdministrator, host: str, origin: str | None = None) -> bool:
        """Whether a request with these headers is taken."""
        headers = Headers({"Host": [host], **({"Origin": [origin]} if origin else {})})
        try:
            caller = identity.identify(head(headers))
        except Forbidden:
            return False
        self.assertEqual(caller, LOCAL_ADMINISTRATOR)
        return True

    def test_names(self) -> None:
        """Addresses and names without a dot are names of the server, others only if it was told so."""
        identity = LocalAdministrator(names=["Images.example"])
        for host in (
            "",
            "127.0.0.1",
            "127.0.0.1:9292",
            "[::1]:9292",
            "localhost",
            "LOCALHOST:9292",
            "images.example:80",
        ):
            self.assertTrue(self.allows(identity, host), host)
        for host in (
            "evil.example",
            "evil.example:9292",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[",
            "a@b.c",
        ):
            self.assertFalse(self.allows(identity, host), host)
        self.assertTrue(self.allows(LocalAdministrator(names=["*"]), "evil.example"))

    def test_origins(self) -> None:
        """Pages of the server itself and of listed origins are let in, others are not."""
        identity = LocalAdministrator(["https://Dashboard.example"])
        for origin in ("http://127.0.0.1:9292", "https://dashboard.example"):
            self.assertTrue(self.allows(identity, "127.0.0.1:9292", origin), origin)
        for origin in ("http://evil.example", "null", "http://127.0.0.1", "http://dashboard.example", "http://["):
            self.assertFalse(self.allows(identity, "127.0.0.1:9292", origin), origin)
        self.assertTrue(self.allows(LocalAdministrator(["*"]), "127.0.0.1", "http://evil.example"))

    def test_unix(self) -> None:
        """No browser comes by a unix socket, and clients there name the server as they like."""
        headers = Headers({"Host": ["evil.example"], "Origin": ["http://evil.example"]})
        self.assertEqual(LocalAdministrator().identify(head(headers, UNIXAddress(""))), LOCAL_ADMINISTRATOR)
