"""Messages of errors say what is wrong, and what is allowed."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.web.location_rigs import V21
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, MEMORY, READER, ApiTestCase

BYTES = "application/octet-stream"


class TextTests(ApiTestCase):
    """The messages of errors."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": {"default": "a", "a": MEMORY, "b": MEMORY, "web": {"kind": "http"}},
        "identity": BEHIND_PROXY,
    }

    def text(self, method: str, path: str, body: Any = None, who: dict[str, str] = MEMBER, **headers: str) -> str:
        """The message of a refusal."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.server.request(method, path, {**who, "Accept": "application/json", **headers}, data)
        self.assertGreaterEqual(answer.status, 400, (method, path, body))
        return str(answer.json["message"])

    def image(self, **fields: Any) -> str:
        """The path of a new image."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        return str(self.server.request("POST", "/v2/images", MEMBER, json.dumps(document).encode()).json["self"])

    def test_values(self) -> None:
        """For a value that is not allowed, the message has the allowed ones as a client writes them."""
        formats = ", ".join(self.server.config.images.disk_formats)
        for document, wanted in (
            ({"disk_format": "x"}, f"disk_format must be one of {formats}, null."),
            ({"visibility": "x"}, "visibility must be one of public, community, shared, private."),
            ({"id": "x"}, "id must be a UUID, as "),
            ({"min_disk": -1}, "min_disk must be bigger than or equal to 0."),
            ({"tags": ["x" * 300]}, "tags[0] must be shorter than or equal to 255 characters."),
            ({"a": 5}, "a must be string."),
        ):
            self.assertIn(wanted, self.text("POST", "/v2/images", document))
        patch = [{"op": "replace", "path": "/disk_format", "value": "x"}]
        self.assertIn(f"one of {formats}, null", self.text("PATCH", self.image(), patch, **{"Content-Type": V21}))
        namespaces = "/v2/metadefs/namespaces"
        self.assertIn("it must have namespace.", self.text("POST", namespaces, {}, ADMIN))
        self.assertIn("it must have url.", self.text("POST", f"{self.image()}/locations", {}))

    def test_identity(self) -> None:
        """401 names the deciding options, and the headers."""
        text = self.text("GET", "/v2/images", who={})
        for word in ("identity.mode", "X-Identity-Status: Confirmed", "X-User-Id", "X-Project-Id", "X-Roles"):
            self.assertIn(word, text)

    def test_policy(self) -> None:
        """403 names the rule."""
        for method, path, body, who, rule in (
            ("POST", "/v2/images", {"visibility": "public"}, MEMBER, "publicize_image"),
            ("DELETE", self.image(), None, READER, "delete_image"),
            ("POST", "/v2/metadefs/namespaces", {"namespace": "n"}, MEMBER, "add_metadef_namespace"),
        ):
            self.assertIn(f"(policy: {rule})", self.text(method, path, body, who))
        self.assertEqual(
            self.text("POST", "/v2/images", {"owner": "red"}), "You are not permitted to create images owned by 'red'."
        )

    def test_changes(self) -> None:
        """For a patch that does not fit, the message says which would."""
        path = self.image(k="v")
        for operation, wanted in (
            ({"op": "replace", "path": "/none", "value": "x"}, "'add' makes it"),
            ({"op": "remove", "path": "/name"}, "only custom properties can"),
            ({"op": "add", "path": "/tags/-", "value": "x"}, "as '/name'"),
            ({"op": "add", "path": "/locations/-", "value": {"url": "http://x/", "metadata": {}}}, "show_locations"),
        ):
            self.assertIn(wanted, self.text("PATCH", path, [operation], **{"Content-Type": V21}))
        v20 = V21.replace("2.1", "2.0")
        for key in ("k", "name"):
            text = self.text("PATCH", path, [{"add": f"/{key}", "value": "x"}], **{"Content-Type": v20})
            self.assertIn("'replace' changes it", text)

    def test_data(self) -> None:
        """The messages about stores, ranges and states name those that exist."""
        path = self.image()
        upload = {"Content-Type": BYTES, "X-Image-Meta-Store": "c"}
        self.assertEqual(
            self.text("PUT", f"{path}/file", b"x", **upload), "There is no store 'c': the stores are a, b, web."
        )
        self.server.put(path.rpartition("/")[2], b"data", **MEMBER)
        self.assertIn("bytes=FIRST-LAST", self.text("GET", f"{path}/file", Range="x"))
        self.server.request("POST", f"{path}/actions/deactivate", MEMBER)
        self.assertIn("until it is reactivated", self.text("GET", f"{path}/file"))
        self.assertIn("only copies of active images", self.text("DELETE", f"/v2/stores/a/{path[-36:]}", None, ADMIN))

    def test_lists(self) -> None:
        """The messages about filters have their form."""
        self.assertIn("as 2026-01-31T12:00:00Z", self.text("GET", "/v2/images?created_at=x"))
        self.assertIn("is none of asc, desc", self.text("GET", "/v2/images?sort_dir=x"))
