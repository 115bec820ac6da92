"""The published JSON schemas, and the operator's properties in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError, Invalid
from imgsvc.model import Status, Visibility
from imgsvc.web.fields import compile_schema
from imgsvc.web.operator_schema import read_operator_schema
from imgsvc.web.schemas import base_properties, image_schema
from tests.support.server import Answer, MemoryServer
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, ApiTestCase

ABSENT = "11111111-2222-3333-4444-555555555555"
PATCH_TYPE = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
NAMES = (
    *("image", "images", "member", "members"),
    *("metadefs/namespace", "metadefs/namespaces", "metadefs/resource_type", "metadefs/resource_types"),
    *("metadefs/property", "metadefs/properties", "metadefs/object", "metadefs/objects"),
    *("metadefs/tag", "metadefs/tags"),
)


class SchemaTestCase(ApiTestCase):
    """Tests of single requests."""

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a GET."""
        return self.server.request("GET", path, headers)

    def create(self, **fields: Any) -> Answer:
        """The response to a new image."""
        return self.server.request("POST", "/v2/images", body=json.dumps(fields).encode())

    def change(self, image_id: str, *operations: dict[str, Any]) -> Answer:
        """The response to a patch."""
        return self.server.request("PATCH", f"/v2/images/{image_id}", PATCH_TYPE, json.dumps(operations).encode())


class SchemaTests(SchemaTestCase):
    """/v2/schemas/..."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "images": {"disk_formats": ["raw", "qcow2"], "container_formats": ["bare"]},
    }

    def test_are_schemas(self) -> None:
        """Both are valid JSON schemas, by the drafts that clients use."""
        for name in ("image", "images"):
            answer = self.get(f"/v2/schemas/{name}")
            self.assertEqual(answer.headers["content-type"], "application/json")
            jsonschema.Draft4Validator.check_schema(answer.json)
            jsonschema.Draft7Validator.check_schema(answer.json)
            self.assertEqual(answer.json["name"], name)

    def test_image(self) -> None:
        """Every field of an image is in the schema, with its allowed values. Custom fields are distinguished
        from base fields.
        """
        schema = self.get("/v2/schemas/image").json
        properties = schema["properties"]
        image = self.server.image()
        self.assertLessEqual(set(image), set(properties))
        self.assertEqual(properties["disk_format"]["enum"], [None, "raw", "qcow2"])
        self.assertEqual(properties["container_format"]["enum"], [None, "bare"])
        self.assertEqual(properties["visibility"]["enum"], [str(value) for value in Visibility])
        self.assertLessEqual({str(value) for value in Status} - {"deleted"}, set(properties["status"]["enum"]))
        self.assertEqual(schema["additionalProperties"], {"type": "string"})
        custom = {name for name, value in properties.items() if value.get("is_base") is False}
        self.assertEqual(custom & set(image), set())
        self.assertLessEqual(
            {"kernel_id", "ramdisk_id", "os_distro", "os_version", "architecture", "instance_uuid"}, custom
        )
        read_only = {name for name, value in properties.items() if value.get("readOnly")}
        self.assertLessEqual({"status", "size", "checksum", "os_hash_value", "created_at", "self", "file"}, read_only)
        self.assertEqual(read_only & {"name", "visibility", "tags", "disk_format", "owner", "id"}, set())
        self.assertEqual([link["rel"] for link in schema["links"]], ["self", "enclosure", "describedby"])
        for value in properties.values():
            self.assertTrue(value["type"])
            self.assertTrue(value["description"])

    def test_images_are_valid(self) -> None:
        """Images in every state, and lists of them, fit the schemas."""
        validator = jsonschema.Draft4Validator(self.get("/v2/schemas/image").json)
        queued = self.server.image(name="a", tags=["x"], kernel_id=ABSENT, os_distro="debian", more="text")
        active = self.server.image(min_disk=3)
        self.server.put(active["id"], b"data")
        for image in (queued, active):
            validator.validate(self.show(image["id"]))
        page = self.get("/v2/images?limit=1").json
        jsonschema.Draft4Validator(self.get("/v2/schemas/images").json).validate(page)
        self.assertIn("next", page)

    def test_formats_of_the_configuration(self) -> None:
        """Values that the schema does not list are refused."""
        body = json.dumps({"disk_format": "vmdk"}).encode()
        self.assertEqual(self.server.request("POST", "/v2/images", body=body).status, 400)


class RouteTests(SchemaTestCase):
    """Rules for every schema."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def test_all(self) -> None:
        """Each is a JSON schema with its name, for identified callers. Other methods are 405, bodies 400."""
        for name in NAMES:
            path = f"/v2/schemas/{name}"
            answer = self.get(path, MEMBER)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"), name)
            self.assertTrue(answer.json["name"])
            jsonschema.Draft4Validator.check_schema(answer.json)
            self.assertEqual(self.get(path).status, 401)
            self.assertEqual(self.server.request("GET", path, MEMBER, b"x").status, 400)
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                answer = self.server.request(method, path, MEMBER)
                self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"), f"{method} {name}")
                self.assertEqual(self.server.request(method, path).status, 401)

    def test_forms(self) -> None:
        """The schemas of members have no additionalProperties, and those of metadefs forbid others."""
        for name in NAMES:
            schema = self.get(f"/v2/schemas/{name}", MEMBER).json
            if name.startswith("member"):
                self.assertNotIn("additionalProperties", schema)
                self.assertEqual([link["rel"] for link in schema.get("links", [])], ["describedby"])


OPERATORS = {
    "kernel_id": {"type": ["null", "string"], "pattern": "^[0-9a-f-]{36}$", "description": "Kernel"},
    "os_type": {"type": "string", "enum": ["linux", "windows"], "description": "Kind of system"},
    "ticket": {"type": "string", "maxLength": 8, "minLength": 3, "is_base": False},
}


class OperatorTestCase(SchemaTestCase):
    """A server with an operator's schema file."""

    content: ClassVar[Any] = OPERATORS

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "schema-image.json").write_text(json.dumps(self.content))
        self.server = MemoryServer(folder, {"images": {"schema_file": "schema-image.json"}})
        self.addCleanup(self.server.stop)


class OperatorTests(OperatorTestCase):
    """The operator's properties replace the default ones."""

    def test_published(self) -> None:
        """Both schemas have them, marked as custom properties."""
        schema = self.get("/v2/schemas/image").json
        custom = {name: value for name, value in schema["properties"].items() if value.get("is_base") is False}
        self.assertEqual(custom, {name: {**value, "is_base": False} for name, value in OPERATORS.items()})
        self.assertNotIn("required", schema)
        self.assertEqual(self.get("/v2/schemas/images").json["properties"]["images"]["items"], schema)

    def test_create(self) -> None:
        """New images are checked with them. All other properties are accepted as usual."""
        for fields, status in (
            ({"os_type": "linux", "ticket": "T-1", "kernel_id": ABSENT, "else": "x"}, 201),
            ({"kernel_id": None}, 201),
            ({"os_type": "beos"}, 400),
            ({"ticket": "no"}, 400),
            ({"ticket": "a long one"}, 400),
            ({"ticket": None}, 400),
            ({"kernel_id": "x"}, 400),
            ({"os_distro": "anything at all"}, 201),
            ({"cinder_encryption_key_deletion_policy": "anything"}, 201),
        ):
            self.assertEqual(self.create(**fields).status, status, fields)

    def test_change(self) -> None:
        """Changes are checked with them."""
        image = self.create(os_type="linux").json["id"]
        for operation, status in (
            ({"op": "replace", "path": "/os_type", "value": "windows"}, 200),
            ({"op": "replace", "path": "/os_type", "value": "beos"}, 400),
            ({"op": "add", "path": "/ticket", "value": "T-1"}, 200),
            ({"op": "add", "path": "/ticket", "value": "x"}, 400),
            ({"op": "remove", "path": "/os_type"}, 200),
        ):
            self.assertEqual(self.change(image, operation).status, status, operation)
        shown = self.get(f"/v2/images/{image}").json
        self.assertEqual((shown.get("ticket"), shown.get("os_type")), ("T-1", None))


class RequiredTests(OperatorTestCase):
    """Properties that are required for new images."""

    content: ClassVar[Any] = {"properties": OPERATORS, "required": ["ticket", "name"]}

    def test_published(self) -> None:
        """The published schema does not require them: glanceclient, which checks an empty image first, could
        create none.
        """
        self.assertNotIn("required", self.get("/v2/schemas/image").json)

    def test_create(self) -> None:
        """A new image without a required property is 400."""
        self.assertEqual(self.create(name="a", ticket="T-1").status, 201)
        for fields, text in (
            ({}, b"name must be given"),
            ({"ticket": "T-1"}, b"name must be given"),
            ({"ticket": "T-1", "name": None}, b"name must be given"),
            ({"name": "a"}, b"ticket must be given"),
        ):
            answer = self.create(**fields)
            self.assertEqual(answer.status, 400, fields)
            self.assertIn(text, answer.body)

    def test_change(self) -> None:
        """Required properties may be changed, not removed. Older images without them may be changed too."""
        image = self.create(name="a", ticket="T-1").json["id"]
        for operation, status in (
            ({"op": "replace", "path": "/ticket", "value": "T-2"}, 200),
            ({"op": "remove", "path": "/ticket"}, 400),
            ({"op": "replace", "path": "/name", "value": None}, 400),
            ({"op": "add", "path": "/more", "value": "x"}, 200),
            ({"op": "remove", "path": "/more"}, 200),
        ):
            self.assertEqual(self.change(image, operation).status, status, operation)


class FileTests(SynchronousTestCase):
    """Valid and invalid schema files."""

    def read(self, content: str | bytes) -> Any:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_operator_schema(file, base_properties(["raw"], ["bare"]))

    def test_good(self) -> None:
        """Both forms are accepted, also with a property named `properties`."""
        self.assertEqual(set(self.read(json.dumps(OPERATORS)).properties), set(OPERATORS))
        self.assertEqual(self.read("{}").properties, {})
        self.assertEqual(self.read('{"properties": {}}').properties, {})
        both = '{"properties": {"type": "string"}, "other": {"type": "string"}}'
        self.assertEqual(set(self.read(both).properties), {"properties", "other"})

    def test_bad(self) -> None:
        """Each fault is reported in one line that names the option."""
        string = {"type": "string"}
        for content, text in (
            ("", "Expecting value"),
            ("[]", "must be an object"),
            (b"\xff", "utf-8"),
            ("[" * 100_000, "nested too deeply"),
            ({"name": string}, "name cannot be redefined"),
            ({"status": string}, "status cannot be redefined"),
            ({"locations": string}, "locations cannot be redefined"),
            ({"deleted": string}, "deleted cannot be redefined"),
            ({"os_glance_x": string}, "os_glance_x cannot be redefined"),
            ({"": string}, "must have 1 to 255 characters"),
            ({"x" * 256: string}, "must have 1 to 255 characters"),
            ({"a": "string"}, "a must be object"),
            ({"a": {}}, "a must contain ['type'] properties"),
            ({"a": {"type": "integer"}}, "a.type must be one of"),
            ({"a": {"type": ["string", "integer"]}}, "a.type must be one of"),
            ({"a": {**string, "$ref": "http://example.org/"}}, "a must not contain {'$ref'} properties"),
            ({"a": {**string, "is_base": True}}, "a.is_base must be one of [False]"),
            ({"a": {**string, "readOnly": True}}, "a must not contain {'readOnly'} properties"),
            ({"a": {**string, "maxLength": "9"}}, "a.maxLength must be integer"),
            ({"a": {**string, "maxLength": -1}}, "a.maxLength must be bigger than or equal to 0"),
            ({"a": {**string, "enum": []}}, "a.enum must contain at least 1 items"),
            ({"a": {**string, "enum": [1]}}, "a.enum[0] must be string or null"),
            ({"a": {**string, "pattern": "("}}, "a: "),
            ({"properties": {"a": string}, "required": "a"}, "required must be a list"),
            ({"properties": {"a": string}, "required": ["b"]}, "required names 'b'"),
            ({"properties": {"a": string}, "required": ["size"]}, "required names 'size'"),
            ({"properties": {"a": string}, "required": ["locations"]}, "required names 'locations'"),
            ({"properties": {"a": string}, "required": [["a"]]}, "required must be a list"),
        ):
            error = self.assertRaises(
                ConfigurationError, self.read, content if isinstance(content, str | bytes) else json.dumps(content)
            )
            self.assertIn("images.schema_file = ", str(error))
            self.assertIn(text, str(error), str(content)[:80])
            self.assertNotIn("\n", str(error))
        error = self.assertRaises(ConfigurationError, read_operator_schema, Path("absent.json"), {})
        self.assertIn("cannot be read: No such file", str(error))


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Documents that are images, or almost."""
    texts = st.text(max_size=12) | st.sampled_from([ABSENT, ABSENT.upper(), "x" * 255, "x" * 256, "linux"])
    anything = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**33), 2**33) | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    )
    fields = {
        name: anything | st.sampled_from(value.get("enum", [None, "", 0, 1.0, True]))
        for name, value in schema["properties"].items()
    }
    fixed = st.fixed_dictionaries({}, optional=fields)
    return st.tuples(fixed, st.dictionaries(texts, anything, max_size=2)).map(lambda parts: parts[1] | parts[0])


SCHEMA = image_schema(["raw", "qcow2"], ["bare"])


class AgreementTests(SynchronousTestCase):
    """The server refuses exactly what another library refuses by the published schema."""

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(documents(SCHEMA))
    def test_agreement(self, document: Any) -> None:
        """fastjsonschema and jsonschema accept the same images."""
        self.assert_agreement(SCHEMA, document)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.sampled_from(sorted(SCHEMA["properties"])), st.data())
    def test_single(self, name: str, data: Any) -> None:
        """The same holds for single fields, where one wrong value does not hide another."""
        document = data.draw(documents({"properties": {name: SCHEMA["properties"][name]}}))
        self.assert_agreement(SCHEMA, document)

    def assert_agreement(self, schema: dict[str, Any], document: Any) -> None:
        """Both libraries agree on a document."""
        expected = jsonschema.Draft4Validator({"type": "object", **schema}).is_valid(document)
        try:
            compile_schema({"type": "object", **schema})(document)
            self.assertTrue(expected, document)
        except Invalid:
            self.assertFalse(expected, document)
