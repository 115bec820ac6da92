"""POST /v2/images"""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsvc.web.schemas import LARGEST_INTEGER
from tests.support.server import Answer
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, THREE_STORES, ApiTestCase, identity

LINKS = ("self", "file", "schema", "direct_url", "stores")
TEXTS = (
    *("checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at", "location", "deleted", "deleted_at"),
    *("os_glance_import_task", "os_glance_", "os_glance_failed_import", "os_glance"),
)
READ_ONLY: dict[str, Any] = {
    **dict.fromkeys((*LINKS, *TEXTS), "x"),
    **{"status": "active", "size": 1, "virtual_size": None, "locations": [{"url": "http://x/", "metadata": {}}]},
}
"""Fields that only the server sets, with values that the schema allows."""


class CreateTestCase(ApiTestCase):
    """Creates images."""

    def post(self, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.server.request("POST", "/v2/images", headers, data)

    def created(self, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The image in the response. A GET shows the same."""
        answer = self.post(body, headers)
        self.assertEqual(answer.status, 201, answer.body)
        made: dict[str, Any] = answer.json
        shown = self.show(made["id"], headers)
        self.assertEqual({**shown, "tags": sorted(shown["tags"])}, {**made, "tags": sorted(made["tags"])})
        return made

    def number_of_images(self) -> int:
        """The number of all images."""
        return len(self.server.request("GET", "/v2/images?limit=1000&os_hidden=false").json["images"])


class AcceptedTests(CreateTestCase):
    """Bodies that are accepted."""

    def test_nothing_set(self) -> None:
        """An empty object creates a queued, shared image with every base field."""
        answer = self.post({})
        self.assertEqual(answer.status, 201)
        image = answer.json
        self.assertTrue(
            re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", image["id"])
        )
        path = f"/v2/images/{image['id']}"
        moment = datetime.strptime(image["created_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        self.assertLess(abs((datetime.now(UTC) - moment).total_seconds()), 60)
        self.assertEqual(
            image,
            {
                **dict.fromkeys(("name", "owner", "container_format", "disk_format", "size", "virtual_size")),
                **dict.fromkeys(("checksum", "os_hash_algo", "os_hash_value")),
                **{"id": image["id"], "status": "queued", "visibility": "shared", "protected": False},
                **{"os_hidden": False, "min_disk": 0, "min_ram": 0, "tags": []},
                **{"created_at": image["created_at"], "updated_at": image["created_at"]},
                **{"self": path, "file": f"{path}/file", "schema": "/v2/schemas/image"},
            },
        )

    def test_headers(self) -> None:
        """Location is absolute. No header names import methods or a single store."""
        answer = self.post({})
        self.assertEqual(answer.headers["location"], f"http://imgsvc-test/v2/images/{answer.json['id']}")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertNotIn("openstack-image-import-methods", answer.headers)
        self.assertNotIn("openstack-image-store-ids", answer.headers)

    def test_everything_set(self) -> None:
        """Every field that a client may set can be set."""
        fields = {
            **{"id": str(uuid4()), "name": "a", "visibility": "public", "protected": True, "os_hidden": True},
            **{"owner": "somebody", "container_format": "ovf", "disk_format": "vmdk"},
            **{"min_disk": LARGEST_INTEGER, "min_ram": 1, "tags": ["b", "a"]},
            **{
                "os_distro": "debian",
                "empty": "",
                "hw_x:y.z/\u00fc \U0001f4be": "\u00fc\U0001f4be",
                "kernel_id": str(uuid4()),
            },
        }
        image = self.created(fields)
        self.assertEqual(
            {**{key: image[key] for key in fields}, "tags": sorted(image["tags"])}, {**fields, "tags": ["a", "b"]}
        )

    def test_keys_that_are_names_within(self) -> None:
        """Names that the implementation uses internally are custom properties like any other."""
        fields = dict.fromkeys(
            ("image_id", "member", "extra_properties", "properties", "metadata", "key", "__class__"), "x"
        )
        image = self.created(fields)
        self.assertEqual({key: image[key] for key in fields}, fields)

    def test_content_type_does_not_matter(self) -> None:
        """The body is read as JSON, whatever its Content-Type."""
        for content_type in ("text/plain", "application/octet-stream", "application/json; charset=utf-8"):
            self.assertEqual(self.post({}, {"Content-Type": content_type}).status, 201)

    def test_nulls(self) -> None:
        """Fields that may be null can be null."""
        image = self.created(
            {**dict.fromkeys(("name", "container_format", "disk_format", "owner", "kernel_id")), "tags": []}
        )
        self.assertNotIn("kernel_id", image)
        self.assertIsNone(self.created({"owner": ""})["owner"])

    def test_tags_are_a_set(self) -> None:
        """Duplicate tags count once."""
        self.assertEqual(self.created({"tags": ["a", "b", "a"]})["tags"], ["a", "b"])

    def test_limits(self) -> None:
        """The longest allowed values are accepted."""
        self.created({"name": "\u00fc" * 255, "k" * 255: "v" * 60_000, "tags": ["t" * 255]})

    def test_stores_header(self) -> None:
        """The header that names a store is ignored here."""
        self.assertEqual(self.post({}, {"X-Image-Meta-Store": "nowhere"}).status, 201)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50),
        )
    )
    def test_any_properties(self, properties: dict[str, str]) -> None:
        """Any text can be a key or a value, and is returned unchanged. The image fits the published schema."""
        schema = self.server.request("GET", "/v2/schemas/image").json
        free = {f"x{key}": value for key, value in properties.items()}
        image = self.created(free)
        self.assertEqual({key: image[key] for key in free}, free)
        jsonschema.Draft7Validator(schema).validate(image)


class RefusedTests(CreateTestCase):
    """Bodies that are refused."""

    def test_bodies(self) -> None:
        """Bodies that are not a JSON object are 400."""
        for body in (
            *(b"", b"x", b"{", b"[]", b"[{}]", b"1", b'"x"', b"null", b"true", b"{} {}", b"{'a': 1}", b'{"a": "b",}'),
            *(
                b'{"a": "\xff"}',
                b'{"min_disk": NaN}',
                b'{"min_disk": Infinity}',
                b"\xef\xbb\xbf{}",
                b"{}".decode().encode("utf-16"),
            ),
            *(b"[" * 100_000, b'{"a":' * 100_000, b'{"min_disk": ' + b"9" * 10_000 + b"}"),
        ):
            self.assertEqual(self.post(body).status, 400, body[:30])
        self.assertEqual(self.server.request("POST", "/v2/images").status, 400)
        self.assertEqual(self.number_of_images(), 0)

    def test_encoded(self) -> None:
        """A compressed body is 415, and the response says which encoding is allowed."""
        for method, path in (
            ("POST", "/v2/images"),
            ("PATCH", "/v2/images/x"),
            ("POST", "/v2/images/x/members"),
            ("POST", "/v2/metadefs/namespaces"),
        ):
            for encoding in ("gzip", "identity, br"):
                answer = self.server.request(method, path, {"Content-Encoding": encoding}, gzip.compress(b"{}"))
                self.assertEqual((answer.status, answer.headers["accept-encoding"]), (415, "identity"), path)
        self.assertEqual(self.number_of_images(), 0)
        answer = self.server.request("POST", "/v2/images", {"Content-Encoding": "identity"}, b"{}")
        self.assertEqual(answer.status, 201)

    def test_too_long(self) -> None:
        """A body over 1 MiB is 413: at once if its length says so, in chunks as soon as it is too long."""
        body = b'{"a": "%s"}' % (b"x" * (1 << 20))
        self.assertEqual(self.post(body).status, 413)
        connection = self.server.connect()
        connection.send(b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        self.assertEqual(self.final_status(connection), 413)
        connection.lose()
        self.assertEqual(self.post(b'{"a": "x"%s}' % (b" " * ((1 << 20) - 10))).status, 201)

    def test_values(self) -> None:
        """Values that the schema does not allow are 400."""
        for fields in (
            *({"id": "x"}, {"id": str(uuid4()) + "\n"}, {"id": None}, {"id": 1}, {"id": str(uuid4())[:-1]}),
            *({"name": 1}, {"name": "x" * 256}, {"name": ["x"]}, {"visibility": "everyone"}, {"visibility": None}),
            *({"protected": "true"}, {"protected": None}, {"protected": 1}, {"os_hidden": 0}),
            *(
                {"owner": 1},
                {"owner": "x" * 256},
                {"disk_format": "dd"},
                {"disk_format": 1},
                {"container_format": "bag"},
            ),
            *(
                {"min_disk": -1},
                {"min_disk": 2**31},
                {"min_ram": "1"},
                {"min_ram": 1.5},
                {"min_ram": None},
                {"min_ram": True},
            ),
            *({"min_ram": 1.0}, {"min_ram": 1e300}),
            *({"tags": "a"}, {"tags": [1]}, {"tags": ["x" * 256]}, {"tags": None}, {"tags": {}}),
            *({"x": 1}, {"x": None}, {"x": True}, {"x": ["a"]}, {"x": {}}, {"k" * 256: "v"}, {"kernel_id": "x"}),
            *({"cinder_encryption_key_deletion_policy": "maybe"}, {"os_distro": None}),
            *({"": "x"}, {" ": "x"}, {"\t\u00a0": "x"}),  # a patch strips blanks from keys, and refuses empty ones
        ):
            self.assertEqual(self.post(fields).status, 400, fields)
        self.assertEqual(self.number_of_images(), 0)

    def test_characters(self) -> None:
        """Text that UTF-8 cannot encode, and NUL, are 400 wherever they are."""
        for bad in ("\\ud800", "\\udfff\\ud800", "\\u0000"):
            for body in ('{"name": "%s"}', '{"%s": "x"}', '{"x": "%s"}', '{"tags": ["%s"]}', '{"owner": "%s"}'):
                self.assertEqual(self.post((body % bad).encode()).status, 400, body % bad)
        self.assertEqual(self.post(b'{"name": "\\ud83d\\udcbe"}').json["name"], "\U0001f4be")
        self.assertEqual(self.number_of_images(), 1)

    def test_read_only(self) -> None:
        """Fields that only the server sets are 403, except links: these are 400 if the schema does not allow
        the value.
        """
        for key, value in READ_ONLY.items():
            self.assertEqual(self.post({key: value}).status, 403, key)
            self.assertEqual(self.post({key: [None, {}]}).status, 403 if key in LINKS else 400, key)
        self.assertEqual(self.number_of_images(), 0)

    def test_id_taken(self) -> None:
        """An id that is used, or was used by a deleted image, is 409."""
        image_id = self.created({})["id"]
        self.assertEqual(self.post({"id": image_id, "name": "other"}).status, 409)
        self.server.request("DELETE", f"/v2/images/{image_id}")
        self.assertEqual(self.post({"id": image_id}).status, 409)

    def test_order(self) -> None:
        """Links are checked first, then the schema, then reserved keys, then the rest."""
        taken = self.created({})["id"]
        for link in LINKS:
            self.assertEqual(self.post({link: "x", "min_disk": -1}).status, 403)
        self.assertEqual(self.post({"location": "x", "min_disk": -1}).status, 400)
        self.assertEqual(self.post({"status": "active", "min_disk": -1}).status, 400)
        self.assertEqual(self.post({"status": "active", "id": taken, "tags": [str(n) for n in range(200)]}).status, 403)
        self.assertEqual(self.post({"id": taken, "tags": [str(n) for n in range(200)]}).status, 413)
        self.assertEqual(self.post({"id": taken}).status, 409)

    def test_client_gone(self) -> None:
        """A body that is cut creates no image."""
        connection = self.server.connect()
        connection.send(b'POST /v2/images HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"nam')
        connection.lose()
        self.assertEqual(self.number_of_images(), 0)


class QuotaTests(CreateTestCase):
    """The limits of one image."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "quotas": {"tags": 2, "properties": 3}}

    def test_tags(self) -> None:
        """More tags than the quota are 413. Duplicates do not count."""
        self.assertEqual(self.post({"tags": ["a", "b", "c"]}).status, 413)
        self.assertEqual(self.post({"tags": ["a", "b", "a"]}).status, 201)

    def test_properties(self) -> None:
        """More custom properties than the quota are 413. Base fields do not count."""
        self.assertEqual(self.post({"a": "", "b": "", "c": "", "d": ""}).status, 413)
        self.assertEqual(self.post({"a": "", "b": "", "c": "", "name": "x", "min_ram": 1}).status, 201)


class SeveralStoresTests(CreateTestCase):
    """A server with several stores."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": THREE_STORES}

    def test_headers(self) -> None:
        """The response has their ids, in the order of the configuration."""
        answer = self.post({})
        self.assertEqual(answer.headers["openstack-image-store-ids"], "cheap,fast,far")
        self.assertNotIn("openstack-image-import-methods", answer.headers)
        self.assertNotIn("stores", answer.json)


class PermissionTests(CreateTestCase):
    """Which callers may create which images."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def test_owner(self) -> None:
        """The owner is the caller's project. Only administrators may choose another one."""
        self.assertEqual(self.created({}, MEMBER)["owner"], "blue")
        self.assertEqual(self.created({"owner": "blue"}, MEMBER)["owner"], "blue")
        for owner in ("red", "", None):
            self.assertEqual(self.post({"owner": owner}, MEMBER).status, 403)
        self.assertEqual(self.created({"owner": "red"}, ADMIN)["owner"], "red")
        self.assertEqual(self.created({}, ADMIN)["owner"], "ops")

    def test_roles(self) -> None:
        """Readers, and members of no project, create no images."""
        for who, status in (
            (READER, 403),
            (identity(None, "member", "reader"), 403),
            (identity("blue"), 403),
            ({}, 401),
        ):
            self.assertEqual(self.post({}, who).status, status)

    def test_visibility(self) -> None:
        """Public images are for administrators, all others for every member."""
        self.assertEqual(self.post({"visibility": "public"}, MEMBER).status, 403)
        for visibility in ("community", "shared", "private"):
            self.assertEqual(self.created({"visibility": visibility}, MEMBER)["visibility"], visibility)
        self.assertEqual(self.created({"visibility": "public"}, ADMIN)["visibility"], "public")

    def test_order(self) -> None:
        """A caller that may create no image is refused before its body is read."""
        taken = self.created({}, STRANGER)["id"]
        many = {"tags": [str(number) for number in range(200)]}
        self.assertEqual(self.post({"id": taken, **many}, READER).status, 403)
        self.assertEqual(self.post({"min_disk": -1}, READER).status, 403)
        self.assertEqual(self.post(b"x", READER).status, 403)
        self.assertEqual(self.post({"min_disk": -1, "visibility": "public"}, MEMBER).status, 400)
        self.assertEqual(self.post(b"x", {}).status, 401)
        self.assertEqual(self.post({"id": taken}, MEMBER).status, 409)

    def test_id_of_others(self) -> None:
        """The response to an id that is taken is the same, whoever has it and whether its image still exists."""
        own, foreign = self.created({"visibility": "private"}, MEMBER)["id"], self.created({}, STRANGER)["id"]
        gone = self.created({}, STRANGER)["id"]
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{gone}", STRANGER).status, 204)
        answers = [(self.post({"id": taken}, MEMBER), taken) for taken in (own, foreign, gone)]
        self.assertEqual(
            {(answer.status, answer.body.replace(taken.encode(), b"")) for answer, taken in answers},
            {(409, answers[0][0].body.replace(own.encode(), b""))},
        )

    def test_show(self) -> None:
        """Callers that see an image by its id get it. All others get 404, never 403."""
        for visibility, stranger in (("public", 200), ("community", 200), ("shared", 404), ("private", 404)):
            image = self.post({"visibility": visibility, "owner": "blue"}, ADMIN).json["id"]
            statuses = [
                self.server.request("GET", f"/v2/images/{image}", who).status
                for who in (MEMBER, READER, ADMIN, STRANGER, identity("blue"), {})
            ]
            self.assertEqual(statuses, [200, 200, 200, stranger, 404, 401], visibility)

    def test_show_without_owner(self) -> None:
        """Everybody sees a shared image without an owner, and only administrators a private one."""
        for visibility, stranger in (("shared", 200), ("private", 404)):
            image = self.post({"visibility": visibility, "owner": ""}, ADMIN).json["id"]
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}", STRANGER).status, stranger)
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}", ADMIN).status, 200)


class ShowTests(CreateTestCase):
    """GET /v2/images/{image_id}"""

    def test_absent(self) -> None:
        """Any string that is not the id of an image is 404."""
        for image_id in (str(uuid4()), "x", "x" * 1000, "%20", "ubuntu%3A22.04", "%F0%9F%92%BE", "..%2F", "%00", "'"):
            self.assertEqual(self.server.request("GET", f"/v2/images/{image_id}").status, 404, image_id)

    def test_not_utf8(self) -> None:
        """An id that is not UTF-8 is 400."""
        for image_id in ("%ff", "%ED%A0%80", "\xff"):
            self.assertEqual(self.server.request("GET", f"/v2/images/{image_id}").status, 400, image_id)

    def test_body(self) -> None:
        """A request with a body is 400."""
        image = self.created({})["id"]
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}", body=b"{}").status, 400)
        self.assertEqual(
            self.server.request("GET", f"/v2/images/{image}", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n").status,
            400,
        )
