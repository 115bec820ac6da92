"""Tests of imgsvc.identity.proxy."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from imgsvc.errors import ConfigurationError, Unauthenticated
from imgsvc.identity.proxy import Proxy
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller

PEER = IPv4Address("TCP", "127.0.0.1", 1)
CONFIRMED = {"X-Identity-Status": "Confirmed"}


class ProxyTests(SynchronousTestCase):
    """Identity from the headers of a proxy."""

    def identify(
        self, headers: dict[str, str], peer: IAddress = PEER, peers: tuple[str, ...] = ("127.0.0.1",)
    ) -> Caller:
        lines = Headers({name: [value] for name, value in headers.items()})
        return Proxy(peers).identify(RequestHead("GET", "/v2/images", lines, peer))

    def refusal(self, headers: dict[str, str], peer: IAddress = PEER, peers: tuple[str, ...] = ("127.0.0.1",)) -> str:
        return str(self.assertRaises(Unauthenticated, self.identify, headers, peer, peers))

    def test_interface(self) -> None:
        """It provides IIdentity and has no challenge."""
        identity = Proxy(["127.0.0.1"])
        verifyObject(IIdentity, identity)
        self.assertIsNone(identity.challenge)

    def test_caller(self) -> None:
        """User, project and roles come from the headers. Roles are compared in lower case."""
        headers = {**CONFIRMED, "X-User-Id": "u", "X-Project-Id": "p", "X-Roles": "Member, reader,,ADMIN "}
        self.assertEqual(self.identify(headers), Caller("u", "p", frozenset({"member", "reader", "admin"})))

    def test_blanks(self) -> None:
        """Blanks and tabs around values are removed, and nothing else."""
        for blank in "\u00a0\u2003\u3000\x0b\x0c\x85":
            headers = {
                **CONFIRMED,
                "X-Project-Id": f" {blank}p\t",
                "X-Roles": f"{blank}admin, \treader\t ,member{blank}",
            }
            roles = frozenset({f"{blank}admin", "reader", f"member{blank}"})
            self.assertEqual(self.identify(headers), Caller(None, f"{blank}p", roles))

    def test_old_names(self) -> None:
        """The old names of the headers count if the new ones are absent."""
        headers = {**CONFIRMED, "X-Tenant-Id": "old", "X-Role": "member"}
        self.assertEqual(self.identify(headers), Caller(None, "old", frozenset({"member"})))
        headers |= {"X-Project-Id": "new", "X-Roles": "reader"}
        self.assertEqual(self.identify(headers), Caller(None, "new", frozenset({"reader"})))
        headers |= {"X-Project-Id": "", "X-Roles": ""}  # the proxy says that there is none
        self.assertEqual(self.identify(headers), Caller())

    def test_no_project(self) -> None:
        """A token without a project makes a caller without one. An empty header counts as absent."""
        self.assertEqual(self.identify({**CONFIRMED, "X-Project-Id": " "}), Caller())

    def test_system_scope(self) -> None:
        """A token for the whole system has no roles here."""
        headers = {**CONFIRMED, "X-Roles": "admin", "OpenStack-System-Scope": "all"}
        self.assertEqual(self.identify(headers).roles, frozenset())

    def test_not_confirmed(self) -> None:
        """Only the status `Confirmed` is an identity."""
        for headers in ({}, {"X-Identity-Status": "Invalid"}, {"X-Identity-Status": "confirmed"}):
            self.assertIn("no confirmed identity", self.refusal({**headers, "X-Roles": "admin"}))

    def test_twice(self) -> None:
        """A repeated header may come from the client, and is refused."""
        headers = Headers({"X-Identity-Status": ["Confirmed"], "X-Roles": ["reader", "admin"]})
        error = self.assertRaises(
            Unauthenticated, Proxy(["127.0.0.1"]).identify, RequestHead("GET", "/", headers, PEER)
        )
        self.assertIn("X-Roles", str(error))

    def test_not_text(self) -> None:
        """A value that is not UTF-8 is refused."""
        headers = Headers({b"X-Identity-Status": [b"Confirmed"], b"X-User-Id": [b"\xff"]})
        error = self.assertRaises(
            Unauthenticated, Proxy(["127.0.0.1"]).identify, RequestHead("GET", "/", headers, PEER)
        )
        self.assertIn("X-User-Id", str(error))

    def test_peers(self) -> None:
        """Headers of listed addresses and networks count. Those of unix sockets count only if listed."""
        peers = ("192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "fe80::1", "unix")
        tcp4, tcp6 = (lambda host: IPv4Address("TCP", host, 1)), (lambda host: IPv6Address("TCP", host, 1))
        listed: list[IAddress] = [
            tcp4("192.0.2.1"),
            tcp4("10.200.0.1"),
            tcp6("2001:db8::7"),
            tcp6("::ffff:10.0.0.1"),
            tcp6("fe80::1%eth0"),
            UNIXAddress(None),
        ]
        strangers: list[IAddress] = [tcp4("192.0.2.2"), tcp4("11.0.0.1"), tcp6("2001:db9::1"), tcp6("::ffff:11.0.0.1")]
        for peer in listed:
            self.assertEqual(self.identify(CONFIRMED, peer, peers), Caller())
        for peer in strangers:
            self.assertIn("not accepted from this address", self.refusal(CONFIRMED, peer, peers))
        self.assertIn("not accepted from this address", self.refusal(CONFIRMED, UNIXAddress(b"/a"), ("0.0.0.0/0",)))

    def test_wrong_peers(self) -> None:
        """A peer that is not an address or a network is refused at the start."""
        for text in ("proxy.example", "10.0.0.1/8", "", "127.0.0.1:80"):
            error = self.assertRaises(ConfigurationError, Proxy, ["127.0.0.1", text])
            self.assertIn(f"identity.proxy.peers = {text!r}: must be", str(error))
