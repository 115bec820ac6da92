"""An operator's policy file, in the whole server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from imgsvc.errors import ConfigurationError
from tests.support.server import MemoryServer, ServerTestCase
from tests.web.location_rigs import V21
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, identity

CHIEF = identity("ops", "chief", "reader")


class OperatorsPolicyTests(ServerTestCase):
    """The effects of the rules in a file."""

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

    def status(
        self, who: dict[str, str], method: str, path: str, body: bytes | None = None, content_type: str | None = None
    ) -> int:
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.server.request(method, path, {**who, **headers}, body).status

    def test_less_than_default(self) -> None:
        """A stricter rule refuses with 403 if the caller sees the image, and otherwise with 404."""
        self.start(delete_image="role:janitor", get_image="project_id:%(owner)s and not 'queued':%(name)s")
        image = self.image(visibility="community")
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 403)
        self.assertEqual(self.status(STRANGER, "DELETE", f"/v2/images/{image}"), 404)

    def test_list(self) -> None:
        """A list shows only images that the caller may get, and its pages go on after those that are left out."""
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

    def test_own_rule(self) -> None:
        """An action is granted by its own rule, even if the rule about getting the image refuses."""
        own = ("upload_image", "download_image", "download_from_store", "deactivate", "reactivate", "modify_image")
        others = ("add_member", "get_members", "get_member", "delete_member", "fetch_image_location", "delete_image")
        self.start(get_image="!", **dict.fromkeys((*own, *others), "@"))
        path = f"/v2/images/{self.image(container_format='bare', disk_format='raw')}"
        self.assertEqual(self.status(MEMBER, "GET", path), 404)
        for status, method, below, body, content_type in (
            (204, "PUT", "/file", b"data", "application/octet-stream"),
            (200, "GET", "/file", None, None),
            (204, "POST", "/actions/deactivate", None, None),
            (204, "POST", "/actions/reactivate", None, None),
            (204, "PUT", "/tags/new", None, None),
            (200, "PATCH", "", b'[{"op": "add", "path": "/k", "value": "v"}]', V21),
            (200, "POST", "/members", b'{"member": "red"}', None),
            (200, "GET", "/members", None, None),
            (200, "GET", "/members/red", None, None),
            (204, "DELETE", "/members/red", None, None),
            (200, "GET", "/locations", None, None),
            (204, "DELETE", "", None, None),
        ):
            self.assertEqual(self.status(MEMBER, method, path + below, body, content_type), status, (method, below))

    def test_refusals(self) -> None:
        """If an action's own rule refuses, callers that may get the image get 403, and others 404."""
        for rule, status in (("@", 403), ("!", 404)):
            self.start(get_image=rule, upload_image="!", publicize_image="!", modify_image="@", delete_member="!")
            path = f"/v2/images/{self.image()}"
            public = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
            self.status(MEMBER, "POST", f"{path}/members", b'{"member": "red"}')
            self.assertEqual(self.status(MEMBER, "PUT", f"{path}/file", b"", "application/octet-stream"), status)
            self.assertEqual(self.status(MEMBER, "PATCH", path, public, V21), status)
            self.assertEqual(self.status(MEMBER, "DELETE", f"{path}/members/red"), status)

    def test_not_seen(self) -> None:
        """No rule permits an action on an image that the caller cannot see."""
        self.start(get_image="@", download_image="@", fetch_image_location="@", upload_image="@")
        path = f"/v2/images/{self.image(visibility='private')}"
        self.assertEqual([self.status(STRANGER, "GET", path + below) for below in ("/file", "/locations")], [404, 404])

    def test_members(self) -> None:
        """A list of members leaves out those that the rule about single members refuses."""
        self.start(get_member="role:auditor")
        path = f"/v2/images/{self.image()}/members"
        self.assertEqual(self.status(MEMBER, "POST", path, b'{"member": "red"}'), 200)
        for who, members in ((MEMBER, []), (identity("blue", "reader", "auditor"), ["red"])):
            shown = self.server.request("GET", path, who).json["members"]
            self.assertEqual([member["member_id"] for member in shown], members)

    def test_definitions(self) -> None:
        """Lists of definitions, and namespaces, leave out kinds whose rule about single definitions refuses."""
        kinds = {
            "properties": ("get_metadef_property", {"p": {"type": "string", "title": "P"}}),
            "objects": ("get_metadef_object", [{"name": "o"}]),
            "tags": ("get_metadef_tag", [{"name": "t"}]),
            "resource_type_associations": ("get_metadef_resource_type", [{"name": "OS::R"}]),
        }
        paths = {"resource_type_associations": "resource_types"}
        namespace = {"namespace": "n", "visibility": "public", **{kind: new for kind, (_, new) in kinds.items()}}
        root = "/v2/metadefs/namespaces"
        for kind, (rule, _) in kinds.items():
            self.start(**{rule: "role:admin"})
            self.server.request("POST", root, ADMIN, json.dumps(namespace).encode())
            for who, hidden in ((ADMIN, set()), (READER, {kind})):
                lists = {each: self.server.request("GET", f"{root}/n/{paths.get(each, each)}", who) for each in kinds}
                self.assertEqual({answer.status for answer in lists.values()}, {200})
                self.assertEqual({each for each in kinds if not lists[each].json[each]}, hidden)
                shown = self.server.request("GET", f"{root}/n", who).json
                self.assertEqual({each for each in kinds if not shown.get(each)}, hidden)
            types = [self.server.request("GET", "/v2/metadefs/resource_types", who) for who in (ADMIN, READER)]
            expected = [1, 0 if rule == "get_metadef_resource_type" else 1]
            self.assertEqual([len(answer.json["resource_types"]) for answer in types], expected)
            self.server.request("DELETE", f"{root}/n", ADMIN)

    def test_definitions_by_their_own_rule(self) -> None:
        """Definitions are shown by their own rule, whatever the rule about the namespace says."""
        self.start(
            get_metadef_namespace="role:admin", get_metadef_tags="@", get_metadef_tag="@", get_metadef_objects="!"
        )
        root = "/v2/metadefs/namespaces"
        self.status(ADMIN, "POST", root, b'{"namespace": "n", "visibility": "public", "tags": [{"name": "t"}]}')
        found = [self.status(READER, "GET", f"{root}/n{below}") for below in ("", "/tags", "/tags/t", "/objects")]
        self.assertEqual(found, [404, 200, 200, 404])
        self.assertEqual(self.status(ADMIN, "GET", f"{root}/n/objects"), 403)

    def test_publicize(self) -> None:
        """Members of a project may be allowed to make their own images public, but not those of others."""
        self.start(publicize_image="role:member")
        self.assertTrue(self.image(visibility="public"))
        image = self.image(visibility="community")
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        patch = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
        for who, status in ((STRANGER, 403), (READER, 403), (MEMBER, 200)):
            answer = self.server.request("PATCH", f"/v2/images/{image}", {**who, **headers}, patch)
            self.assertEqual(answer.status, status)

    def test_context_is_admin(self) -> None:
        """A rule may define who is an administrator, and such a caller sees and changes everything."""
        self.start(context_is_admin="role:chief")
        image = self.image(visibility="private")
        self.assertEqual(self.status(identity("ops", "admin", "reader"), "GET", f"/v2/images/{image}"), 404)
        self.assertEqual(self.status(CHIEF, "GET", f"/v2/images/{image}"), 200)
        self.assertEqual(len(self.server.request("GET", "/v2/images", CHIEF).json["images"]), 1)
        self.assertEqual(self.status(CHIEF, "DELETE", f"/v2/images/{image}"), 204)

    def test_reload(self) -> None:
        """A changed file takes effect after a second, without a restart."""
        self.start(delete_image="!")
        image = self.image()
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 403)
        self.write(json.dumps({"delete_image": "role:member"}))
        os.utime(self.folder / "policy.yaml", ns=(1, 1))
        self.server.clock.advance(1)
        self.assertEqual(self.status(MEMBER, "DELETE", f"/v2/images/{image}"), 204)

    def test_broken(self) -> None:
        """A server with an invalid file does not start."""
        self.write("delete_image: rule:nobody\n")
        error = self.assertRaises(ConfigurationError, MemoryServer, self.folder, self.tables)
        self.assertIn("rule 'delete_image': refers to rule:nobody, which does not exist", str(error))
