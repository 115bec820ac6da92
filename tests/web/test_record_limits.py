"""How large the texts of one image may be, in the whole server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from imgsvc.model import Image
from tests.support.server import Answer, fired
from tests.web.changing import ChangeTestCase, add, remove, replace
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class RecordTestCase(ChangeTestCase):
    """Images of the project blue."""

    def post(self, **fields: Any) -> Answer:
        """Create an image."""
        return self.server.request("POST", "/v2/images", MEMBER, json.dumps(fields, ensure_ascii=False).encode())

    def stored(self, **fields: Any) -> str:
        """The id of an image that was created before there were limits."""
        image = Image("00000000-0000-4000-8000-000000000001", NOW, NOW, owner="blue", **fields)
        fired(self.server.server.core.catalogue.add(image))
        return image.id

    def tag(self, image_id: str, tag: str) -> int:
        """The status of adding a tag."""
        return self.server.request("PUT", f"/v2/images/{image_id}/tags/{tag}", MEMBER).status


class DefaultTests(RecordTestCase):
    """The default limits."""

    def test_value(self) -> None:
        """A value may have 64 KiB of UTF-8, in POST and in PATCH."""
        longest = "\u00e4" * (32 << 10)
        self.assertEqual(self.post(a=longest).status, 201)
        answer = self.post(a=longest + "x")
        self.assertEqual(answer.status, 413)
        self.assertIn("property 'a' may take 65536 bytes, not 65537", answer.body.decode())
        image = self.made()
        self.assert_changed(image, [add("a", longest)], a=longest)
        self.assert_refused(413, image, [add("b", longest + "x")])
        self.assert_refused(413, image, [replace("a", longest + "x")])
        self.assert_changed(image, [add("b", longest + "x"), replace("b", "y")], b="y")

    def test_record(self) -> None:
        """All properties together may have 1 MiB."""
        image = self.made()
        for number in range(15):
            self.assertEqual(self.patch(image, [add(f"p{number}", "x" * (64 << 10))]).status, 200)
        answer = self.assert_refused(413, image, [add("p15", "x" * (64 << 10))])
        self.assertIn("may take 1048576 bytes, not 10486", answer.body.decode())
        self.assertEqual(self.patch(image, [add("p15", "x" * (63 << 10))]).status, 200)


class SmallTests(RecordTestCase):
    """Limits that an operator has set."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"property_value": 10, "image_record": 100},
    }

    def test_what_counts(self) -> None:
        """Name, tags, keys and values count. Fields with a limit of their own do not."""
        self.assertEqual(self.post(name="n" * 100, disk_format="raw", container_format="bare").status, 201)
        for fields in (
            {"name": "n" * 101},
            {"tags": ["t" * 50, "u" * 51]},
            {"k" * 91: "v" * 10},
            {"name": "n" * 50, "tags": ["t" * 40], "key": "12345678"},
            {"name": "\u00e4" * 51},
        ):
            self.assertEqual(self.post(**fields).status, 413, fields)
        self.assertEqual(self.post(name="n" * 50, tags=["t" * 40], key="1234567").status, 201)

    def test_tags(self) -> None:
        """A tag that makes the image too large is refused, by PUT and by PATCH. A tag that the image has is not."""
        image = self.made(tags=["t" * 60])
        self.assertEqual(self.tag(image, "u" * 41), 413)
        self.assert_refused(413, image, [replace("tags", ["t" * 60, "u" * 41])])
        self.assertEqual(self.tag(image, "u" * 40), 204)
        self.assertEqual(self.tag(image, "u" * 40), 204)

    def test_larger_already(self) -> None:
        """An image that was larger before is shown as it is, and may be changed in any way, except to grow."""
        properties = {"large": "x" * 500, "small": "y"}
        image = self.stored(properties=properties, tags=("t" * 90,), name="n")
        self.assertEqual(self.show(image, MEMBER)["large"], "x" * 500)
        self.assert_refused(413, image, [replace("large", "x" * 501)])
        self.assert_refused(413, image, [replace("small", "yy")])
        self.assert_refused(413, image, [replace("name", "nn")])
        self.assertEqual(self.tag(image, "u"), 413)
        self.assert_changed(image, [replace("small", "z"), replace("name", "m")], small="z", name="m")
        self.assert_changed(image, [replace("large", "z" * 500)], large="z" * 500)
        self.assert_changed(image, [replace("large", "x" * 499)], large="x" * 499)
        self.assert_changed(image, [remove("large"), replace("tags", ["u"])], gone=("large",), tags=["u"])
        self.assert_refused(413, image, [add("large", "x" * 11)])


class UnlimitedTests(RecordTestCase):
    """The limits are switched off."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"property_value": 0, "image_record": 0, "properties": -1},
    }

    def test_none(self) -> None:
        """Only the size of the body and the number of operations are limited."""
        image = self.made(a="x" * 1_000_000)
        self.assertEqual(self.patch(image, [add("b", "x" * 1_000_000)]).status, 200)
        keys = {f"key {number}": "" for number in range(1000)}
        self.assertEqual(self.post(**keys).status, 201)
        answer = self.post(**keys, more="")
        self.assertEqual(answer.status, 413)
        self.assertIn("1000 keys, not 1001", answer.body.decode())
