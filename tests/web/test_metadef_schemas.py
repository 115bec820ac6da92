"""Tests of imgsvc.web.metadef_schemas: requests are checked with the published schemas."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from imgsvc.errors import Conflict, Forbidden, Invalid
from imgsvc.web.metadef_reader import (
    read_association,
    read_namespace,
    read_object,
    read_property,
    read_tag,
    read_tags,
)
from imgsvc.web.metadef_schemas import TAGS, metadef_schemas
from tests.web.metadef_rigs import MetadefTestCase, path
from tests.web.rigs import READER, identity
from tests.web.test_metadefs import WHOLE

READERS = {
    "namespace": read_namespace,
    "property": read_property,
    "object": read_object,
    "tag": read_tag,
    "resource_type": read_association,
}
KEYS = st.sampled_from(
    [
        *("namespace", "display_name", "description", "visibility", "protected", "owner", "properties", "objects"),
        *("tags", "resource_type_associations", "name", "title", "type", "prefix", "properties_target", "required"),
        *("minimum", "maxLength", "minLength", "enum", "items", "uniqueItems", "readonly", "default", "other"),
    ]
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.0, 1.5, "", "public", "string", "integer", "x" * 81, "x" * 501, "x" * 256]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
GOOD = {
    "namespace": {"namespace": "n"},
    "property": {"name": "n", "title": "t", "type": "string"},
    "object": {"name": "n"},
    "tag": {"name": "n"},
    "resource_type": {"name": "n"},
    "tags": {"tags": []},
}


class PublishedTests(MetadefTestCase):
    """`GET /v2/schemas/metadefs/...`."""

    def test_published(self) -> None:
        """All ten are shown to every identified caller, and are valid schemas."""
        self.assertEqual(len(metadef_schemas()), 10)
        for name in metadef_schemas():
            for caller in (READER, identity("blue")):
                answer = self.send("GET", f"/v2/schemas/{name}", headers=caller)
                self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
                Draft4Validator.check_schema(answer.json)
            self.assertEqual(answer.json, metadef_schemas()[name])
            self.assert_status(401, self.send("GET", f"/v2/schemas/{name}", headers={}))
            self.assert_status(400, self.send("GET", f"/v2/schemas/{name}", {}))
            self.assert_status(405, self.send("POST", f"/v2/schemas/{name}", {}))

    def test_form(self) -> None:
        """The schemas of single things forbid other keys and name required ones, in lists too."""
        schemas = {name.removeprefix("metadefs/"): schema for name, schema in metadef_schemas().items()}
        required = {
            "namespace": ["namespace"],
            "property": ["type", "title", "name"],
            "object": ["name"],
            "tag": ["name"],
            "resource_type": ["name"],
        }
        for name, keys in required.items():
            self.assertEqual((schemas[name]["required"], schemas[name]["additionalProperties"]), (keys, False))
        for name in ("namespaces", "properties", "objects", "tags", "resource_types"):
            self.assertEqual([link["rel"] for link in schemas[name]["links"]], ["first", "next", "describedby"])
            key = "resource_type_associations" if name == "resource_types" else name
            nameless: Any = {"x": {}} if name == "properties" else [{}]
            self.assertFalse(Draft4Validator(schemas[name]).is_valid({key: nameless}), name)
        definitions = {"positiveInteger", "positiveIntegerDefault0", "stringArray", "property"}
        for name in ("namespace", "namespaces", "object", "objects"):
            self.assertEqual(set(schemas[name]["definitions"]), definitions)
        self.assertEqual(set(schemas["property"]["definitions"]), definitions - {"property"})

    def test_answers(self) -> None:
        """Responses fit the schemas."""
        self.made(**{("name" if key == "namespace" else key): value for key, value in WHOLE.items()})
        name = "OS::Compute::Quota"
        for schema, names in (
            ("namespace", (name,)),
            ("namespaces", ()),
            ("properties", (name, "properties")),
            ("property", (name, "properties", "cpu")),
            ("objects", (name, "objects")),
            ("object", (name, "objects", "Disks")),
            ("tags", (name, "tags")),
            ("tag", (name, "tags", "fast")),
            ("resource_types", (name, "resource_types")),
        ):
            published = self.send("GET", f"/v2/schemas/metadefs/{schema}").json
            Draft4Validator(published).validate(self.send("GET", path(*names)).json)


class CheckedTests(MetadefTestCase):
    """The same schemas, checked by another library."""

    def test_same(self) -> None:
        """A body is accepted if and only if jsonschema finds no fault."""
        schemas = {name.removeprefix("metadefs/"): schema for name, schema in metadef_schemas().items()}
        readers: dict[str, Any] = {**READERS, "tags": read_tags}
        validators = {name: Draft4Validator({"type": "object", **{**schemas, "tags": TAGS}[name]}) for name in readers}

        @settings(derandomize=True, deadline=None, max_examples=300, database=None)
        @given(st.sampled_from(sorted(readers)), st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
        def check(name: str, document: dict[str, Any], started: bool) -> None:
            document = {**GOOD[name], **document} if started else document
            valid = validators[name].is_valid(document)
            try:
                readers[name](document)
            except Invalid as error:
                beyond = "does not have 1 to 80 characters" in str(error)
                self.assertEqual((valid, beyond), (beyond, beyond), (document, str(error)))
            except (Conflict, Forbidden):
                self.assertTrue(valid, document)
            else:
                self.assertTrue(valid, json.dumps(document))

        check()
