"""Tests of imgsvc.identity.policy: the table of Glance's default policies, spelled out."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.identity.policy import DEFAULT_RULES, DefaultPolicy, sees
from imgsvc.interfaces import IPolicy
from imgsvc.model import Caller, Image, Visibility

NOW = datetime(2026, 1, 1, tzinfo=UTC)

CALLERS = {
    "admin": Caller("a", "other", frozenset({"admin"})),
    "local": Caller("l", None, frozenset({"admin", "member", "reader"})),
    "member": Caller("m", "own", frozenset({"member", "reader"})),
    "reader": Caller("r", "own", frozenset({"reader"})),
    "stranger": Caller("s", "other", frozenset({"member", "reader"})),
    "unscoped": Caller("u", None, frozenset({"member", "reader"})),
    "service": Caller("n", "services", frozenset({"service"})),
    "nobody": Caller("x", "own", frozenset()),
}


def image(visibility: Visibility, owner: str | None = "own") -> Image:
    return Image("i", NOW, NOW, visibility=visibility, owner=owner)


class DefaultPolicyTests(SynchronousTestCase):
    """Who may do what."""

    def setUp(self) -> None:
        self.policy = DefaultPolicy()

    def allowed(self, action: str, target: Image | None = None) -> set[str]:
        return {name for name, caller in CALLERS.items() if self.policy.allows(action, caller, target)}

    def test_interface(self) -> None:
        """It provides IPolicy."""
        verifyObject(IPolicy, self.policy)

    def test_private(self) -> None:
        """A private image of a project: its readers look, its members change, strangers see nothing."""
        expected = {
            "get_image": {"admin", "local", "member", "reader"},
            "download_image": {"admin", "local", "member"},
            "modify_image": {"admin", "local", "member"},
            "delete_image": {"admin", "local", "member"},
            "upload_image": {"admin", "local", "member"},
            "communitize_image": {"admin", "local", "member"},
            "deactivate": {"admin", "local", "member"},
            "reactivate": {"admin", "local", "member"},
            "publicize_image": {"admin", "local"},
            "add_image": {"admin", "local", "member"},
        }
        for action, names in expected.items():
            self.assertEqual(self.allowed(action, image(Visibility.PRIVATE)), names, action)

    def test_visible_to_all(self) -> None:
        """Public and community images of others are read and downloaded, not changed."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
            target = image(visibility)
            self.assertEqual(
                self.allowed("get_image", target), {"admin", "local", "member", "reader", "stranger", "unscoped"}
            )
            self.assertEqual(
                self.allowed("download_image", target), {"admin", "local", "member", "stranger", "unscoped"}
            )
            for action in ("modify_image", "delete_image", "upload_image"):
                self.assertEqual(self.allowed(action, target), {"admin", "local", "member"}, action)

    def test_without_image(self) -> None:
        """Without an image, one that the caller's own project would own is meant."""
        self.assertEqual(self.allowed("add_image"), {"admin", "local", "member", "stranger"})
        self.assertEqual(self.allowed("get_images"), {"admin", "local", "member", "reader", "stranger", "unscoped"})
        self.assertEqual(self.allowed("stores_info_detail"), {"admin", "local", "service"})

    def test_unknown_action(self) -> None:
        """An action without a rule is a mistake of the program."""
        self.assertRaises(KeyError, self.policy.allows, "fly", CALLERS["admin"])

    def test_other_rules(self) -> None:
        """Other rules replace the defaults, but nobody acts on an image that they cannot see."""
        policy = DefaultPolicy({**DEFAULT_RULES, "delete_image": lambda caller, target: True})
        self.assertTrue(policy.allows("delete_image", CALLERS["stranger"], image(Visibility.PUBLIC)))
        self.assertFalse(policy.allows("delete_image", CALLERS["stranger"], image(Visibility.PRIVATE)))


class SeesTests(SynchronousTestCase):
    """Who sees which image."""

    def seen(self, target: Image) -> set[str]:
        return {name for name, caller in CALLERS.items() if sees(caller, target)}

    def test_owned(self) -> None:
        """Public and community images are for all, shared and private ones for the owner and administrators."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
            self.assertEqual(self.seen(image(visibility)), set(CALLERS))
        for visibility in (Visibility.SHARED, Visibility.PRIVATE):
            self.assertEqual(self.seen(image(visibility)), {"admin", "local", "member", "reader", "nobody"})

    def test_without_owner(self) -> None:
        """An image without owner is seen by all, unless it is private: then by administrators only."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY, Visibility.SHARED):
            self.assertEqual(self.seen(image(visibility, None)), set(CALLERS))
        self.assertEqual(self.seen(image(Visibility.PRIVATE, None)), {"admin", "local"})
