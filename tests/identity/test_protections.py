"""Tests of imgsvc.identity.protections."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import ConfigurationError, Forbidden
from imgsvc.identity import protections
from imgsvc.identity.policy import Policy
from imgsvc.identity.protections import OPERATIONS, Protections
from imgsvc.interfaces import IProtections
from imgsvc.model import Caller

ADMIN = Caller("a", "ops", frozenset({"admin"}))
BILLING = Caller("b", "ops", frozenset({"billing"}))
MEMBER = Caller("m", "blue", frozenset({"member"}))
HELPED = Caller("m", "blue", frozenset({"member"}), service_roles=frozenset({"billing"}))

BY_ROLES = """
[^x_billing_]
create = admin,Billing
read = admin, billing
update = admin
delete = !
[^x_]
create = @
read = @
update = member
delete =
[license$]
create = billing
read = @
update = @
delete = @
"""


class ProtectionsTestCase(SynchronousTestCase):
    """Reads files of protections."""

    def load(self, text: str, rules: str = "roles", policy: Policy | None = None) -> Protections:
        self.path = Path(self.mktemp())
        self.path.write_text(text)
        return Protections.load(self.path, rules, policy or Policy())

    def allowed(self, protections: Protections, caller: Caller, key: str) -> str:
        """The initials of the allowed operations."""
        return "".join(name[0] for name in OPERATIONS if protections.allows(name, caller, key))


class DecisionTests(ProtectionsTestCase):
    """Which callers may do what with which property."""

    def test_interface(self) -> None:
        """It provides IProtections."""
        verifyObject(IProtections, Protections())

    def test_none(self) -> None:
        """Without a file nothing is protected."""
        loaded = Protections.load(None, "roles", Policy())
        self.assertEqual(self.allowed(loaded, MEMBER, "any"), "crud")
        self.assertEqual(loaded.readable(MEMBER, {"a": "1"}), {"a": "1"})
        self.assertEqual(loaded.merged(MEMBER, {"a": "1"}, {"b": "2"}), {"b": "2"})

    def test_empty(self) -> None:
        """With an empty file everything is protected, because no section allows anything."""
        loaded = self.load("# [.*]\n")
        self.assertEqual(self.allowed(loaded, ADMIN, "any"), "")
        self.assertEqual(loaded.readable(ADMIN, {"a": "1"}), {})
        self.assertEqual(loaded.merged(ADMIN, {"a": "1"}, {}), {"a": "1"})
        self.assertRaises(Forbidden, loaded.merged, ADMIN, {"a": "1"}, {"b": "2"})

    def test_roles(self) -> None:
        """Roles decide, in any case. `@` is everybody; `!` and an empty list are nobody."""
        loaded = self.load(BY_ROLES)
        self.assertEqual(self.allowed(loaded, ADMIN, "x_billing_id"), "cru")
        self.assertEqual(self.allowed(loaded, BILLING, "x_billing_id"), "cr")
        self.assertEqual(self.allowed(loaded, MEMBER, "x_billing_id"), "")
        self.assertEqual(self.allowed(loaded, MEMBER, "x_other"), "cru")
        self.assertEqual(self.allowed(loaded, BILLING, "x_other"), "cr")

    def test_service_roles(self) -> None:
        """The roles of a service that passes the request on count too."""
        self.assertEqual(self.allowed(self.load(BY_ROLES), HELPED, "x_billing_id"), "cr")

    def test_first_section(self) -> None:
        """The first matching section decides, wherever in the key it matches."""
        loaded = self.load(BY_ROLES)
        self.assertEqual(self.allowed(loaded, MEMBER, "x_license"), "cru")
        self.assertEqual(self.allowed(loaded, MEMBER, "my_license"), "rud")

    def test_no_section(self) -> None:
        """A property that no section matches is denied, also to administrators."""
        self.assertEqual(self.allowed(self.load(BY_ROLES), ADMIN, "other"), "")

    def test_own(self) -> None:
        """The server's own properties are not protected."""
        self.assertEqual(self.allowed(self.load(BY_ROLES), MEMBER, "os_glance_import_task"), "crud")

    def test_policies(self) -> None:
        """Rules of the policy may decide instead of roles."""
        policy_file = Path(self.mktemp())
        policy_file.write_text("payers: role:billing or user_id:m\n")
        text = "[.*]\ncreate = payers\nread = @\nupdate = context_is_admin\ndelete = !\n"
        loaded = self.load(text, "policies", Policy(policy_file))
        self.assertEqual(self.allowed(loaded, MEMBER, "a"), "cr")
        self.assertEqual(self.allowed(loaded, BILLING, "a"), "cr")
        self.assertEqual(self.allowed(loaded, ADMIN, "a"), "ru")

    def test_many_keys(self) -> None:
        """The number of remembered keys is limited, however many are asked for."""
        self.patch(protections, "MOST_KEPT", 3)
        loaded = self.load(BY_ROLES)
        for number in range(10):
            self.assertEqual(self.allowed(loaded, MEMBER, f"x_{number}"), "cru")
            self.assertLessEqual(len(loaded._section_of), 3)


class MergingTests(ProtectionsTestCase):
    """The properties of an image when a caller writes them."""

    def setUp(self) -> None:
        self.protections = self.load(BY_ROLES)
        self.before = {"x_billing_id": "secret", "x_a": "1", "my_license": "free"}

    def refused(self, caller: Caller, after: dict[str, str]) -> str:
        return str(self.assertRaises(Forbidden, self.protections.merged, caller, self.before, after))

    def test_readable(self) -> None:
        """Properties that may not be read are left out."""
        self.assertEqual(self.protections.readable(MEMBER, self.before), {"x_a": "1", "my_license": "free"})
        self.assertEqual(self.protections.readable(BILLING, self.before), self.before)

    def test_hidden_stay(self) -> None:
        """Properties that the caller may not read stay unchanged, whatever it does with the rest."""
        after = {"x_a": "2", "x_new": "3"}
        self.assertEqual(
            self.protections.merged(MEMBER, self.before, after), {"x_billing_id": "secret", "x_a": "2", "x_new": "3"}
        )

    def test_refused(self) -> None:
        """Creating, changing and removing are allowed separately."""
        free = {"x_a": "1", "my_license": "free"}
        self.assertEqual(
            self.refused(MEMBER, {"my_license": "free"}), "You are not permitted to delete the property 'x_a'."
        )
        self.assertEqual(
            self.refused(MEMBER, {**free, "a_license": "x"}),
            "You are not permitted to create the property 'a_license'.",
        )
        self.assertEqual(
            self.refused(BILLING, {**self.before, "x_a": "2"}), "You are not permitted to update the property 'x_a'."
        )
        self.assertEqual(self.protections.merged(MEMBER, self.before, free), self.before)

    def test_guessing(self) -> None:
        """Writing the value that a hidden property has does not reveal it."""
        free = {"x_a": "1", "my_license": "free"}
        for value in ("secret", "other"):
            self.assertEqual(
                self.refused(MEMBER, {**free, "x_billing_id": value}),
                "You are not permitted to create the property 'x_billing_id'.",
            )

    def test_hidden_and_creatable(self) -> None:
        """A hidden property that the caller may create is not overwritten."""
        loaded = self.load("[.*]\ncreate = @\nread = admin\nupdate = admin\ndelete = @\n")
        self.assertEqual(loaded.merged(MEMBER, {}, {"a": "1"}), {"a": "1"})
        self.assertRaises(Forbidden, loaded.merged, MEMBER, {"a": "1"}, {"a": "1"})


class BadFileTests(ProtectionsTestCase):
    """Invalid files are refused in one line that names the section."""

    def refusal(self, text: str, rules: str = "roles") -> str:
        message = str(self.assertRaises(ConfigurationError, self.load, text, rules))
        self.assertNotIn("\n", message)
        start = f"policy.property_protection_file {self.path}: "
        self.assertTrue(message.startswith(start), message)
        return message.removeprefix(start)

    def test_sections(self) -> None:
        """Each section is a regular expression, and has all four operations."""
        whole = "create = a\nread = a\nupdate = a\n"
        self.assertIn("section [a(] is not a regular expression: missing )", self.refusal(f"[a(]\n{whole}delete = a\n"))
        self.assertEqual(self.refusal(f"[a]\n{whole}"), "section [a] has no 'delete'")
        self.assertEqual(
            self.refusal(f"[a]\n{whole}delete = @,!\n"),
            "section [a]: delete is given to everybody (@) and to nobody (!)",
        )
        self.assertEqual(
            self.refusal(f"[a]\n{whole}delete = a\n", "policies"),
            "section [a]: create: there is no rule 'a' in the policy",
        )
        self.assertEqual(
            self.refusal("[a]\ncreate = default,metadef_admin\nread=@\nupdate=@\ndelete=@\n", "policies"),
            "section [a]: create: there is no rule 'default,metadef_admin' in the policy",
        )

    def test_form(self) -> None:
        """A file of another form is refused."""
        self.assertIn("no section headers", self.refusal("create = a\n"))
        self.assertIn("already exists", self.refusal("[a]\ncreate = a\n[a]\n"))

    def test_absent(self) -> None:
        """A missing file is refused."""
        error = self.assertRaises(ConfigurationError, Protections.load, Path("/nowhere"), "roles", Policy())
        self.assertEqual(
            str(error), "policy.property_protection_file /nowhere: cannot be read: No such file or directory"
        )
