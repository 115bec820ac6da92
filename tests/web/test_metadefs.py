"""Tests of imgsvc.web.metadefs: namespaces of metadata definitions."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imgsvc.metadef_model import Kind
from tests.web.metadef_rigs import BLUE_ADMIN, ROOT, MetadefTestCase, path
from tests.web.rigs import ADMIN, MEMBER, READER, STRANGER, identity

NOBODY = identity("blue")
WHOLE: dict[str, Any] = {
    "namespace": "OS::Compute::Quota",
    "display_name": "Quota",
    "description": "What a server may use",
    "visibility": "public",
    "protected": False,
    "owner": "blue",
    "properties": {
        "cpu": {"title": "Processors", "type": "integer", "minimum": 0, "enum": [1, 2], "default": 1},
        "tags": {"title": "Tags", "type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "objects": [
        {
            "name": "Disks",
            "description": "How fast they are",
            "required": ["iops"],
            "properties": {"iops": {"title": "Operations", "type": "integer", "operators": ["<in>"]}},
        },
        {"name": "Empty"},
    ],
    "tags": [{"name": "fast"}, {"name": "slow"}],
    "resource_type_associations": [
        {"name": "OS::Glance::Image", "prefix": "hw_", "properties_target": "image"},
        {"name": "OS::Nova::Flavor", "prefix": "hw:"},
        {"name": "OS::Nova::Server"},
    ],
}
DATES = {"created_at", "updated_at"}


class CreateTests(MetadefTestCase):
    """`POST /v2/metadefs/namespaces`."""

    def test_least(self) -> None:
        """A name is enough. The namespace is private, unprotected, and belongs to the caller's project."""
        answer = self.send("POST", ROOT, {"namespace": "OS::One"}, BLUE_ADMIN)
        self.assert_status(201, answer)
        document = answer.json
        self.assertRegex(document["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(document.pop("created_at"), document.pop("updated_at"))
        self.assertEqual(
            document,
            {
                "namespace": "OS::One",
                "visibility": "private",
                "protected": False,
                "owner": "blue",
                "self": "/v2/metadefs/namespaces/OS::One",
                "schema": "/v2/schemas/metadefs/namespace",
            },
        )
        self.assertEqual(answer.headers["location"], "http://imgsvc-test/v2/metadefs/namespaces/OS::One")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(self.shown("OS::One"), answer.json)

    def test_whole(self) -> None:
        """One request creates a namespace with everything in it, and the response has all of that."""
        answer = self.send("POST", ROOT, WHOLE)
        self.assert_status(201, answer)
        document = answer.json
        self.assertEqual(self.shown("OS::Compute::Quota"), document)
        for one in document["objects"]:
            self.assertEqual(one.pop("self"), path("OS::Compute::Quota", "objects", one["name"]).replace("%3A", ":"))
            self.assertEqual(one.pop("schema"), "/v2/schemas/metadefs/object")
        for each in (document, *document["objects"], *document["resource_type_associations"]):
            self.assertLessEqual(DATES, each.keys())
            for date in DATES:
                del each[date]
        self.assertEqual(document, {**WHOLE, "self": document["self"], "schema": document["schema"]})

    def test_sent_back(self) -> None:
        """The document of a namespace, without the fields that only the server sets, creates another one."""
        self.send("POST", ROOT, WHOLE)
        shown = self.shown("OS::Compute::Quota")
        again = {key: value for key, value in shown.items() if key not in (*DATES, "self", "schema")}
        self.assert_status(201, self.send("POST", ROOT, {**again, "namespace": "again"}))
        self.assertEqual(self.shown("again")["properties"], shown["properties"])

    def test_invalid(self) -> None:
        """A body that does not fit the schema is refused, with the place of the fault, and nothing is created."""
        good = {"title": "T", "type": "string"}
        cases: list[tuple[Any, str]] = [
            ([], "object"),
            ({}, "namespace"),
            ({"namespace": 7}, "namespace must be string"),
            ({"namespace": ""}, "namespace"),
            ({"namespace": "n" * 81}, "namespace"),
            ({"namespace": "n\0"}, "NUL"),
            ({"namespace": "n", "display_name": "n" * 81}, "display_name"),
            ({"namespace": "n", "display_name": None}, "display_name"),
            ({"namespace": "n", "display_name": "\0"}, "NUL"),
            ({"namespace": "n", "description": "n" * 501}, "description"),
            ({"namespace": "n", "visibility": "shared"}, "visibility"),
            ({"namespace": "n", "protected": "true"}, "protected"),
            ({"namespace": "n", "owner": "n" * 256}, "owner"),
            ({"namespace": "n", "other": 1}, "other"),
            ({"namespace": "n", "properties": [good]}, "properties"),
            ({"namespace": "n", "properties": {"p": {"type": "string"}}}, "title"),
            ({"namespace": "n", "properties": {"p": {"title": "T"}}}, "type"),
            ({"namespace": "n", "properties": {"p": {**good, "type": "text"}}}, "type"),
            ({"namespace": "n", "properties": {"p": {**good, "maxLength": -1}}}, "maxLength"),
            ({"namespace": "n", "properties": {"p": {**good, "minLength": 1.0}}}, "minLength"),
            ({"namespace": "n", "properties": {"p": {**good, "other": 1}}}, "other"),
            ({"namespace": "n", "properties": {"p" * 81: good}}, "80"),
            ({"namespace": "n", "properties": {"": good}}, "80"),
            ({"namespace": "n", "properties": {"\0": good}}, "NUL"),
            ({"namespace": "n", "properties": {"p": {**good, "default": "x" * 70_000}}}, "65535"),
            ({"namespace": "n", "objects": {"name": "o"}}, "objects"),
            ({"namespace": "n", "objects": [{}]}, "name"),
            ({"namespace": "n", "objects": [{"name": "o", "required": ["a", "a"]}]}, "required"),
            ({"namespace": "n", "objects": [{"name": "o", "properties": {"p": {}}}]}, "title"),
            ({"namespace": "n", "tags": ["t"]}, "tags"),
            ({"namespace": "n", "tags": [{"name": "t" * 81}]}, "tags"),
            ({"namespace": "n", "resource_type_associations": [{"prefix": "x"}]}, "name"),
            ({"namespace": "n", "resource_type_associations": [{"name": "x", "prefix": "p" * 81}]}, "prefix"),
        ]
        for document, text in cases:
            self.assert_status(400, self.send("POST", ROOT, document), text)
        self.assertEqual(self.everything(), {})

    def test_not_json(self) -> None:
        """A body that is not a JSON object is refused, and so is one with a number that JSON cannot write."""
        for body in (b"", b"{", b"7", b'{"namespace": "\\ud800"}', b'{"namespace": "n", "tags": NaN}'):
            self.assert_status(400, self.server.request("POST", ROOT, ADMIN, body))
        huge = b'{"namespace":"n","properties":{"p":{"title":"T","type":"number","maximum":1e999}}}'
        self.assert_status(400, self.server.request("POST", ROOT, ADMIN, huge), "too large")
        self.assertEqual(self.everything(), {})

    def test_read_only(self) -> None:
        """Fields that only the server sets are 403, whatever the value."""
        for key in ("created_at", "updated_at", "self", "schema"):
            for value in ("2026-01-01T00:00:00Z", None, 7):
                self.assert_status(403, self.send("POST", ROOT, {"namespace": "n", key: value}), key)
        self.assertEqual(self.everything(), {})

    def test_not_permitted(self) -> None:
        """Only administrators create namespaces. Others do not learn what is wrong with the body."""
        for caller in (MEMBER, READER, NOBODY):
            self.assert_status(403, self.send("POST", ROOT, WHOLE, caller))
            self.assert_status(403, self.send("POST", ROOT, {}, caller))
        self.assert_status(401, self.send("POST", ROOT, WHOLE, {}))
        self.assertEqual(self.everything(), {})

    def test_duplicate(self) -> None:
        """A name is unique, also for callers that do not see the other namespace. That one stays unchanged."""
        self.made("one", tags=[{"name": "first"}])
        self.assert_unchanged(409, "POST", ROOT, {"namespace": "one", "tags": [{"name": "second"}]})
        self.assert_unchanged(409, "POST", ROOT, {"namespace": "one"}, BLUE_ADMIN)

    def test_duplicates_within(self) -> None:
        """Two objects, tags or associations with one name are a conflict, and nothing is created."""
        for key in ("objects", "tags", "resource_type_associations"):
            twice = {"namespace": "n", key: [{"name": "a"}, {"name": "b"}, {"name": "a"}]}
            self.assert_status(409, self.send("POST", ROOT, twice), "a")
        self.assertEqual(self.everything(), {})

    def test_at_the_same_time(self) -> None:
        """Of two requests that create one name at the same time, one succeeds."""
        first, second = self.server.connect(), self.server.connect()
        body = json.dumps({"namespace": "one"}).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
        head = f"POST {ROOT} HTTP/1.1\r\nHost: imgsvc-test\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        for connection in (first, second):
            connection.send(head + body[:-1])
        for connection in (second, first):
            connection.send(body[-1:])
        statuses = [connection.answers()[-1].status for connection in (first, second)]
        self.assertEqual(statuses, [409, 201])


class ShowTests(MetadefTestCase):
    """`GET /v2/metadefs/namespaces/{namespace}`."""

    def test_visible(self) -> None:
        """Everybody with the role sees public namespaces. Their project and administrators see private ones."""
        self.made("public", visibility="public")
        self.made("blue", BLUE_ADMIN)
        self.made("nobody's", owner="")
        for caller, names in (
            (ADMIN, {"public", "blue", "nobody's"}),
            (MEMBER, {"public", "blue"}),
            (READER, {"public", "blue"}),
            (STRANGER, {"public"}),
            (NOBODY, set()),
            (identity(None, "reader"), {"public"}),
        ):
            for name in ("public", "blue", "nobody's"):
                answer = self.send("GET", path(name), headers=caller)
                self.assertEqual(answer.status, 200 if name in names else 404, (caller, name))

    def test_invisible(self) -> None:
        """A namespace that the caller may not see is 404 on every route, whatever else is wrong."""
        self.made("blue", BLUE_ADMIN, protected=True, tags=[{"name": "t"}])
        prop = {"name": "p", "title": "T", "type": "string"}
        stranger = STRANGER
        for method, names, document in (
            ("GET", (), None),
            ("PUT", (), {"namespace": "blue"}),
            ("DELETE", (), None),
            ("GET", ("properties",), None),
            ("POST", ("properties",), prop),
            ("DELETE", ("properties",), None),
            ("GET", ("properties", "p"), None),
            ("PUT", ("properties", "p"), prop),
            ("DELETE", ("properties", "p"), None),
            ("GET", ("objects",), None),
            ("POST", ("objects",), {"name": "o"}),
            ("DELETE", ("objects",), None),
            ("GET", ("objects", "o"), None),
            ("PUT", ("objects", "o"), {"name": "o"}),
            ("DELETE", ("objects", "o"), None),
            ("GET", ("tags",), None),
            ("POST", ("tags",), {"tags": []}),
            ("DELETE", ("tags",), None),
            ("GET", ("tags", "t"), None),
            ("POST", ("tags", "t"), None),
            ("PUT", ("tags", "t"), {"name": "u"}),
            ("DELETE", ("tags", "t"), None),
            ("GET", ("resource_types",), None),
            ("POST", ("resource_types",), {"name": "r"}),
            ("DELETE", ("resource_types", "r"), None),
        ):
            self.assert_unchanged(404, method, path("blue", *names), document, stranger)
            self.assert_unchanged(404, method, path("missing", *names), document)
            self.assert_unchanged(401, method, path("blue", *names), document, {})
            self.assert_unchanged(401, method, path("missing", *names), document, {})

    def test_prefixed(self) -> None:
        """With a resource type, the keys of properties have its prefix, also in objects and in `required`."""
        self.send("POST", ROOT, WHOLE)
        shown = self.shown("OS::Compute::Quota", query="?resource_type=OS::Nova::Flavor")
        self.assertEqual(set(shown["properties"]), {"hw:cpu", "hw:tags"})
        self.assertEqual(set(shown["objects"][0]["properties"]), {"hw:iops"})
        self.assertEqual(shown["objects"][0]["required"], ["hw:iops"])
        plain = self.shown("OS::Compute::Quota")
        for other in ("OS::Nova::Server", "OS::Other", ""):
            self.assertEqual(self.shown("OS::Compute::Quota", query=f"?resource_type={other}"), plain)

    def test_body(self) -> None:
        """A request to show or delete a namespace has no body."""
        self.made("one")
        for method in ("GET", "DELETE"):
            self.assert_unchanged(400, method, path("one"), {})
        self.assert_status(400, self.send("GET", "/v2/metadefs/resource_types", {}))

    def test_methods(self) -> None:
        """Other methods of known paths are 405, with the allowed methods."""
        for names, allowed in (
            ((), "GET, HEAD, POST"),
            (("n",), "DELETE, GET, HEAD, PUT"),
            (("n", "properties"), "DELETE, GET, HEAD, POST"),
            (("n", "properties", "p"), "DELETE, GET, HEAD, PUT"),
            (("n", "tags", "t"), "DELETE, GET, HEAD, POST, PUT"),
            (("n", "resource_types"), "GET, HEAD, POST"),
            (("n", "resource_types", "r"), "DELETE"),
        ):
            answer = self.send("PATCH", path(*names))
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed))
        self.assert_status(404, self.send("GET", f"{ROOT}/"))
        self.assert_status(404, self.send("GET", f"{ROOT}/n/other"))


class ReplaceTests(MetadefTestCase):
    """`PUT /v2/metadefs/namespaces/{namespace}`."""

    def test_defaults(self) -> None:
        """Fields that are missing in the body get their defaults. Definitions stay."""
        self.send("POST", ROOT, WHOLE)
        before = self.shown("OS::Compute::Quota")
        answer = self.send("PUT", path("OS::Compute::Quota"), {"namespace": "OS::Compute::Quota"})
        self.assert_status(200, answer)
        fields = {
            "namespace": "OS::Compute::Quota",
            "visibility": "private",
            "protected": False,
            "owner": "ops",
            **{key: before[key] for key in ("created_at", "self", "schema")},
        }
        self.assertEqual(answer.json, {**fields, "updated_at": answer.json["updated_at"]})
        shown = self.shown("OS::Compute::Quota")
        parts = ("properties", "objects", "tags", "resource_type_associations")
        self.assertEqual(shown, {**answer.json, **{key: before[key] for key in parts}})

    def test_fields(self) -> None:
        """All fields are set. Definitions in the body are ignored."""
        self.made("one", tags=[{"name": "t"}])
        fields = {key: WHOLE[key] for key in ("display_name", "description", "visibility", "owner")}
        document = {"namespace": "one", **fields, "protected": True, "tags": [{"name": "other"}], "properties": {}}
        self.assert_status(200, self.send("PUT", path("one"), document))
        shown = self.shown("one")
        self.assertEqual(
            {key: shown[key] for key in (*fields, "protected", "tags")},
            {**fields, **{"protected": True, "tags": [{"name": "t"}]}},
        )

    def test_renamed(self) -> None:
        """Another name moves the namespace with everything in it."""
        self.send("POST", ROOT, WHOLE)
        answer = self.send("PUT", path("OS::Compute::Quota"), {"namespace": "new name"})
        self.assertEqual((answer.status, answer.json["self"]), (200, f"{ROOT}/new%20name"))
        self.assert_status(404, self.send("GET", path("OS::Compute::Quota")))
        self.assertEqual(set(self.shown("new name")["properties"]), {"cpu", "tags"})

    def test_refused(self) -> None:
        """An invalid or forbidden change, or a conflict with another namespace, changes nothing."""
        self.made("one", visibility="public", tags=[{"name": "t"}])
        self.made("two")
        for status, document, caller in (
            (400, {}, ADMIN),
            (400, {"namespace": "n" * 81}, ADMIN),
            (400, {"namespace": "one", "properties": {"p": {}}}, ADMIN),
            (403, {"namespace": "one", "created_at": "2026-01-01T00:00:00Z"}, ADMIN),
            (403, {"namespace": "one", "self": "/"}, ADMIN),
            (403, {"namespace": "one"}, MEMBER),
            (409, {"namespace": "two"}, ADMIN),
        ):
            self.assert_unchanged(status, "PUT", path("one"), document, caller)
        self.assert_unchanged(404, "PUT", path("three"), {"namespace": "one"})

    def test_protected(self) -> None:
        """A protected namespace may be changed, also its protection."""
        self.made("one", protected=True)
        self.assert_status(200, self.send("PUT", path("one"), {"namespace": "two", "protected": False}))
        self.assertFalse(self.shown("two")["protected"])


class DeleteTests(MetadefTestCase):
    """`DELETE /v2/metadefs/namespaces/{namespace}`."""

    def test_deleted(self) -> None:
        """It is removed with everything in it, and the name can be used again."""
        self.send("POST", ROOT, WHOLE)
        answer = self.send("DELETE", path("OS::Compute::Quota"))
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.everything(), {})
        self.assert_status(404, self.send("DELETE", path("OS::Compute::Quota")))
        self.assertNotIn("tags", self.made("OS::Compute::Quota"))

    def test_refused(self) -> None:
        """A protected namespace stays, and so does one that the caller may only see."""
        self.made("protected", protected=True, tags=[{"name": "t"}])
        self.made("public", visibility="public")
        self.assert_unchanged(403, "DELETE", path("protected"))
        self.assert_unchanged(403, "DELETE", path("public"), headers=MEMBER)


class ListTests(MetadefTestCase):
    """`GET /v2/metadefs/namespaces`."""

    def setUp(self) -> None:
        super().setUp()
        flavor, image = {"name": "OS::Nova::Flavor", "prefix": "hw:"}, {"name": "OS::Glance::Image"}
        for name, visibility, associations in (
            ("a", "public", [image]),
            ("b", "private", [flavor]),
            ("c", "public", [image, flavor]),
            ("d", "private", []),
            ("e", "public", []),
            ("f", "private", []),
            ("g", "public", []),
        ):
            caller = BLUE_ADMIN if name in "bf" else ADMIN
            self.made(name, caller, visibility=visibility, resource_type_associations=associations)

    def listed(self, query: str = "", headers: dict[str, str] = ADMIN) -> tuple[list[str], Any]:
        """The names on a page, and the rest of the page."""
        answer = self.send("GET", f"{ROOT}{query}", headers=headers)
        self.assertEqual(answer.status, 200, answer.body)
        document = answer.json
        return [each["namespace"] for each in document.pop("namespaces")], document

    def test_page(self) -> None:
        """The newest come first, with the default limit. Links lead to the first and to the next page."""
        self.assertEqual(
            self.listed(),
            (
                ["g", "f", "e"],
                {
                    "first": ROOT,
                    "next": f"{ROOT}?marker=e",
                    "schema": "/v2/schemas/metadefs/namespaces",
                },
            ),
        )
        self.assertEqual(self.listed("?marker=e")[0], ["d", "c", "b"])
        names, rest = self.listed("?marker=b")
        self.assertEqual((names, "next" in rest), (["a"], False))

    def test_links(self) -> None:
        """Links repeat the query. Following them gives the whole list once."""
        names, rest = self.listed("?limit=2&sort_key=namespace&sort_dir=asc&visibility=public")
        self.assertEqual(rest["first"], f"{ROOT}?limit=2&sort_key=namespace&sort_dir=asc&visibility=public")
        seen = [*names]
        while "next" in rest:
            names, rest = self.listed(rest["next"].removeprefix(ROOT))
            seen += names
        self.assertEqual(seen, ["a", "c", "e", "g"])

    def test_limit(self) -> None:
        """A limit of 0 gives nothing. A limit that is too large gives the most that is allowed."""
        self.assertEqual(self.listed("?limit=0")[0], [])
        self.assertNotIn("next", self.listed("?limit=0")[1])
        self.assertEqual(len(self.listed("?limit=1000000000000")[0]), 5)

    def test_visible(self) -> None:
        """Callers that are not administrators see public namespaces, and those of their project."""
        self.assertEqual(self.listed("?limit=5&sort_key=namespace&sort_dir=asc", MEMBER)[0], ["a", "b", "c", "e", "f"])
        self.assertEqual(self.listed("?limit=5&sort_key=namespace&sort_dir=asc", STRANGER)[0], ["a", "c", "e", "g"])

    def test_filters(self) -> None:
        """Lists are filtered by visibility and by resource types. Other parameters are ignored."""
        for query, caller, names in (
            ("visibility=private", ADMIN, ["f", "d", "b"]),
            ("visibility=private", MEMBER, ["f", "b"]),
            ("visibility=private", STRANGER, []),
            ("resource_types=OS::Glance::Image", ADMIN, ["c", "a"]),
            ("resource_types=OS::Glance::Image,OS::Nova::Flavor", ADMIN, ["c", "b", "a"]),
            ("resource_types=OS::Nova::Flavor&visibility=public", ADMIN, ["c"]),
            ("resource_types=", ADMIN, []),
            ("resource_types=other", ADMIN, []),
            ("other=1", ADMIN, ["g", "f", "e"]),
        ):
            self.assertEqual(self.listed(f"?{query}", caller)[0], names, query)

    def test_invalid(self) -> None:
        """Invalid values of parameters are 400."""
        for query in (
            *("limit=-1", "limit=x", "limit=", "limit=1.5", "limit=99999999999999999999", "limit=%D9%A1"),
            *("visibility=shared", "visibility=", "sort_key=owner", "sort_key=", "sort_dir=up"),
            *("marker=%00", "resource_types=%FF"),
        ):
            self.assert_status(400, self.send("GET", f"{ROOT}?{query}"))

    def test_marker(self) -> None:
        """A marker that does not exist, or that the caller may not see, is 404."""
        self.assert_status(404, self.send("GET", f"{ROOT}?marker=missing"), "missing")
        self.assert_status(404, self.send("GET", f"{ROOT}?marker=d", headers=STRANGER), "d")

    def test_removed_marker(self) -> None:
        """The page after a namespace that was removed meanwhile is refused, and a new list has all others."""
        link = self.listed()[1]["next"]
        self.assert_status(204, self.send("DELETE", path("e")))
        refused = self.send("GET", link)
        self.assert_status(404, refused, "There is no namespace 'e'")
        self.assert_status(404, refused, "list from the first page again")
        self.assertEqual(self.listed("?limit=5")[0], ["g", "f", "d", "c", "b"])

    def test_documents(self) -> None:
        """Each namespace has its associations, and no other definitions."""
        self.made("h", **{key: value for key, value in WHOLE.items() if key != "namespace"})
        (document,) = self.send("GET", f"{ROOT}?limit=1").json["namespaces"]
        expected = {
            key: value for key, value in self.shown("h").items() if key not in ("properties", "objects", "tags")
        }
        self.assertEqual(document, expected)

    def test_not_permitted(self) -> None:
        """Without the role nothing is listed."""
        self.assert_status(403, self.send("GET", ROOT, headers=NOBODY))
        self.assert_status(401, self.send("GET", ROOT, headers={}))


class ResourceTypeTests(MetadefTestCase):
    """`GET /v2/metadefs/resource_types`."""

    def test_listed(self) -> None:
        """All resource types that an association ever had, sorted by name."""
        target = "/v2/metadefs/resource_types"
        self.assertEqual(self.send("GET", target).json, {"resource_types": []})
        self.made("one", resource_type_associations=[{"name": "b"}, {"name": "a"}])
        self.made("two", resource_type_associations=[{"name": "b"}])
        self.send("DELETE", path("one"))
        self.send("DELETE", path("two", "resource_types", "b"))
        types = self.send("GET", target, headers=READER).json["resource_types"]
        self.assertEqual([each["name"] for each in types], ["a", "b"])
        self.assertEqual({*types[0]}, {"name", *DATES})
        self.assert_status(403, self.send("GET", target, headers=NOBODY))
        self.assert_status(401, self.send("GET", target, headers={}))


class NameTests(MetadefTestCase):
    """Names with any characters."""

    def test_any(self) -> None:
        """Namespaces and their definitions are found under any valid name, and by their links."""
        names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)

        @settings(derandomize=True, deadline=None, max_examples=40, database=None)
        @given(names, names)
        def check(name: str, part: str) -> None:
            prop = {"title": part, "type": "string"}
            made = self.made(name, properties={part: prop}, objects=[{"name": part}], tags=[{"name": part}])
            self.assertEqual(made["namespace"], name)
            self.assertEqual(self.send("GET", made["self"]).json, made)
            self.assertEqual(self.shown(name, "properties", part), {"name": part, **prop})
            self.assertEqual(self.send("GET", made["objects"][0]["self"]).json, made["objects"][0])
            for kind in ("properties", "objects", "tags"):
                self.assert_status(204, self.send("DELETE", path(name, kind, part)))
            self.assert_status(204, self.send("DELETE", path(name)))

        check()

    def test_longest(self) -> None:
        """Names may have 80 characters of any kind, but not 81, everywhere."""
        for character in ("n", "é", "\U0001f5bc"):
            name, longer = character * 80, character * 81
            self.made(name)
            good = {"title": "T", "type": "string"}
            self.assert_status(400, self.send("POST", ROOT, {"namespace": longer}))
            self.assert_status(400, self.send("PUT", path(name), {"namespace": longer}))
            for kind, document in (("properties", good), ("objects", {}), ("resource_types", {})):
                self.assert_status(201, self.send("POST", path(name, kind), {"name": name, **document}))
                self.assert_status(400, self.send("POST", path(name, kind), {"name": longer, **document}))
            self.assert_status(201, self.send("POST", path(name, "tags", name)))
            self.assert_status(400, self.send("POST", path(name, "tags", longer)))
            self.assert_status(400, self.send("PUT", path(name, "tags", name), {"name": longer}))
            self.assert_status(400, self.send("POST", path(name, "tags"), {"tags": [{"name": longer}]}))
        self.assertEqual(len(Kind), 4)

    def test_slashes(self) -> None:
        """An encoded slash or percent sign belongs to its name, and to no other."""
        for name in ("a/tags/b", "a%2Ftags%2Fb", "a%252Ftags", "..", "%"):
            self.made(name, tags=[{"name": name}])
        for name in ("a/tags/b", "a%2Ftags%2Fb", "a%252Ftags", "%"):
            self.assertEqual(self.shown(name)["tags"], [{"name": name}])
            self.assertEqual(self.shown(name, "tags", name)["name"], name)
        self.assert_status(404, self.send("GET", f"{ROOT}/a/tags/b"))
