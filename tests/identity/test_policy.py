"""Tests of imgsvc.identity.policy: Glance's default policies, written out, and rules of operators."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve, frozen
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import ConfigurationError
from imgsvc.identity import policy
from imgsvc.identity.actions import ACTIONS, OWNERS_ACTIONS
from imgsvc.identity.policy import Policy, sees
from imgsvc.interfaces import IPolicy
from imgsvc.model import Caller, Image, Visibility

NOW = datetime(2026, 1, 1, tzinfo=UTC)

CALLERS = {
    "admin": Caller("a", "other", frozenset({"admin"})),
    "local": Caller("l", None, frozenset({"admin", "member", "reader"})),
    "member": Caller("m", "own", frozenset({"member", "reader"})),
    "reader": Caller("r", "own", frozenset({"reader"})),
    "consumer": Caller("c", "friend", frozenset({"member", "reader"})),
    "stranger": Caller("s", "other", frozenset({"member", "reader"})),
    "unscoped": Caller("u", None, frozenset({"member", "reader"})),
    "service": Caller("n", "services", frozenset({"service"})),
    "system": Caller("y", None, frozenset()),
    "anonymous": Caller(),
    "nobody": Caller("x", "own", frozenset()),
}
READERS = {"admin", "local", "member", "reader", "consumer", "stranger", "unscoped"}
MEMBERS = {"admin", "local", "member", "consumer", "stranger", "unscoped"}
OWNERS = {"admin", "local", "member"}
ADMINS = {"admin", "local"}


def image(visibility: Visibility, owner: str | None = "own", *members: str) -> Image:
    return Image("i", NOW, NOW, visibility=visibility, owner=owner, members=frozenset(members))


class PolicyTestCase(SynchronousTestCase):
    """What callers may do under a policy."""

    def setUp(self) -> None:
        self.policy = Policy()

    def allowed(self, action: str, target: object = None) -> set[str]:
        return {name for name, caller in CALLERS.items() if self.policy.allows(action, caller, target)}


class DefaultPolicyTests(PolicyTestCase):
    """The default rules."""

    def test_interface(self) -> None:
        """It provides IPolicy."""
        verifyObject(IPolicy, self.policy)

    def test_private(self) -> None:
        """A private image of a project: its readers may read, its members may change, others see nothing."""
        expected = {
            "get_image": {"admin", "local", "member", "reader"},
            "get_image_location": {"admin", "local", "member", "reader"},
            "get_members": {"admin", "local", "member", "reader"},
            "download_image": OWNERS,
            "publicize_image": ADMINS,
            "delete_image_location": ADMINS,
            "copy_image": ADMINS,
            "modify_member": ADMINS,
            "fetch_image_location": ADMINS,
            **dict.fromkeys(OWNERS_ACTIONS - {"publicize_image", "delete_image_location"}, OWNERS),
            "add_image_location": OWNERS,
        }
        for action, names in expected.items():
            self.assertEqual(self.allowed(action, image(Visibility.PRIVATE)), names, action)

    def test_visible_to_all(self) -> None:
        """Public and community images of others may be read and downloaded, not changed."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
            target = image(visibility)
            self.assertEqual(self.allowed("get_image", target), READERS)
            self.assertEqual(self.allowed("download_image", target), MEMBERS)
            self.assertEqual(self.allowed("fetch_image_location", target), ADMINS | {"service"})
            self.assertEqual(self.allowed("add_image_location", target), OWNERS | {"service"})
            for action in OWNERS_ACTIONS:
                self.assertLessEqual(self.allowed(action, target), OWNERS, action)

    def test_shared(self) -> None:
        """Members of a shared image may read and download it, and answer."""
        target = image(Visibility.SHARED, "own", "friend")
        owners_side = {"admin", "local", "member", "reader"}
        self.assertEqual(self.allowed("get_image", target), owners_side | {"consumer"})
        self.assertEqual(self.allowed("get_member", target), owners_side | {"consumer"})
        self.assertEqual(self.allowed("download_image", target), OWNERS | {"consumer"})
        self.assertEqual(self.allowed("modify_member", target), ADMINS | {"consumer"})
        for action in OWNERS_ACTIONS:
            self.assertLessEqual(self.allowed(action, target), OWNERS, action)

    def test_without_owner(self) -> None:
        """Only administrators change an image without an owner, also if a caller has no project either."""
        target = image(Visibility.PUBLIC, None)
        self.assertEqual(self.allowed("get_image", target), READERS)
        for action in OWNERS_ACTIONS | {"modify_member"}:
            self.assertEqual(self.allowed(action, target), ADMINS, action)

    def test_owner_of_nothing(self) -> None:
        """A caller without a project is neither the owner nor a member of an image without one."""
        orphan = image(Visibility.SHARED, None, "friend")
        for action in ("add_image_location", "get_image_location", "get_members", "get_member", "modify_image"):
            self.assertNotIn("unscoped", self.allowed(action, orphan), action)

    def test_without_image(self) -> None:
        """Without an image, the decision is for one that the caller's own project would own."""
        self.assertEqual(self.allowed("add_image"), {"admin", "local", "member", "consumer", "stranger"})
        self.assertEqual(self.allowed("get_images"), READERS)
        self.assertEqual(self.allowed("stores_info_detail"), {"admin", "local", "service"})
        self.assertEqual(self.allowed("tasks_api_access"), ADMINS)

    def test_metadefs(self) -> None:
        """Readers read their own and public namespaces, and administrators write them."""

        @frozen
        class Namespace:
            owner: str
            visibility: Visibility

        own = {"admin", "local", "member", "reader"}
        for action in ACTIONS:
            if "metadef" in action:
                read = action.startswith(("get_", "list_"))
                private = Namespace("own", Visibility.PRIVATE)
                public = Namespace("own", Visibility.PUBLIC)
                expected = own if read else ADMINS
                self.assertEqual(self.allowed(action, private), expected, action)
                if action != "get_metadef_namespaces":
                    self.assertEqual(self.allowed(action, public), READERS if read else ADMINS, action)

    def test_nobody(self) -> None:
        """A caller without a role may do nothing."""
        for action in ACTIONS:
            for target in (None, *map(image, Visibility)):
                self.assertTrue(self.allowed(action, target).isdisjoint({"system", "anonymous", "nobody"}), action)

    def test_unknown_action(self) -> None:
        """An action without a rule is an error of the program."""
        self.assertRaises(KeyError, self.policy.allows, "fly", CALLERS["admin"])

    def test_bounded(self) -> None:
        """The number of kept decisions is limited for any number of projects, and they stay correct."""
        self.patch(policy, "MOST_KEPT", 5)
        target = image(Visibility.PRIVATE)
        for number in range(20):
            stranger = Caller("u", f"project {number}", frozenset({"member", "reader"}))
            self.assertFalse(self.policy.allows("modify_image", evolve(stranger, is_admin=True), target))
            self.assertTrue(self.policy.allows("modify_image", CALLERS["member"], target))
            self.assertLessEqual(len(self.policy._decisions["modify_image"]._kept), 5)


class OperatorsPolicyTests(PolicyTestCase):
    """Rules of a file replace the defaults."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.stamp = 0

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def load(self, text: str) -> None:
        self.write(text)
        self.policy = Policy(self.path, self.clock.seconds)

    def later(self, text: str) -> None:
        """Replace the file, and ask the policy again after its interval."""
        self.write(text)
        self.stamp += 1
        os.utime(
            self.path, ns=(self.stamp, self.stamp)
        )  # the file system's clock may be too coarse to show a difference
        self.clock.advance(1)

    def test_own_rules(self) -> None:
        """A rule of the file counts, and all others stay."""
        self.load("delete_image: role:admin\ndownload_image: rule:trusted\ntrusted: user_id:s or user_id:m\n")
        self.assertEqual(self.allowed("delete_image", image(Visibility.PUBLIC)), ADMINS)
        self.assertEqual(self.allowed("download_image", image(Visibility.PUBLIC)), {"stranger", "member"})
        self.assertEqual(self.allowed("modify_image", image(Visibility.PUBLIC)), OWNERS)

    def test_bounds(self) -> None:
        """No rule allows an action on an image that the caller cannot see, or a change of another project's image."""
        self.load("".join(f'{action}: "@"\n' for action in ACTIONS))
        self.assertEqual(self.allowed("get_image", image(Visibility.PRIVATE)), {*ADMINS, "member", "reader", "nobody"})
        self.assertEqual(self.allowed("download_image", image(Visibility.PUBLIC)), set(CALLERS))
        for action in OWNERS_ACTIONS:
            self.assertEqual(self.allowed(action, image(Visibility.PUBLIC)), {*OWNERS, "reader", "nobody"}, action)
        self.assertEqual(
            self.allowed("modify_member", image(Visibility.SHARED, "own", "friend")), {*ADMINS, "consumer"}
        )

    def test_attributes(self) -> None:
        """A rule can use the image's attributes and its custom properties."""
        self.load("download_image: \"'raw':%(disk_format)s and user_id:%(tester)s and not True:%(protected)s\"\n")
        target = evolve(image(Visibility.PUBLIC), disk_format="raw", properties={"tester": "m"})
        self.assertEqual(self.allowed("download_image", target), {"member"})
        for change in (
            {"disk_format": "iso"},
            {"properties": {}},
            {"protected": True},
            {"properties": {"tester": "x"}},
        ):
            self.assertNotIn("member", self.allowed("download_image", evolve(target, **change)), change)

    def test_before_the_target_is_known(self) -> None:
        """Callers that may never act are refused before the image is known. Callers that may act on some images
        are not.
        """

        def might() -> set[str]:
            return {name for name, caller in CALLERS.items() if self.policy.might_allow("add_image", caller)}

        self.load("{}")
        self.assertEqual(might(), self.allowed("add_image"))
        self.assertNotIn("reader", might())
        self.load("add_image: \"role:reader and 'private':%(visibility)s\"\n")
        self.assertEqual(self.allowed("add_image"), set())
        self.assertLessEqual({"reader", "member"}, might())
        self.assertNotIn("unscoped", might())
        self.load("add_image: '!'\n")
        self.assertEqual(might(), set())

    def test_is_admin(self) -> None:
        """A caller that the identity marks as an administrator is one for the bounds, and for rules that ask for it."""
        self.load('delete_image: "is_admin:True"\n')
        chief = Caller("c", "other", frozenset({"chief"}), is_admin=True)
        self.assertTrue(self.policy.allows("delete_image", chief, image(Visibility.PRIVATE)))
        self.assertFalse(self.policy.allows("delete_image", CALLERS["member"], image(Visibility.PRIVATE)))

    def test_reload(self) -> None:
        """A changed file takes effect within a second, and older decisions are dropped."""
        self.load("get_image: '!'\n")
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), set())
        self.later("get_image: role:reader\n")
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), READERS - {"admin"})

    def test_looks_once_a_second(self) -> None:
        """The file is not checked for every decision."""
        self.load("get_image: '!'\n")
        self.write("get_image: '@' \n")
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), set())
        self.clock.advance(1)
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), set(CALLERS))

    def test_broken_reload(self) -> None:
        """An invalid file leaves the rules unchanged until a valid one comes."""
        self.load("get_image: role:member\n")
        for text in ("get_image: [", "get_image: rule:nowhere\n"):
            self.later(text)
            self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), MEMBERS - {"admin"})
        self.path.unlink()
        self.clock.advance(1)
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), MEMBERS - {"admin"})
        self.later("get_image: role:service\n")
        self.assertEqual(self.allowed("get_image", image(Visibility.PUBLIC)), {"service"})

    def test_absent(self) -> None:
        """A missing file is an error at the start."""
        error = self.assertRaises(ConfigurationError, Policy, self.path)
        self.assertEqual(str(error), f"policy.file {self.path}: cannot be read: No such file or directory")


class SeesTests(SynchronousTestCase):
    """Which callers see which images."""

    def seen(self, target: Image) -> set[str]:
        return {name for name, caller in CALLERS.items() if sees(caller, target)}

    def test_owned(self) -> None:
        """Everybody sees public and community images. The owner and administrators see shared and private ones."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
            self.assertEqual(self.seen(image(visibility)), set(CALLERS))
        for visibility in (Visibility.SHARED, Visibility.PRIVATE):
            self.assertEqual(self.seen(image(visibility)), {"admin", "local", "member", "reader", "nobody"})

    def test_members(self) -> None:
        """Members see a shared image. Members of a private image do not see it."""
        self.assertIn("consumer", self.seen(image(Visibility.SHARED, "own", "friend")))
        self.assertNotIn("consumer", self.seen(image(Visibility.PRIVATE, "own", "friend")))

    def test_without_owner(self) -> None:
        """Everybody sees an image without an owner, unless it is private. Then only administrators do."""
        for visibility in (Visibility.PUBLIC, Visibility.COMMUNITY, Visibility.SHARED):
            self.assertEqual(self.seen(image(visibility, None)), set(CALLERS))
        self.assertEqual(self.seen(image(Visibility.PRIVATE, None)), {"admin", "local"})
