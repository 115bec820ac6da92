"""Tests of imgsvc.identity.rules, and of the kept decisions, compared with oslo.policy's own enforcer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError
from imgsvc.identity.actions import ACTIONS, DEFAULT_RULES, OWNERS_ACTIONS, RETIRED
from imgsvc.identity.default_rules import DefaultRules
from imgsvc.identity.policy import Policy, sees
from imgsvc.identity.rules import Inputs, Rules
from imgsvc.model import Caller, Image, Status, Visibility

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class SightsTests(SynchronousTestCase):
    """The attributes that a rule uses are found in it."""

    def inputs(self, text: Any, **others: Any) -> Inputs:
        return Rules({"it": text, **others}).inputs("it")

    def test_of_caller(self) -> None:
        """Attributes of the caller come before the colon, unless a constant does."""
        self.assertEqual(self.inputs("role:admin").credentials, {"roles"})
        self.assertEqual(self.inputs("user_id:x and not project_id:y").credentials, {"user_id", "project_id"})
        self.assertEqual(self.inputs("service_roles:service or 'public':%(visibility)s").credentials, {"service_roles"})
        self.assertEqual(self.inputs("True:%(protected)s or 5:%(min_disk)s or None:%(owner)s").credentials, set())

    def test_of_target(self) -> None:
        """Attributes of the target are in %(...)s."""
        self.assertEqual(self.inputs("user_id:%(a)s-%(b)s%%").target, {"a", "b"})
        self.assertEqual(self.inputs("role:%(needed)s").target, {"needed"})
        self.assertEqual(self.inputs("@").target, set())

    def test_through_references(self) -> None:
        """A rule also uses the attributes of the rules that it refers to."""
        inputs = self.inputs("not rule:other", other="rule:third and user_id:%(a)s", third="role:x")
        self.assertEqual(inputs, Inputs(frozenset({"roles", "user_id"}), frozenset({"a"})))

    def test_lists(self) -> None:
        """Rules in the old form of lists are searched too."""
        self.assertEqual(self.inputs([["role:a", "user_id:%(x)s"], "role:b"]).target, {"x"})


class FileTests(SynchronousTestCase):
    """Reading the operator's file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.lines: list[str] = []

    def load(self, text: str) -> Rules:
        self.path.write_text(text)
        return Rules.load(self.path)

    def refusal(self, text: str) -> str:
        message = str(self.assertRaises(ConfigurationError, self.load, text))
        self.assertTrue(message.startswith(f"policy.file {self.path}: "), message)
        self.assertNotIn("\n", message)
        return message.partition(f"{self.path}: ")[2]

    def logged(self, text: str) -> list[str]:
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        try:
            self.load(text)
        finally:
            globalLogPublisher.removeObserver(events.append)
        return [event["log_format"].format(**event).partition(f"{self.path}: ")[2] for event in events]

    def test_empty(self) -> None:
        """An empty file changes nothing."""
        self.assertEqual(set(self.load("# nothing\n")), set(DEFAULT_RULES))

    def test_json(self) -> None:
        """JSON is accepted, because it is YAML."""
        rules = self.load(json.dumps({"get_image": "role:x"}))
        self.assertEqual((rules.text("get_image"), rules.text("get_images")), ("role:x", DEFAULT_RULES["get_images"]))
        self.assertEqual(dict(rules.own), {"get_image": "role:x"})

    def test_no_mapping(self) -> None:
        """A file that is not a mapping of names to rules is refused."""
        self.assertIn("is not YAML", self.refusal("get_image: [1\nb: }"))
        self.assertEqual(self.refusal("- role:x"), "must be a mapping from names to rules")
        self.assertEqual(self.refusal("5: role:x"), "must be a mapping from names to rules")

    def test_rules_that_are_none(self) -> None:
        """A rule that oslo.policy cannot parse, and would treat as nobody or everybody, is refused."""
        for text in ("foo", "role:x and", "! and", "(role:x", "role:a role:b", "not", " "):
            self.assertEqual(self.refusal(json.dumps({"a": text})), f"rule 'a': {text!r} is not a rule")
        self.assertEqual(self.refusal("a: !\n"), "rule 'a': None must be text in quotes: '' allows all, '!' nobody")
        self.assertIn("must be text", self.refusal("a: 5"))
        self.assertIn("is not a rule", self.refusal('{"a": [["role:admin"], ["b"]]}'))
        self.assertIn("is not a rule", self.refusal('{"a": [5]}'))

    def test_nobody_and_everybody(self) -> None:
        """Rules can name nobody and everybody."""
        for text in ("!", "(!)", "not (role:x or !)", "role:x and !", "", "@"):
            self.load(json.dumps({"a": text}))
        self.load('{"a": [["role:x", "!"], "@"]}')

    def test_references(self) -> None:
        """A rule that refers to a missing rule, or to itself, is refused."""
        self.assertEqual(self.refusal("a: rule:b"), "rule 'a': refers to rule:b, which does not exist")
        self.assertEqual(self.refusal("a: rule:b\nb: not rule:a"), "rule 'a': refers to itself: a -> b -> a")

    def test_what_cannot_be_seen(self) -> None:
        """Checks of other servers, and unknown attributes, are refused."""
        self.assertIn("http: is a check of other servers", self.refusal("a: http://host/%(id)s"))
        self.assertIn("https: is a check of other servers", self.refusal("a: https://host/"))
        self.assertIn("does not know domain_id", self.refusal("a: domain_id:x"))
        self.assertIn("does not know user_id.name", self.refusal("a: user_id.name:x"))
        self.assertIn("%(name)s only", self.refusal("a: user_id:%s"))
        self.assertIn("%(name)s only", self.refusal("a: user_id:%(size)d"))
        self.assertIn("neither a constant nor the name", self.refusal("a: 1a:x"))

    def test_warnings(self) -> None:
        """An unused rule is reported in one line, and does no harm."""
        self.assertEqual(
            self.logged("".join(f"{name}: role:x\n" for name in sorted(RETIRED))),
            ["nothing uses add_task, get_task, get_tasks, modify_task any more"],
        )
        self.assertEqual(
            self.logged("helper: role:x\nget_image: rule:helper\nget_imagse: role:y\n"),
            ["no action and no other rule uses get_imagse"],
        )
        self.assertEqual(self.logged("get_image: role:x\n"), [])


# --- comparison with oslo.policy

PROJECTS = st.sampled_from(["red", "blue", None])
ROLES = st.frozensets(st.sampled_from(["admin", "member", "reader", "service", "chief"]))
CALLERS = st.builds(
    Caller,
    user_id=st.sampled_from(["u", "v", None]),
    project_id=PROJECTS,
    roles=ROLES,
    service_roles=st.frozensets(st.sampled_from(["service", "admin"])),
)
IMAGES = st.builds(
    Image,
    id=st.just("i"),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
    status=st.sampled_from(Status),
    name=st.sampled_from([None, "u", "red", "None"]),
    visibility=st.sampled_from(Visibility),
    protected=st.booleans(),
    owner=PROJECTS,
    min_disk=st.integers(0, 2),
    properties=st.dictionaries(st.sampled_from(["tester", "level"]), st.sampled_from(["u", "v", "member", "1"])),
    members=st.frozensets(st.sampled_from(["red", "blue"])),
)
PLACES = st.sampled_from(
    (
        *("project_id", "owner", "member_id", "member", "visibility", "name", "status", "protected", "min_disk", "id"),
        *("image_id", "tester", "level", "nothing"),
    )
)
SUBJECTS = st.sampled_from(
    (
        *("user_id", "user", "project_id", "tenant", "roles", "service_roles", "is_admin", "nobody", "None", "True"),
        *("1", "'public'", '"shared"', "'active'", "'red'"),
    )
)
ATOMS = st.one_of(
    st.sampled_from(["@", "!", "rule:helper", "rule:context_is_admin", "rule:default", "is_admin_project:True"]),
    st.builds("role:{}".format, st.sampled_from(["admin", "Member", "reader", "chief", "%(level)s"])),
    st.builds("{}:%({})s".format, SUBJECTS, PLACES),
    st.builds("{}:{}".format, st.sampled_from(["user_id", "project_id"]), st.sampled_from(["u", "red", "None"])),
)
TEXTS = st.recursive(
    ATOMS,
    lambda parts: st.one_of(
        st.builds("not {}".format, ATOMS),
        st.builds("({} and {})".format, parts, parts),
        st.builds("({} or {} or {})".format, parts, parts, ATOMS),
    ),
    max_leaves=6,
)
FILES = st.dictionaries(st.sampled_from([*ACTIONS[:30], "default"]), TEXTS | st.just(""), max_size=8)


def credentials(caller: Caller) -> dict[str, Any]:
    """A caller in the form that Glance gives to oslo.policy."""
    return {
        "user_id": caller.user_id,
        "user": caller.user_id,
        "project_id": caller.project_id,
        "tenant": caller.project_id,
        "roles": sorted(caller.roles),
        "service_roles": sorted(caller.service_roles),
        "is_admin": caller.is_admin,
        "is_admin_project": True,
    }


def target(caller: Caller, image: Image | None) -> dict[str, Any]:
    """An image in the form that Glance gives to oslo.policy.

    With one difference, on purpose: a caller without a project does not own an image without an owner, and is no member
    of it. So what is None there is left out here, because None equals None in the language of the rules.
    """
    if image is None:
        return {"project_id": caller.project_id, "owner": caller.project_id}
    member = caller.project_id if caller.project_id in image.members else None
    base = {
        name: getattr(image, name)
        for name in ("id", "name", "status", "visibility", "protected", "owner", "min_disk", "min_ram", "size")
    }
    places = {
        **image.properties,
        **base,
        "image_id": image.id,
        "project_id": image.owner,
        "member": member,
        "member_id": member,
    }
    absent = {"owner", "project_id"} if image.owner is None else set()
    if caller.project_id is None:
        absent |= {"member", "member_id"}
    return {name: value for name, value in places.items() if name not in absent}


class OracleTests(SynchronousTestCase):
    """The decisions are those of oslo.policy with the same defaults and file."""

    def enforcer(self, path: Path) -> oslo.Enforcer:
        config = cfg.ConfigOpts()
        config([], project="imgsvc", default_config_files=[], default_config_dirs=[])
        enforcer = oslo.Enforcer(config, policy_file=str(path.absolute()))
        enforcer.register_defaults([oslo.RuleDefault(name, text) for name, text in DEFAULT_RULES.items()])
        return enforcer

    def test_nobody_is_no_owner(self) -> None:
        """A caller without a project does not own an image without an owner, though None is None to oslo.policy."""
        path = Path(self.mktemp())
        path.write_text(json.dumps({"get_image": "(! or project_id:%(project_id)s)", "get_images": "None:%(owner)s"}))
        nobody = Caller(user_id=None, project_id=None, roles=frozenset())
        image = Image(id="i", created_at=NOW, updated_at=NOW, status=Status.ACTIVE, owner=None)
        for action in ("get_image", "get_images"):
            self.assertFalse(Policy(path).permits(action, nobody, image))
            self.assertFalse(self.enforcer(path).enforce(action, target(nobody, image), credentials(nobody)))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(FILES, TEXTS.filter(lambda text: "rule:" not in text), st.data())
    def test_same_decisions(self, own: dict[str, str], helper: str, data: st.DataObject) -> None:
        """They are the same for any file, caller and image."""
        path = Path(self.mktemp())
        path.write_text(json.dumps({**own, "helper": helper}))
        enforcer, policy = self.enforcer(path), Policy(path)
        callers = data.draw(st.lists(CALLERS, min_size=1, max_size=5))
        images = [None, *data.draw(st.lists(IMAGES, min_size=1, max_size=5))]
        for action in own or ACTIONS[:30]:
            for caller in callers:
                for image in images:
                    expected = enforcer.enforce(action, target(caller, image), credentials(caller))
                    for _ in range(2):  # the second decision is a kept one
                        self.assertEqual(
                            policy.permits(action, caller, image), expected, (path.read_text(), action, caller, image)
                        )
                    if action in ACTIONS and policy.allows(action, caller, image) != expected:
                        self.assertTrue(expected)
                        self.assert_out_of_bounds(action, caller, image)

    def assert_out_of_bounds(self, action: str, caller: Caller, image: Image | None) -> None:
        """An allowed action is refused only to callers that do not see the image, or do not own it."""
        self.assertFalse(caller.is_admin)
        if image is None:
            self.assertEqual((action in OWNERS_ACTIONS, caller.project_id), (True, None))
        elif sees(caller, image):
            self.assertIn(action, OWNERS_ACTIONS | {"modify_member"})
            self.assertFalse(action in OWNERS_ACTIONS and image.owner == caller.project_id is not None)
            self.assertFalse(action == "modify_member" and caller.project_id in image.members)


class DefaultsTests(SynchronousTestCase):
    """The default rules are evaluated without oslo.policy, with the same results."""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_text("")
        self.with_oslo = Policy(path, lambda: 0.0)
        self.without = Policy()

    def test_which(self) -> None:
        """A policy without a file has exactly these rules, with the same texts."""
        self.assertIsInstance(self.with_oslo.rules, Rules)
        self.assertIsInstance(self.without.rules, DefaultRules)
        self.assertEqual(list(self.without.rules), list(self.with_oslo.rules))
        for name in (*DEFAULT_RULES, "nothing"):
            self.assertEqual(self.without.rules.text(name), self.with_oslo.rules.text(name))
            self.assertEqual(name in self.without.rules, name in self.with_oslo.rules)

    def test_sights(self) -> None:
        """Every rule uses the same attributes."""
        for name in DEFAULT_RULES:
            self.assertEqual(self.without.rules.inputs(name), self.with_oslo.rules.inputs(name), name)
        self.assertRaises(KeyError, self.without.rules.inputs, "nothing")

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(CALLERS, st.none() | IMAGES)
    def test_decisions(self, caller: Caller, image: Image | None) -> None:
        """Every rule decides the same for any caller and image."""
        for name in DEFAULT_RULES:
            self.assertEqual(
                self.without.permits(name, caller, image), self.with_oslo.permits(name, caller, image), (name, caller)
            )
