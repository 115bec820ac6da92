"""PATCH /v2/images/{image_id} with generated documents, compared with a small model of the rules."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.changing import V20, V21, ChangeTestCase
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE

PROPERTIES, TAGS = 3, 2
"""The limits of the server."""
START: dict[str, Any] = {
    **{"name": "n", "visibility": "shared", "protected": False, "os_hidden": False, "owner": "blue", "tags": ["s"]},
    **{"container_format": "bare", "disk_format": "raw", "min_disk": 0, "min_ram": 0, "a": "1", "b": "2"},
}
"""The image to which every document is applied."""
NULLABLE = {"name", "owner", "container_format", "disk_format"}
LINKS = ("self", "file", "schema")
READ_ONLY = ("id", "status", "size", "checksum", "created_at", "self", "stores", "deleted", "os_glance_x", "direct_url")
TEXTS = {"name": None, "owner": None, "visibility": ("public", "community", "shared", "private")} | {
    "container_format": ("bare", "ovf"),
    "disk_format": ("raw", "qcow2"),
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from(["", "x", "public", "community", "private", "bare", "ovf", "raw", "qcow2", "red", "x" * 256]),
    st.lists(st.sampled_from(["s", "t", "u", 1, "t" * 256]), max_size=3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(st.text("ab", max_size=1), st.none(), max_size=1),
)
GOOD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["n", "m", None, ""]),
    "owner": st.sampled_from(["blue", "red", "", None]),
    "visibility": st.sampled_from(["public", "community", "shared", "private"]),
    "protected": st.booleans(),
    "os_hidden": st.booleans(),
    "container_format": st.sampled_from(["bare", "ovf", None]),
    "disk_format": st.sampled_from(["raw", "qcow2", None]),
    "min_disk": st.integers(0, 2),
    "min_ram": st.integers(0, 2),
    "tags": st.lists(st.sampled_from(["s", "t", "u"]), max_size=4),
}
CUSTOM = ("a", "b", "c", "d", "e", "image_id", "members", "x/y", "x~y")
KEYS = st.sampled_from((*GOOD_VALUES, *CUSTOM))


@frozen
class Refused(Exception):
    """The model refuses with this status."""

    status: int


@frozen
class Step:
    """One operation, independent of the media type."""

    op: str
    key: str
    value: Any = field(default=None)

    def written(self, media_type: str) -> dict[str, Any]:
        """The operation as the media type writes it."""
        pointer = "/" + self.key.replace("~", "~0").replace("/", "~1")
        has_value = {} if self.op == "remove" else {"value": self.value}
        return {self.op: pointer, **has_value} if media_type == V20 else {"op": self.op, "path": pointer, **has_value}


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Lists of operations. Most of them are valid."""
    kind = draw(st.sampled_from(["good"] * 12 + ["any key", "any value", "removed field"]))
    key = draw(st.sampled_from(READ_ONLY) if kind == "any key" else KEYS)
    likely = "remove" if kind == "removed field" else "replace" if key in START else "add"
    op = draw(st.sampled_from([likely] * 5 + ["add", "replace", *([] if key in GOOD_VALUES else ["remove"] * 2)]))
    if op == "remove":
        return Step(op, key)
    good = GOOD_VALUES.get(key, st.sampled_from(["", "1", "2", "3"]))
    return Step(op, key, draw(VALUES if kind == "any value" else good))


def is_value_of(key: str, value: Any) -> bool:
    """Whether the schema allows the value."""
    if value is None:
        return key in NULLABLE
    if key in ("protected", "os_hidden"):
        return isinstance(value, bool)
    if key in ("min_disk", "min_ram"):
        return type(value) is int and 0 <= value < 2**31
    if key == "tags":
        return isinstance(value, list) and all(isinstance(tag, str) and len(tag) < 256 for tag in value)
    choices = TEXTS.get(key)
    longest = 255 if key in TEXTS else 1 << 20
    return isinstance(value, str) and len(value) <= longest and (choices is None or value in choices)


def patched(steps: list[Step], v20: bool, admin: bool, active: bool) -> dict[str, Any]:
    """The image after the steps. Raises Refused."""
    for step in steps:
        if step.key in READ_ONLY:
            raise Refused(403)
        if step.op != "remove" and not is_value_of(step.key, step.value):
            raise Refused(400)
    image = dict(START)
    for step in steps:
        base = step.key in GOOD_VALUES
        if base and step.op == "remove":
            raise Refused(403)
        if v20 and step.op == "add" and step.key in image:
            raise Refused(409)
        if step.op != "add" and step.key not in image:
            raise Refused(409)
        if not admin and (step.key == "owner" or (step.key == "visibility" and step.value == "public")):
            raise Refused(403)
        if active and step.key in ("container_format", "disk_format"):
            raise Refused(403)
        if step.op == "remove":
            del image[step.key]
        else:
            image[step.key] = step.value
    custom = image.keys() - GOOD_VALUES.keys()
    image["tags"] = sorted(set(image["tags"]))
    if len(image["tags"]) > TAGS or (custom - START.keys() and len(custom) > PROPERTIES):
        raise Refused(413)
    return {**image, "owner": image["owner"] or None}


class PatchRulesTests(ChangeTestCase):
    """The whole server, compared with the model."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"properties": PROPERTIES, "tags": TAGS},
    }

    def setUp(self) -> None:
        super().setUp()
        self.any_image = self.made(**START)

    @settings(derandomize=True, deadline=None, max_examples=250)
    @given(st.lists(steps(), min_size=1, max_size=6), st.booleans(), st.booleans(), st.booleans())
    def test_model(self, document: list[Step], v20: bool, admin: bool, active: bool) -> None:
        """The response and the image are those of the model. A refused document changes nothing."""
        image = (self.made_active if active else self.made)(**START)
        headers, media_type = ADMIN if admin else MEMBER, V20 if v20 else V21
        before = self.kept(image)
        answer = self.patch(image, [step.written(media_type) for step in document], headers, media_type)
        try:
            expected = patched(document, v20, admin, active)
        except Refused as refused:
            self.assertEqual((answer.status, self.kept(image)), (refused.status, before))
            return
        self.assertEqual(answer.status, 200, answer.body)
        fixed = ("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at")
        shown = {key: value for key, value in answer.json.items() if key not in (*fixed, "updated_at", *LINKS)}
        self.assertEqual(shown, expected)
        self.assertEqual(self.show(image, ADMIN), answer.json)
        after = self.kept(image)
        self.assertEqual([getattr(after, name) for name in fixed], [getattr(before, name) for name in fixed])
        self.assertIs(after.updated_at > before.updated_at, expected != START)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["op", "path", "value", "add", "replace", "remove", "from"]),
                    inner | st.sampled_from(["add", "replace", "remove", "/name", "/tags", "/a", "/locations/-", "/~"]),
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        st.booleans(),
    )
    def test_anything(self, document: Any, v20: bool) -> None:
        """Any JSON has a response that is not a failure, and changes nothing unless the status is 200."""
        image = self.any_image
        before = self.kept(image)
        answer = self.patch(image, document, ADMIN, V20 if v20 else V21)
        self.assertIn(answer.status, (200, 400, 403, 409, 413))
        if answer.status != 200:
            self.assertEqual(self.kept(image), before)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(max_size=12) | st.text("/~01 a\t", max_size=8), st.sampled_from(["add", "replace", "remove"]))
    def test_any_pointer(self, pointer: str, op: str) -> None:
        """The same holds for any text as a path."""
        answer = self.patch(self.any_image, [{"op": op, "path": pointer, "value": "x"}], ADMIN)
        self.assertIn(answer.status, (200, 400, 403, 409, 413))

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.binary(max_size=30))
    def test_any_bytes(self, body: bytes) -> None:
        """Bytes that are not JSON are 400."""
        self.assertIn(self.patch(self.any_image, body, ADMIN).status, (200, 400))
