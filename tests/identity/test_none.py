"""Tests of imgsvc.identity.none."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from imgsvc.identity.none import LocalAdministrator
from imgsvc.interfaces import IIdentity


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
        caller = LocalAdministrator().identify(headers, IPv4Address("TCP", "127.0.0.1", 1))
        self.assertTrue(caller.is_admin)
        self.assertIsNone(caller.project_id)
        self.assertEqual(caller.roles, {"admin", "member", "reader"})
