"""Property protections in the whole server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tests.support.server import Answer, MemoryServer, ServerTestCase
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, identity

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
BILLING = identity("blue", "member", "reader", "billing")
RULES = """
[^billing_]
create = billing
read = admin,billing
update = billing
delete = !
[^fixed_]
create = @
read = @
update = !
delete = !
[.*]
create = @
read = @
update = @
delete = @
"""


class ProtectedTests(ServerTestCase):
    """What callers may see and do with protected properties."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "policy": {"property_protection_file": "protections.conf"},
    }

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        (self.folder / "protections.conf").write_text(RULES)
        self.server = MemoryServer(self.folder, self.tables)
        self.addCleanup(self.server.stop)

    def create(self, who: dict[str, str], **properties: str) -> Answer:
        return self.server.request("POST", "/v2/images", who, json.dumps(properties).encode())

    def patch(self, who: dict[str, str], image_id: str, *edits: tuple[str, ...], media_type: str = V21) -> Answer:
        """Send a patch. edits: op, key, value."""
        body = [
            {"op": op, "path": f"/{key}", **({"value": rest[0]} if rest else {})}
            if media_type == V21
            else {op: f"/{key}", **({"value": rest[0]} if rest else {})}
            for op, key, *rest in edits
        ]
        return self.server.request(
            "PATCH", f"/v2/images/{image_id}", {**who, "Content-Type": media_type}, json.dumps(body).encode()
        )

    def listed(self, who: dict[str, str], query: str = "") -> list[dict[str, Any]]:
        images: list[dict[str, Any]] = self.server.request("GET", f"/v2/images{query}", who).json["images"]
        return images

    def shown(self, who: dict[str, str], image_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.server.request("GET", f"/v2/images/{image_id}", who).json
        return document

    def test_create(self) -> None:
        """An image with a property that the caller may not create is refused. An allowed one is created and
        shown to those who may read it.
        """
        self.assertEqual(self.create(MEMBER, billing_id="7").status, 403)
        self.assertEqual(self.listed(MEMBER), [])
        made = self.create(BILLING, billing_id="7", other="1")
        self.assertEqual((made.status, made.json["billing_id"]), (201, "7"))

    def test_read(self) -> None:
        """A property that may not be read is in no response: to a list, a show, or a change."""
        image_id = self.create(BILLING, billing_id="7", other="1").json["id"]
        changed = self.patch(MEMBER, image_id, ("replace", "other", "2"))
        self.assertEqual((changed.status, changed.json["other"]), (200, "2"))
        for document in (self.shown(MEMBER, image_id), self.listed(MEMBER)[0], changed.json):
            self.assertNotIn("billing_id", document)
        for who in (BILLING, ADMIN):
            self.assertEqual(self.shown(who, image_id)["billing_id"], "7")

    def test_filter(self) -> None:
        """A list that is filtered by a property that may not be read is empty, whatever the value."""
        self.create(BILLING, billing_id="7", other="1")
        for query in ("?billing_id=7", "?billing_id=8", "?other=1&billing_id=7"):
            self.assertEqual(self.listed(MEMBER, query), [], query)
        self.assertEqual(len(self.listed(BILLING, "?billing_id=7")), 1)
        self.assertEqual(len(self.listed(MEMBER, "?other=1")), 1)

    def test_hidden(self) -> None:
        """For a patch, a property that may not be read does not exist, and it stays unchanged."""
        image_id = self.create(BILLING, billing_id="7").json["id"]
        for edit, status in (
            (("remove", "billing_id"), 409),
            (("replace", "billing_id", "8"), 409),
            (("add", "billing_id", "7"), 403),
            (("add", "billing_id", "8"), 403),
            (("add", "billing_new", "8"), 403),
        ):
            self.assertEqual(self.patch(MEMBER, image_id, edit).status, status, edit)
        self.assertEqual(self.patch(MEMBER, image_id, ("add", "billing_id", "8"), media_type=V20).status, 403)
        self.assertEqual(self.shown(BILLING, image_id)["billing_id"], "7")

    def test_update_and_delete(self) -> None:
        """Update and delete are each 403 if not allowed, for administrators too, and nothing of the patch is
        applied. A patch without effect is allowed.
        """
        image_id = self.create(BILLING, billing_id="7", fixed_a="1").json["id"]
        self.assertEqual(self.patch(ADMIN, image_id, ("replace", "billing_id", "8")).status, 403)
        self.assertEqual(self.patch(BILLING, image_id, ("remove", "billing_id")).status, 403)
        self.assertEqual(self.patch(MEMBER, image_id, ("add", "new", "1"), ("replace", "fixed_a", "2")).status, 403)
        self.assertNotIn("new", self.shown(MEMBER, image_id))
        same = self.patch(
            MEMBER, image_id, ("replace", "fixed_a", "1"), ("add", "billing_b", "1"), ("remove", "billing_b")
        )
        self.assertEqual((same.status, same.json), (200, self.shown(MEMBER, image_id)))
        changed = self.patch(BILLING, image_id, ("replace", "billing_id", "9"))
        self.assertEqual((changed.status, changed.json["billing_id"]), (200, "9"))
