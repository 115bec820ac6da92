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
    """The head of a request."""
    return RequestHead("GET", "/v2/images", headers, peer)


class LocalAdministratorTests(SynchronousTestCase):
    """Callers without an identity are administrators."""

    def test_interface(self) -> None:
        """It provides IIdentity and has no challenge."""
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
        """Whether a request with these headers is allowed."""
        headers = Headers({"Host": [host], **({"Origin": [origin]} if origin else {})})
        try:
            caller = identity.identify(head(headers))
        except Forbidden:
            return False
        self.assertEqual(caller, LOCAL_ADMINISTRATOR)
        return True

    def test_names(self) -> None:
        """Addresses and names without a dot name the server. Other names must be configured."""
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
        """Pages of the server itself and of listed origins are allowed, others are not."""
        identity = LocalAdministrator(["https://Dashboard.example"])
        for origin in ("http://127.0.0.1:9292", "https://dashboard.example"):
            self.assertTrue(self.allows(identity, "127.0.0.1:9292", origin), origin)
        for origin in ("http://evil.example", "null", "http://127.0.0.1", "http://dashboard.example", "http://["):
            self.assertFalse(self.allows(identity, "127.0.0.1:9292", origin), origin)
        self.assertTrue(self.allows(LocalAdministrator(["*"]), "127.0.0.1", "http://evil.example"))

    def test_unix(self) -> None:
        """Browsers cannot use unix sockets. Clients there may use any name of the server."""
        headers = Headers({"Host": ["evil.example"], "Origin": ["http://evil.example"]})
        self.assertEqual(LocalAdministrator().identify(head(headers, UNIXAddress(""))), LOCAL_ADMINISTRATOR)
