"""Tests of imgsvc.web.metadef_definitions: the definitions in a namespace."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.metadef_rigs import BLUE_ADMIN, ROOT, MetadefTestCase, path
from tests.web.rigs import ADMIN, MEMBER, READER, STRANGER, identity

NOBODY = identity("blue")
PROPERTY: dict[str, Any] = {
    "name": "cpu",
    "title": "Processors",
    "description": "How many there are",
    "type": "integer",
    "operators": ["<in>", ">="],
    "required": ["other"],
    "minimum": 1,
    "maximum": 1.5,
    "maxLength": 3,
    "minLength": 0,
    "pattern": "^\\p{L}+$",
    "enum": [1, "two", None, [3]],
    "readonly": True,
    "default": {"any": "thing"},
    "items": {"type": "string", "enum": ["a"]},
    "maxItems": 2,
    "minItems": 1,
    "uniqueItems": True,
    "additionalItems": False,
}
LEAST = {"name": "least", "title": "T", "type": "string"}
OBJECT: dict[str, Any] = {
    "name": "Disks",
    "description": "How fast they are",
    "required": ["iops"],
    "properties": {"iops": {"title": "Operations", "type": "integer"}},
}


def dateless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("created_at", "updated_at")}


class DefinitionTestCase(MetadefTestCase):
    """A public namespace `ns` of the project blue with a property, an object, tags and associations."""

    def setUp(self) -> None:
        super().setUp()
        self.made(
            "ns",
            BLUE_ADMIN,
            visibility="public",
            properties={"p": {"title": "P", "type": "string"}},
            objects=[{"name": "o"}],
            tags=[{"name": "t"}, {"name": "u"}],
            resource_type_associations=[{"name": "OS::Image", "prefix": "hw_"}, {"name": "OS::Flavor"}],
        )

    def protect(self) -> None:
        """Protect the namespace."""
        answer = self.send("PUT", path("ns"), {"namespace": "ns", "visibility": "public", "protected": True})
        self.assertEqual(answer.status, 200)


class EveryKindTests(DefinitionTestCase):
    """Rules for all kinds of definitions."""

    BODIES = {
        ("POST", "properties"): LEAST,
        ("PUT", "properties", "p"): {**LEAST, "name": "other"},
        ("POST", "objects"): OBJECT,
        ("PUT", "objects", "o"): {"name": "other"},
        ("POST", "tags"): {"tags": [{"name": "t"}]},
        ("PUT", "tags", "t"): {"name": "renamed"},
        ("POST", "tags", "new"): None,
        ("POST", "resource_types"): {"name": "OS::New"},
        ("DELETE", "properties"): None,
        ("DELETE", "properties", "p"): None,
        ("DELETE", "objects"): None,
        ("DELETE", "objects", "o"): None,
        ("DELETE", "tags"): None,
        ("DELETE", "tags", "t"): None,
        ("DELETE", "resource_types", "OS::Image"): None,
    }

    def test_read(self) -> None:
        """Callers with the role who see the namespace see its definitions. Others get 404."""
        for names in (
            *(("properties",), ("properties", "p"), ("objects",), ("objects", "o")),
            *(("tags",), ("tags", "t"), ("resource_types",)),
        ):
            for caller in (ADMIN, MEMBER, READER, STRANGER):
                self.assert_status(200, self.send("GET", path("ns", *names), headers=caller))
            self.assert_status(404, self.send("GET", path("ns", *names), headers=NOBODY))
            self.assert_status(401, self.send("GET", path("ns", *names), headers={}))

    def test_written(self) -> None:
        """Only administrators write, in any namespace. Members of the owner see it and get 403."""
        for (method, *names), body in self.BODIES.items():
            for caller in (MEMBER, READER, STRANGER):
                self.assert_unchanged(403, method, path("ns", *names), body, caller)
            self.assert_unchanged(404, method, path("ns", *names), body, NOBODY)
            self.assert_unchanged(401, method, path("ns", *names), body, {})

    def test_protected(self) -> None:
        """Nothing in a protected namespace can be removed. Definitions can be added and changed."""
        self.protect()
        for method, *names in self.BODIES:
            if method == "DELETE":
                self.assert_unchanged(403, method, path("ns", *names))
        for (method, *names), body in self.BODIES.items():
            if method != "DELETE":
                self.assertIn(self.send(method, path("ns", *names), body).status, (200, 201))

    def test_missing(self) -> None:
        """A definition that is not in the namespace is 404."""
        for method, names, body in (
            ("GET", ("properties", "x"), None),
            ("PUT", ("properties", "x"), LEAST),
            ("DELETE", ("properties", "x"), None),
            ("GET", ("properties", "o"), None),
            ("GET", ("objects", "x"), None),
            ("PUT", ("objects", "x"), OBJECT),
            ("DELETE", ("objects", "x"), None),
            ("GET", ("tags", "x"), None),
            ("PUT", ("tags", "x"), {"name": "y"}),
            ("DELETE", ("tags", "x"), None),
            ("DELETE", ("tags", "T"), None),
            ("DELETE", ("resource_types", "x"), None),
        ):
            self.assert_unchanged(404, method, path("ns", *names), body)

    def test_conflicts(self) -> None:
        """A name is unique among the definitions of a kind, when they are added and when they are renamed."""
        self.assert_status(201, self.send("POST", path("ns", "properties"), LEAST))
        self.assert_status(201, self.send("POST", path("ns", "objects"), OBJECT))
        for method, names, body in (
            ("POST", ("properties",), {**LEAST, "name": "p"}),
            ("PUT", ("properties", "p"), LEAST),
            ("POST", ("objects",), {"name": "o"}),
            ("PUT", ("objects", "o"), OBJECT),
            ("POST", ("tags", "t"), None),
            ("PUT", ("tags", "t"), {"name": "u"}),
            ("POST", ("tags",), {"tags": [{"name": "x"}, {"name": "x"}]}),
            ("POST", ("resource_types",), {"name": "OS::Image"}),
        ):
            self.assert_unchanged(409, method, path("ns", *names), body)
        for kind, body in (("properties", {**LEAST, "name": "o"}), ("objects", {"name": "p"})):
            self.assert_status(201, self.send("POST", path("ns", kind), body))

    def test_invalid(self) -> None:
        """A body that does not fit the schema is refused, with the place of the fault."""
        for names, body, text in (
            (("properties",), {"title": "T", "type": "string"}, "name"),
            (("properties",), {"name": "n", "type": "string"}, "title"),
            (("properties",), {"name": "n", "title": "T"}, "type"),
            (("properties",), {**LEAST, "type": None}, "type"),
            (("properties",), {**LEAST, "minimum": "1"}, "minimum"),
            (("properties",), {**LEAST, "self": "/"}, "self"),
            (("properties",), {**LEAST, "name": ""}, "name"),
            (("properties",), {**LEAST, "name": "\0"}, "NUL"),
            (("properties",), {**LEAST, "description": "é" * 40_000}, "65535"),
            (("properties",), [LEAST], "object"),
            (("objects",), {}, "name"),
            (("objects",), {**OBJECT, "properties": {"p": {"type": "string"}}}, "title"),
            (("objects",), {**OBJECT, "other": 1}, "other"),
            (("objects",), {**OBJECT, "required": "iops"}, "required"),
            (
                ("objects",),
                {**OBJECT, "properties": {"n": {"title": "\U0001f5bc" * 20_000, "type": "string"}}},
                "65535",
            ),
            (("tags",), {}, "tags"),
            (("tags",), {"tags": ["t"]}, "tags"),
            (("tags",), {"tags": [{}]}, "name"),
            (("tags",), {"tags": [{"name": "t", "other": 1}]}, "other"),
            (("tags",), {"tags": [{"name": ""}]}, "name"),
            (("resource_types",), {"prefix": "x"}, "name"),
            (("resource_types",), {"name": "r", "prefix": None}, "prefix"),
            (("resource_types",), {"name": "r", "properties_target": "x" * 81}, "properties_target"),
            (("resource_types",), {"name": "r", "other": 1}, "other"),
        ):
            target = path("ns", *names)
            before = self.everything()
            self.assert_status(400, self.send("POST", target, body), text)
            self.assertEqual(self.everything(), before)
        for kind, name, bad in (("properties", "p", {**LEAST, "type": 1}), ("objects", "o", {}), ("tags", "t", {})):
            self.assert_unchanged(400, "PUT", path("ns", kind, name), bad)
        self.assert_unchanged(400, "POST", path("ns", "tags", "\0"))
        self.assert_unchanged(400, "POST", path("ns", "tags", "v"), {"name": "v"})

    def test_read_only(self) -> None:
        """Fields that only the server sets are 403."""
        for keys, names, body in (
            (("created_at", "updated_at"), ("tags", "t"), {"name": "v"}),
            (("created_at", "updated_at", "self", "schema"), ("objects", "o"), OBJECT),
        ):
            for key in keys:
                self.assert_unchanged(403, "PUT", path("ns", *names), {**body, key: "2026-01-01T00:00:00Z"})
        for kind, keys, body in (
            ("objects", ("created_at", "updated_at", "self", "schema"), OBJECT),
            ("resource_types", ("created_at", "updated_at"), {"name": "r"}),
            ("properties", ("created_at", "updated_at"), PROPERTY),
            ("tags", ("created_at", "updated_at"), {"tags": []}),
        ):
            for key in keys:
                self.assert_unchanged(403, "POST", path("ns", kind), {**body, key: None})

    def test_reasons(self) -> None:
        """A refusal says what is wrong with the body, or with which part of it."""
        for kind, body, reason in (
            ("tags", {}, "The list of tags is not valid: it must have tags."),
            ("tags", {"tags": [{}]}, "The list of tags is not valid: tags[0] must have name."),
            ("objects", {"name": 5}, "The object is not valid: name must be string."),
            ("resource_types", {}, "The association is not valid: it must have name."),
            ("objects", {"name": "o"}, "Namespace 'ns' has the object 'o' already."),
        ):
            answer = self.send("POST", path("ns", kind), body, {**BLUE_ADMIN, "Accept": "application/json"})
            self.assertEqual(answer.json["message"], reason)

    def test_many_at_once(self) -> None:
        """Concurrent requests that change one namespace all take effect."""
        body = b'{"name": "%d", "title": "T", "type": "string"}'
        connections = []
        for number in range(20):
            connection = self.server.connect()
            lines = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
            document = body % number
            head = (
                f"POST {path('ns', 'properties')} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(document)}\r\n\r\n"
            )
            connection.send(head.encode() + document[:-1])
            connections.append(connection)
        for connection in connections:
            connection.send(b"}")
        self.assertEqual({connection.answers()[-1].status for connection in connections}, {201})
        self.assertEqual(len(self.shown("ns", "properties")["properties"]), 21)


class PropertyTests(DefinitionTestCase):
    """Properties."""

    def test_added(self) -> None:
        """Everything that a schema may contain is kept, and returned unchanged."""
        answer = self.send("POST", path("ns", "properties"), PROPERTY)
        self.assertEqual((answer.status, answer.json), (201, PROPERTY))
        self.assertEqual(answer.headers["location"], "http://imgsvc-test/v2/metadefs/namespaces/ns/properties/cpu")
        self.assertEqual(self.shown("ns", "properties", "cpu"), PROPERTY)
        properties = self.shown("ns", "properties")
        self.assertEqual(
            properties, {"properties": {"cpu": PROPERTY, "p": {"name": "p", "title": "P", "type": "string"}}}
        )

    def test_changed(self) -> None:
        """Another document replaces the first, under another name if the document has one."""
        answer = self.send("PUT", path("ns", "properties", "p"), PROPERTY)
        self.assertEqual((answer.status, answer.json), (200, PROPERTY))
        self.assertEqual(list(self.shown("ns", "properties")["properties"]), ["cpu"])
        self.assert_status(200, self.send("PUT", path("ns", "properties", "cpu"), {**LEAST, "name": "cpu"}))
        self.assertEqual(self.shown("ns", "properties", "cpu"), {**LEAST, "name": "cpu"})

    def test_removed(self) -> None:
        """One property is removed, or all of them. Objects and tags stay."""
        self.send("POST", path("ns", "properties"), LEAST)
        self.assert_status(204, self.send("DELETE", path("ns", "properties", "p")))
        self.assertEqual(list(self.shown("ns", "properties")["properties"]), ["least"])
        answer = self.send("DELETE", path("ns", "properties"))
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.shown("ns", "properties"), {"properties": {}})
        self.assert_status(204, self.send("DELETE", path("ns", "properties")))
        self.assertLessEqual({"objects", "tags", "resource_type_associations"}, self.shown("ns").keys())

    def test_resource_type(self) -> None:
        """With a resource type, the name has the prefix of the association, if there is one."""
        found = {"name": "p", "title": "P", "type": "string"}
        self.assertEqual(self.shown("ns", "properties", "hw_p", query="?resource_type=OS::Image"), found)
        self.assertEqual(self.shown("ns", "properties", "p", query="?resource_type=OS::Flavor"), found)
        for name, resource_type in (
            *(("p", "OS::Image"), ("hw_x", "OS::Image"), ("hw_p", "OS::Flavor"), ("p", "OS::Other"), ("p", "")),
        ):
            target = f"{path('ns', 'properties', name)}?resource_type={resource_type}"
            self.assert_status(404, self.send("GET", target))

    def test_deep(self) -> None:
        """A document may be nested, up to a depth that every reader and writer can handle."""
        for depth, status in ((29, 200), (30, 400), (900, 400), (1500, 400), (30_000, 400)):
            start = '{"name": "p", "title": "T", "type": "array", "default": '
            body = f"{start}{'[' * depth}{']' * depth}}}".encode()
            answer = self.server.request("PUT", path("ns", "properties", "p"), ADMIN, body)
            self.assert_status(status, answer)
            if status == 200:
                self.assertEqual(self.shown("ns", "properties", "p"), answer.json)
                self.assertEqual(self.send("GET", ROOT).status, 200)
                definition = {key: value for key, value in answer.json.items() if key != "name"}
                self.made("again", properties={"p": definition})  # as deep as a body may be

    def test_any_document(self) -> None:
        """Any JSON value can be the default and the allowed values of a property, and is kept unchanged."""
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
            max_leaves=6,
        )

        @settings(derandomize=True, deadline=None, max_examples=40, database=None)
        @given(texts, values, st.lists(values, max_size=3))
        def check(title: str, default: Any, enum: list[Any]) -> None:
            document = {"name": "p", "title": title, "type": "object", "default": default, "enum": enum}
            self.assert_status(200, self.send("PUT", path("ns", "properties", "p"), document))
            self.assertEqual(self.shown("ns", "properties", "p"), document)

        check()


class ObjectTests(DefinitionTestCase):
    """Objects."""

    def test_added(self) -> None:
        """The response has dates and links, and the object is listed in the same way."""
        answer = self.send("POST", path("ns", "objects"), OBJECT)
        self.assert_status(201, answer)
        link = "/v2/metadefs/namespaces/ns/objects/Disks"
        links = {"self": link, "schema": "/v2/schemas/metadefs/object"}
        self.assertEqual(dateless(answer.json), {**OBJECT, **links})
        self.assertRegex(answer.json["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(answer.headers["location"], f"http://imgsvc-test{link}")
        self.assertEqual(self.shown("ns", "objects", "Disks"), answer.json)
        listed = self.shown("ns", "objects")
        self.assertEqual(listed["objects"], [answer.json, self.shown("ns", "objects", "o")])
        self.assertEqual(
            {key: listed[key] for key in ("first", "schema")},
            {"first": f"{ROOT}/ns/objects", "schema": "/v2/schemas/metadefs/objects"},
        )

    def test_changed(self) -> None:
        """Keys that are missing in the body are removed. The object may get another name, and keeps its
        creation date.
        """
        made = self.send("POST", path("ns", "objects"), OBJECT).json
        answer = self.send("PUT", path("ns", "objects", "Disks"), {"name": "new", "description": "d"})
        self.assert_status(200, answer)
        self.assertEqual(
            {key: value for key, value in answer.json.items() if key != "updated_at"},
            {
                "name": "new",
                "description": "d",
                "created_at": made["created_at"],
                "self": "/v2/metadefs/namespaces/ns/objects/new",
                "schema": "/v2/schemas/metadefs/object",
            },
        )
        self.assertEqual(self.shown("ns", "objects", "new"), answer.json)
        self.assert_status(404, self.send("GET", path("ns", "objects", "Disks")))

    def test_removed(self) -> None:
        """One object is removed, or all of them."""
        self.send("POST", path("ns", "objects"), OBJECT)
        self.assert_status(204, self.send("DELETE", path("ns", "objects", "o")))
        self.assertEqual([each["name"] for each in self.shown("ns", "objects")["objects"]], ["Disks"])
        self.assert_status(204, self.send("DELETE", path("ns", "objects")))
        self.assertEqual(self.shown("ns", "objects")["objects"], [])
        self.assertIn("properties", self.shown("ns"))


class TagTests(DefinitionTestCase):
    """Tags."""

    def tags(self) -> list[str]:
        return [each["name"] for each in self.shown("ns", "tags")["tags"]]

    def test_set(self) -> None:
        """The tags of the body replace all others."""
        answer = self.send("POST", path("ns", "tags"), {"tags": [{"name": "u"}, {"name": "a"}]})
        self.assertEqual((answer.status, answer.json), (201, {"tags": [{"name": "u"}, {"name": "a"}]}))
        self.assertEqual(self.tags(), ["a", "u"])
        self.assert_status(201, self.send("POST", path("ns", "tags"), {"tags": []}))
        self.assertEqual(self.tags(), [])

    def test_appended(self) -> None:
        """With the header the other tags stay, and an existing tag is a conflict. Any other value of the header
        means no.
        """
        target, new = path("ns", "tags"), {"tags": [{"name": "v"}]}
        answer = self.send("POST", target, new, **{"X-Openstack-Append": "True"})
        self.assertEqual((answer.status, answer.json), (201, new))
        self.assertEqual(self.tags(), ["t", "u", "v"])
        both = {"tags": [{"name": "w"}, {"name": "t"}]}
        self.assert_status(409, self.send("POST", target, both, **{"X-Openstack-Append": "true"}))
        self.assertEqual(self.tags(), ["t", "u", "v"])
        self.assert_status(201, self.send("POST", target, {"tags": [{"name": "x"}]}, **{"X-OpenStack-Append": "1"}))
        self.assertEqual(self.tags(), ["t", "u", "v", "x"])
        for text in ("False", "", "0"):
            self.assert_status(201, self.send("POST", target, new, **{"X-Openstack-Append": text}))
            self.assertEqual(self.tags(), ["v"])

    def test_one(self) -> None:
        """A tag is added by a request without a body, and shown with its dates."""
        answer = self.send("POST", path("ns", "tags", "v w"))
        self.assertEqual((answer.status, dateless(answer.json)), (201, {"name": "v w"}))
        self.assertEqual(answer.headers["location"], "http://imgsvc-test/v2/metadefs/namespaces/ns/tags/v%20w")
        self.assertEqual(self.shown("ns", "tags", "v w"), answer.json)
        self.assertEqual(answer.json.keys(), {"name", "created_at", "updated_at"})

    def test_renamed(self) -> None:
        """Another name replaces the first. The same name is no conflict."""
        answer = self.send("PUT", path("ns", "tags", "t"), {"name": "s"})
        self.assertEqual((answer.status, dateless(answer.json)), (200, {"name": "s"}))
        self.assertEqual(self.tags(), ["s", "u"])
        self.assert_status(200, self.send("PUT", path("ns", "tags", "s"), {"name": "s"}))

    def test_removed(self) -> None:
        """One tag is removed, or all of them."""
        answer = self.send("DELETE", path("ns", "tags", "t"))
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.tags(), ["u"])
        self.assert_status(204, self.send("DELETE", path("ns", "tags")))
        self.assertEqual(self.tags(), [])


class AssociationTests(DefinitionTestCase):
    """Associations of a namespace with resource types."""

    def test_added(self) -> None:
        """An association has a prefix and a target, or neither."""
        target = path("ns", "resource_types")
        body = {"name": "OS::Volume", "prefix": "hw_", "properties_target": "image"}
        answer = self.send("POST", target, body)
        self.assertEqual((answer.status, dateless(answer.json)), (201, body))
        self.assertEqual(self.send("POST", target, {"name": "OS::Server"}).status, 201)
        listed = self.shown("ns", "resource_types")["resource_type_associations"]
        self.assertEqual([each["name"] for each in listed], ["OS::Flavor", "OS::Image", "OS::Server", "OS::Volume"])
        self.assertEqual(listed[-1], answer.json)
        self.assertEqual(self.shown("ns")["resource_type_associations"], listed)

    def test_removed(self) -> None:
        """The association is removed, and the resource type stays known."""
        self.assert_status(204, self.send("DELETE", path("ns", "resource_types", "OS::Image")))
        listed = self.shown("ns", "resource_types")["resource_type_associations"]
        self.assertEqual([each["name"] for each in listed], ["OS::Flavor"])
        types = self.send("GET", "/v2/metadefs/resource_types").json["resource_types"]
        self.assertEqual([each["name"] for each in types], ["OS::Flavor", "OS::Image"])
        self.assert_status(400, self.send("DELETE", path("ns", "resource_types", "OS::Flavor"), {}))
