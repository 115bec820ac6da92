"""Helpers for the tests of changes of images."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from imgsvc.model import Image
from tests.support.server import Answer, fired
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, ApiTestCase

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
ABSENT = "11111111-2222-3333-4444-555555555555"
EVERYBODY = (ADMIN, MEMBER, READER, STRANGER)


class ChangeTestCase(ApiTestCase):
    """A server behind a proxy, whose callers change images of the project `blue`."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def made(self, headers: dict[str, str] = MEMBER, **fields: Any) -> str:
        """A new image without data."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.server.request("POST", "/v2/images", headers, json.dumps(document).encode())
        self.assertEqual(answer.status, 201, answer.body)
        made: str = answer.json["id"]
        return made

    def made_active(self, headers: dict[str, str] = MEMBER, **fields: Any) -> str:
        """A new image with data."""
        image = self.made(headers, **fields)
        self.assertEqual(self.server.put(image, b"data", **ADMIN).status, 204)
        return image

    def kept(self, image_id: str) -> Image:
        """The image as the catalogue has it now."""
        image = fired(self.server.server.core.catalogue.image(image_id))
        assert isinstance(image, Image)
        return image

    def patch(
        self, image_id: str, document: Any, headers: dict[str, str] = MEMBER, media_type: str | None = V21
    ) -> Answer:
        """The answer to a patch: bytes as they are, anything else as JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        typed = headers if media_type is None else {**headers, "Content-Type": media_type}
        return self.server.request("PATCH", f"/v2/images/{image_id}", typed, body)

    def assert_changed(
        self,
        image_id: str,
        document: Any,
        headers: dict[str, str] = MEMBER,
        media_type: str | None = V21,
        /,
        gone: tuple[str, ...] = (),
        **changes: Any,
    ) -> None:
        """The response is 200 with the image, and a GET shows the same: only `changes` and `gone` differ, and
        `updated_at` is later.
        """
        before, was = self.show(image_id, headers), self.kept(image_id)
        answer = self.patch(image_id, document, headers, media_type)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/json")
        expected = {**before, **changes, "updated_at": answer.json["updated_at"]}
        self.assertEqual(answer.json, {key: value for key, value in expected.items() if key not in gone})
        self.assertEqual(self.show(image_id, headers), answer.json)
        self.assertGreater(self.kept(image_id).updated_at, was.updated_at)

    def assert_refused(
        self,
        status: int,
        image_id: str,
        document: Any,
        headers: dict[str, str] = MEMBER,
        media_type: str | None = V21,
    ) -> Answer:
        """The response has this status, and the image is exactly as before. Returns the response."""
        before = self.kept(image_id)
        answer = self.patch(image_id, document, headers, media_type)
        self.assertEqual(answer.status, status, (document, answer.body))
        self.assertEqual(self.kept(image_id), before, document)
        return answer


def add(key: str, value: Any) -> dict[str, Any]:
    """An `add` operation of v2.1."""
    return {"op": "add", "path": f"/{key}", "value": value}


def replace(key: str, value: Any) -> dict[str, Any]:
    """A `replace` operation of v2.1."""
    return {"op": "replace", "path": f"/{key}", "value": value}


def remove(key: str) -> dict[str, Any]:
    """A `remove` operation of v2.1."""
    return {"op": "remove", "path": f"/{key}"}
