"""Tests of the identity of mode `users`: credentials, tokens, projects, addresses."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from imgsvc.errors import Forbidden, ImgsvcError, TooManyAttempts, Unauthenticated
from imgsvc.identity.pages import PageGuard
from imgsvc.identity.users.accounts import Accounts
from imgsvc.identity.users.addresses import ClientAddresses
from imgsvc.identity.users.attempts import OF_ADDRESS, OF_USER
from imgsvc.identity.users.checker import PasswordChecker
from imgsvc.identity.users.file import UserFile
from imgsvc.identity.users.identity import Users, decoy
from imgsvc.identity.users.passwords import is_password
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller
from imgsvc.peers import THIS_MACHINE, Peers
from tests.support.server import fired
from tests.support.threads import ImmediateThreads
from tests.support.users import PASSWORD, a_user, basic, with_token, write_users

HERE = IPv4Address("TCP", "127.0.0.1", 1)
FAR = IPv4Address("TCP", "192.0.2.1", 1)


class CountingThreads(ImmediateThreads):
    """Counts the calls."""

    calls = 0

    def run(self, function: object, *arguments: object) -> Deferred[object]:
        """See IThreads."""
        self.calls += 1
        return super().run(function, *arguments)  # type: ignore[arg-type]


class UsersTests(SynchronousTestCase):
    """Who makes a request."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "users.json"
        alice, token = with_token(a_user("alice", blue="member", ops="admin"), "blue")
        self.token = token.text
        self.bob = a_user("b\u00f6b", red="reader")
        self.alice = alice
        write_users(self.path, alice, self.bob)
        self.clock, self.threads, self.now = Clock(), CountingThreads(), time.time()
        self.users = self.make()

    def make(self) -> Users:
        """An identity with this file."""
        seconds = self.clock.seconds
        return Users(
            UserFile(self.path, ImmediateThreads(), seconds),
            PasswordChecker(self.threads, seconds),
            PageGuard(["https://dashboard.example"], ["images.example"]),
            ClientAddresses(Peers(THIS_MACHINE, "")),
            60,
            lambda: self.now,
        )

    def identify(self, headers: dict[str, str], peer: IAddress = FAR) -> Caller:
        """The caller of a request with these headers."""
        head = RequestHead("GET", "/v2/images", Headers({name: [value] for name, value in headers.items()}), peer)
        found = self.users.identify(head)
        caller = fired(found) if isinstance(found, Deferred) else found
        assert isinstance(caller, Caller)
        return caller

    def refused(self, error: type[ImgsvcError], headers: dict[str, str], peer: IAddress = FAR) -> str:
        """The message to a caller who is refused."""
        return str(self.assertRaises(error, self.identify, headers, peer))

    def test_interface(self) -> None:
        """It provides IIdentity and asks for Basic credentials in UTF-8."""
        verifyObject(IIdentity, self.users)
        self.assertEqual(self.users.challenge, 'Basic realm="imgsvc", charset="UTF-8"')

    def test_password(self) -> None:
        """The first project of the user, with the roles that its role implies. Names and passwords are in UTF-8."""
        caller = self.identify(basic("alice"))
        self.assertEqual((caller.user_id, caller.project_id), ("alice", "blue"))
        self.assertEqual((caller.roles, caller.token), ({"member", "reader"}, None))
        self.assertEqual(self.identify(basic("b\u00f6b")).roles, {"reader"})
        self.assertEqual(self.identify(basic("bo\u0308b")).user_id, "b\u00f6b")

    def test_project(self) -> None:
        """Another project of the user can be named, and no project of others."""
        caller = self.identify({**basic("alice"), "X-Project-Id": "ops"})
        self.assertEqual((caller.project_id, caller.roles), ("ops", {"admin", "member", "reader"}))
        self.refused(Forbidden, {**basic("alice"), "X-Project-Id": "red"})
        self.refused(Forbidden, {"X-Auth-Token": self.token, "X-Project-Id": "ops"})

    def test_forged_headers(self) -> None:
        """Headers that a proxy would set have no effect."""
        forged = {"X-Identity-Status": "Confirmed", "X-User-Id": "alice", "X-Roles": "admin", "X-Is-Admin": "True"}
        self.refused(Unauthenticated, forged)
        self.assertEqual(self.identify({**forged, **basic("b\u00f6b")}).roles, {"reader"})

    def test_wrong(self) -> None:
        """A wrong password and an unknown user are refused alike, and cost the same."""
        messages = set()
        for name, password in (("alice", "wrong"), ("nobody", PASSWORD), ("alice", ""), ("", ""), ("b\u00f6b", "a:b")):
            before = self.threads.calls
            messages.add(self.refused(Unauthenticated, basic(name, password)))
            self.assertEqual(self.threads.calls, before + 1)
        self.assertEqual(messages, {"The user or the password is wrong."})

    def test_decoys(self) -> None:
        """For an unknown user the hash of a user is checked, always the same for one name, and none that is cheaper."""
        accounts = Accounts({"alice": a_user("alice"), "bob": a_user("bob", "another one")})
        hashes = {user.password for user in accounts.users.values()}
        chosen = [decoy(accounts, f"user {number}") for number in range(50)]
        self.assertEqual(set(chosen), hashes)
        self.assertEqual(chosen, [decoy(accounts, f"user {number}") for number in range(50)])
        self.assertFalse(is_password("", decoy(Accounts(), "nobody")))

    def test_malformed(self) -> None:
        """What is not Basic, in Base64 and UTF-8, is refused before any password is checked."""
        for value in (
            "",
            "Basic",
            "Basic !",
            "Bearer x",
            "Basic " + base64.b64encode(b"alice").decode(),
            "Basic " + base64.b64encode(b"\xff:x").decode(),
            "Basic " + base64.b64encode(b"x" * 256 + b":y").decode(),
        ):
            self.refused(Unauthenticated, {"Authorization": value})
        self.refused(Unauthenticated, {})
        twice = Headers({"Authorization": [basic("alice")["Authorization"]] * 2})
        self.assertRaises(Unauthenticated, self.users.identify, RequestHead("GET", "/", twice, FAR))
        self.assertEqual(self.threads.calls, 0)

    def test_kept(self) -> None:
        """A right password is checked once in its time; after a change of the password, at once."""
        for _ in range(3):
            self.identify(basic("alice"))
        self.assertEqual(self.threads.calls, 1)
        self.clock.advance(60)
        self.identify(basic("alice"))
        self.assertEqual(self.threads.calls, 2)
        write_users(self.path, a_user("alice", "another one", blue="member"))
        self.clock.advance(1)
        self.refused(Unauthenticated, basic("alice"))
        self.identify(basic("alice", "another one"))
        self.refused(Unauthenticated, basic("b\u00f6b"))

    def test_token(self) -> None:
        """A token has its project, until it expires, or the user loses the project."""
        caller = self.identify({"X-Auth-Token": self.token})
        self.assertEqual((caller.user_id, caller.project_id, caller.token), ("alice", "blue", None))
        self.assertEqual(self.identify({"X-Storage-Token": self.token}), caller)
        self.refused(Unauthenticated, {"X-Auth-Token": self.token[:-1]})
        self.refused(Unauthenticated, {"X-Auth-Token": "x", **basic("alice")})
        self.assertEqual(self.threads.calls, 0)
        self.now += 3600
        self.refused(Unauthenticated, {"X-Auth-Token": self.token})
        self.now -= 3600
        write_users(self.path, type(self.alice)("alice", self.alice.password, {"ops": ("admin",)}, self.alice.tokens))
        self.users = self.make()
        self.refused(Unauthenticated, {"X-Auth-Token": self.token})

    def test_pages(self) -> None:
        """Pages of other origins may not use the credentials that a browser has; tokens are not sent by browsers."""
        for page in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
            self.refused(Forbidden, {"Host": "images.example", **basic("alice"), **page})
            self.identify({"Host": "images.example", "X-Auth-Token": self.token, **page})
        for page in ({"Origin": "https://dashboard.example"}, {"Origin": "http://images.example"}):
            self.identify({"Host": "images.example", **basic("alice"), **page})

    def test_guessing(self) -> None:
        """After some wrong passwords only those pass who were right before, and tokens."""
        self.identify(basic("alice"), FAR)
        elsewhere = IPv4Address("TCP", "192.0.2.66", 1)
        for number in range(OF_USER.burst):
            self.refused(Unauthenticated, basic("alice", f"guess {number}"), elsewhere)
        calls = self.threads.calls
        error = self.assertRaises(TooManyAttempts, self.identify, basic("alice", "guess"), elsewhere)
        self.assertEqual(error.retry_after, 10)
        self.assertEqual(self.threads.calls, calls)
        self.clock.advance(60 - 0.1 - 50)
        self.identify(basic("alice"), elsewhere)  # kept
        self.identify({"X-Auth-Token": self.token}, elsewhere)
        self.clock.advance(1000)
        self.refused(Unauthenticated, basic("alice", "guess"), elsewhere)

    def test_guessing_unknown(self) -> None:
        """Whether a user exists cannot be learned from the limit."""
        for number in range(OF_USER.burst):
            self.refused(Unauthenticated, basic("nobody", f"guess {number}"))
        self.refused(TooManyAttempts, basic("nobody", "guess"))

    def test_spraying(self) -> None:
        """One address cannot try one password with many users. This machine has no such limit."""
        for number in range(OF_ADDRESS.burst):
            self.refused(Unauthenticated, basic(f"user {number}"))
        self.refused(TooManyAttempts, basic("alice"))
        self.identify(basic("alice"), HERE)
        self.identify(basic("b\u00f6b"), UNIXAddress("/socket"))


class AddressTests(SynchronousTestCase):
    """The address that is counted."""

    def test_peers(self) -> None:
        """An IPv4 address, or an IPv6 network; proxies and this machine have none."""
        addresses = ClientAddresses(Peers((*THIS_MACHINE, "192.0.2.9"), ""))
        for peer, counted in (
            (FAR, "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
            (HERE, None),
            (IPv4Address("TCP", "192.0.2.9", 1), None),
            (UNIXAddress("/socket"), None),
        ):
            headers = Headers({"X-Forwarded-For": ["203.0.113.1"], "Forwarded": ["for=203.0.113.1"]})
            self.assertEqual(addresses.of(headers, peer), counted)

    def test_forwarded(self) -> None:
        """A trusted proxy says who its client is: the last entry counts, the others come from the client."""
        addresses = ClientAddresses(Peers(THIS_MACHINE, ""), Peers(THIS_MACHINE, ""))
        for name, value, counted in (
            ("X-Forwarded-For", "203.0.113.1", "203.0.113.1"),
            ("X-Forwarded-For", "198.51.100.1, 203.0.113.1", "203.0.113.1"),
            ("X-Forwarded-For", "203.0.113.1:4711", "203.0.113.1"),
            ("X-Forwarded-For", "2001:db8::1", "2001:db8::/64"),
            ("X-Forwarded-For", "unknown", None),
            ("X-Forwarded-For", "", None),
            ("Forwarded", 'for="[2001:db8::1]:4711";proto=https', "2001:db8::/64"),
            ("Forwarded", "for=198.51.100.1, For=203.0.113.1;by=_x", "203.0.113.1"),
            ("Forwarded", "for=_hidden", None),
        ):
            self.assertEqual(addresses.of(Headers({name: [value]}), HERE), counted, value)
            self.assertEqual(addresses.of(Headers({name: [value]}), FAR), "192.0.2.1")
