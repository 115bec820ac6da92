"""Tests of imgsvc.identity.administrators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.errors import Unauthenticated
from imgsvc.identity.administrators import Administrators
from imgsvc.identity.policy import Policy
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller

HEAD = RequestHead("GET", "/v2/images", Headers(), IPv4Address("TCP", "127.0.0.1", 1))


@implementer(IIdentity)
class Known:
    """Always identifies the same caller, at once or in a Deferred."""

    challenge = "Somehow"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def identify(self, head: RequestHead) -> Any:
        """See IIdentity."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class AdministratorsTests(SynchronousTestCase):
    """The policy decides who is an administrator."""

    def identify(self, answer: Any, rule: str = "role:chief and user_id:u") -> Any:
        path = Path(self.mktemp())
        path.write_text(f"context_is_admin: {rule}\n")
        return Administrators(Known(answer), Policy(path)).identify(HEAD)

    def test_interface(self) -> None:
        """It provides IIdentity, with the challenge of the other identity."""
        identity = Administrators(Known(None), Policy())
        verifyObject(IIdentity, identity)
        self.assertEqual(identity.challenge, "Somehow")

    def test_judged(self) -> None:
        """Callers for whom the rule holds are administrators, and nobody else, whatever the role is called."""
        for caller, expected in (
            (Caller("u", "p", frozenset({"chief"})), True),
            (Caller("v", "p", frozenset({"chief"})), False),
            (Caller("u", "p", frozenset({"admin"})), False),
        ):
            self.assertIs(self.identify(caller).is_admin, expected)
            self.assertIs(self.successResultOf(self.identify(succeed(caller))).is_admin, expected)

    def test_default(self) -> None:
        """By default the role is `admin`. Such callers are returned unchanged."""
        identity = Administrators(Known(caller := Caller("u", "p", frozenset({"admin"}))), Policy())
        self.assertIs(identity.identify(HEAD), caller)

    def test_refused(self) -> None:
        """Without a caller the policy is not asked."""
        self.assertRaises(Unauthenticated, self.identify, Unauthenticated("Who?"))
        failed: Deferred[Caller] = Deferred()
        failed.errback(Unauthenticated("Who?"))
        self.failureResultOf(self.identify(failed), Unauthenticated)
