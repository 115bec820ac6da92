"""An operator's policy file, asked of the whole server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from imgsvc.errors import ConfigurationError
from tests.support.server import MemoryServer, ServerTestCase
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, identity

CHIEF = identity("ops", "chief", "reader")


class OperatorsPolicyTests(ServerTestCase):
    """What rules of a file change."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "policy": {"file": "policy.yaml"},
    }

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.write("{}")

    def write(self, text: str) -> None:
        (self.folder / "policy.yaml").write_text(text)

    def start(self, **rules: str) -> None:
        self.write(json.dumps(rules))
        self.server = MemoryServer(self.folder, self.tables)
        self.addCleanup(self.server.stop)

    def image(self, **fields: Any) -> str:
        image_id: str = self.server.request("POST", "/v2/images", MEMBER, json.dumps(fields).encode()).json["id"]
        return image_id

    def status(self, who: dict[str, str], method: str, path: str) -> int:
        return self.server.request(method, path, who).status

    def test_less_than_default(self) -> None:
        """A rule that allows less refuses with 403 what the caller sees, and with 404 what it does not."""
        self.start(delete_image="role:janitor", get_image="project_id:%(owner)s and not 'queued':%(name)s")
        image = self.image(visibility="community")
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 403)
        self.assertEqual(self.status(STRANGER, "DELETE", f"/v2/images/{image}"), 404)

    def test_list(self) -> None:
        """A list shows only what the caller may get, and its pages go on behind what is left out."""
        self.start(get_image="role:reader and not 'secret':%(kind)s")
        for number in range(4):
            self.image(name=f"image {number}", kind="secret" if number % 2 else "open")
        self.assertEqual(self.names("/v2/images"), ["image 2", "image 0"])
        page = self.server.request("GET", "/v2/images?limit=1&sort=name:asc", MEMBER).json
        names = []
        while "next" in page:
            names += [image["name"] for image in page["images"]]
            page = self.server.request("GET", page["next"], MEMBER).json
        self.assertEqual(names, ["image 0", "image 2"])

    def names(self, path: str) -> list[str]:
        return [image["name"] for image in self.server.request("GET", path, MEMBER).json["images"]]

    def test_publicize(self) -> None:
        """Members of a project may be let publish their own images, not those of others."""
        self.start(publicize_image="role:member")
        self.assertTrue(self.image(visibility="public"))
        image = self.image(visibility="community")
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        patch = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
        for who, status in ((STRANGER, 403), (READER, 403), (MEMBER, 200)):
            answer = self.server.request("PATCH", f"/v2/images/{image}", {**who, **headers}, patch)
            self.assertEqual(answer.status, status)

    def test_context_is_admin(self) -> None:
        """Who is an administrator may be said anew: such a one sees and changes everything."""
        self.start(context_is_admin="role:chief")
        image = self.image(visibility="private")
        self.assertEqual(self.status(identity("ops", "admin", "reader"), "GET", f"/v2/images/{image}"), 404)
        self.assertEqual(self.status(CHIEF, "GET", f"/v2/images/{image}"), 200)
        self.assertEqual(len(self.server.request("GET", "/v2/images", CHIEF).json["images"]), 1)
        self.assertEqual(self.status(CHIEF, "DELETE", f"/v2/images/{image}"), 204)

    def test_reload(self) -> None:
        """A changed file counts a second later, without a restart."""
        self.start(delete_image="!")
        image = self.image()
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 403)
        self.write(json.dumps({"delete_image": "role:member"}))
        os.utime(self.folder / "policy.yaml", ns=(1, 1))
        self.server.clock.advance(1)
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 204)

    def test_broken(self) -> None:
        """A server with a broken file does not start."""
        self.write("delete_image: rule:nobody\n")
        error = self.assertRaises(ConfigurationError, MemoryServer, self.folder, self.tables)
        self.assertIn("rule 'delete_image': refers to rule:nobody, which does not exist", str(error))
