"""The table of the fields of an image, and the code that must agree with it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue.rows import COLUMNS
from imgsvc.catalogue.tables import images
from imgsvc.client.view import BASE_FIELDS
from imgsvc.image_fields import FIELDS, SORT_KEYS, FieldType, FilterForm, ImageField, Setting, Source, names_of
from imgsvc.model import Image
from tests.test_architecture import modules
from tests.web.rigs import THREE_STORES, ApiTestCase

SAMPLES: dict[FieldType, Any] = {
    FieldType.ID: "3f6c1b2e-0d7a-4c55-9b1e-7f2a64c0d913",
    FieldType.TEXT: "text",
    FieldType.FORMAT: None,
    FieldType.FLAG: True,
    FieldType.AMOUNT: 3,
    FieldType.SIZE: 3,
    FieldType.TIME: "2026-01-31T12:00:00Z",
    FieldType.TAGS: ["tag"],
    FieldType.LOCATIONS: [],
}
FILTERED: dict[FilterForm, tuple[list[str], list[str]]] = {
    FilterForm.CHOICE: (["x", "eq:x", "in:x,y"], []),
    FilterForm.TEXT: (["x", "unknown:x"], []),
    FilterForm.FLAG: (["true"], ["x"]),
    FilterForm.NUMBER: (["1"], ["x"]),
    FilterForm.TIME: (["gt:2026-01-31T12:00:00Z"], ["x"]),
}
"""Accepted and refused values of filters."""

OF_IMAGES = set(FIELDS) - {
    *("id", "name", "status", "visibility", "protected", "owner", "created_at", "updated_at", "self", "schema")
}
"""Field names that only images have. Namespaces, members and tasks have names and owners too."""
LISTS = {
    "imgsvc/image_fields.py",  # the table
    "imgsvc/client/command/uploading.py",  # the options of a command, each with its own text
    "imgsvc/catalogue/holdings.py",  # the fields of a Record
    "imgsvc/notifications/payloads.py",  # the keys of Glance's notifications, which have some of the fields
}
"""Modules that may name more fields in one list than MOST_NAMES."""
MOST_NAMES = 3


def sample(field: ImageField) -> Any:
    """A value that a client may send."""
    return field.values[0] if field.values else SAMPLES[field.type]


class TableTests(SynchronousTestCase):
    """The table agrees with the values and tables that cannot be made of it."""

    def test_image(self) -> None:
        """Image has an attribute for each field, and it may be None where the field may be null."""
        attributes = attrs.fields_dict(Image)
        self.assertEqual(set(attributes) - {"properties", "members"}, set(names_of(lambda field: field.is_attribute)))
        for name, attribute in attributes.items():
            if name in FIELDS:
                self.assertEqual("None" in str(attribute.type), FIELDS[name].nullable, name)

    def test_columns(self) -> None:
        """The table of images has a column for each field, which may be NULL where the field may be null."""
        self.assertEqual(COLUMNS, tuple(name for name in attrs.fields_dict(Image) if name in images.c))
        self.assertEqual(set(COLUMNS), set(names_of(lambda field: field.source is Source.COLUMN)))
        for name in COLUMNS:
            self.assertEqual(images.c[name].nullable, FIELDS[name].nullable, name)

    def test_client(self) -> None:
        """The client treats exactly these as fields."""
        self.assertEqual(BASE_FIELDS, set(FIELDS))

    def test_no_other_list(self) -> None:
        """No module lists the fields by itself. All use the table."""
        found = {
            f"{module.name}:{node.lineno}"
            for module in modules()
            if module.name not in LISTS
            for node in ast.walk(module.tree)
            if len(OF_IMAGES.intersection(_texts(node))) > MOST_NAMES
        }
        self.assertEqual(found, set())


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts in a list, tuple, set or dict of the source, as elements or keys; of a dict also its values."""
    elements: list[Any] = []
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        elements = node.elts
    elif isinstance(node, ast.Dict):
        elements = node.keys
    for element in elements:
        if isinstance(element, ast.Constant) and isinstance(element.value, str):
            yield element.value
        elif isinstance(element, ast.Starred):
            yield from _texts(element.value)


class ListTests(SynchronousTestCase):
    """`test_no_other_list` can fail."""

    def test_found(self) -> None:
        """Names in each kind of collection are found, also in a part that is unpacked."""
        for source in ("['id', 'name']", "{'id', *('name',)}", "{'id': 1, 'name': 2}"):
            self.assertEqual(set(_texts(ast.parse(source, mode="eval").body)), {"id", "name"})


class ApiTests(ApiTestCase):
    """The API treats each field as the table says."""

    tables = {"stores": THREE_STORES, "images": {"show_locations": True, "show_direct_url": True}}

    def post(self, document: dict[str, Any]) -> int:
        """The status of the response to a new image."""
        return self.server.request("POST", "/v2/images", body=json.dumps(document).encode()).status

    def patch(self, image_id: str, field: ImageField) -> int:
        """The status of the response to a change of one field."""
        operation = {"op": "replace", "path": f"/{field.name}", "value": sample(field)}
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        return self.server.request("PATCH", f"/v2/images/{image_id}", headers, json.dumps([operation]).encode()).status

    def list(self, query: str) -> int:
        """The status of the response to a list."""
        return self.server.request("GET", f"/v2/images?{query}").status

    def test_shown(self) -> None:
        """A new image shows the fields that are always shown. One with data may show all."""
        image = self.server.image()
        optional = set(names_of(lambda field: not field.always_shown))
        self.assertEqual(set(image), set(FIELDS) - optional | {"locations"})
        self.server.put(image["id"], b"data")
        self.assertEqual(set(self.server.show(image["id"])), set(FIELDS))

    def test_null(self) -> None:
        """A field that is not nullable is never null."""
        image = self.server.request("POST", "/v2/images", body=b"{}").json
        self.assertLessEqual({name for name, value in image.items() if value is None}, _nullable())
        self.assertLessEqual(_nullable() - {"owner"}, {name for name, value in image.items() if value is None})

    def test_made(self) -> None:
        """A new image accepts the fields that a client may set at creation."""
        for name, field in FIELDS.items():
            allowed = field.setting in (Setting.CREATION, Setting.CLIENT)
            self.assertEqual(self.post({name: sample(field)}), 201 if allowed else 403, name)

    def test_changed(self) -> None:
        """A patch accepts the fields that a client may set at any time."""
        for name, field in FIELDS.items():
            image_id = self.server.image()["id"]
            allowed = field.setting is Setting.CLIENT
            if field.setting is not Setting.LOCATIONS:
                self.assertEqual(self.patch(image_id, field), 200 if allowed else 403, name)

    def test_schema(self) -> None:
        """The published schema has all fields in this order, before the custom properties."""
        properties = self.server.request("GET", "/v2/schemas/image").json["properties"]
        self.assertEqual([name for name, schema in properties.items() if schema.get("is_base", True)], list(FIELDS))
        for name, field in FIELDS.items():
            schema = properties[name]
            self.assertEqual(schema["description"], field.description)
            self.assertEqual(schema.get("readOnly", False), field.setting is Setting.SERVER, name)
            self.assertEqual("null" in schema["type"], field.nullable, name)

    def test_sorted(self) -> None:
        """Lists are sorted by the sortable fields, and refuse others."""
        for name in FIELDS:
            self.assertEqual(self.list(f"sort={name}"), 200 if name in SORT_KEYS else 400, name)

    def test_filtered(self) -> None:
        """Lists accept the filters of each field. Other names stand for custom properties."""
        properties = dict.fromkeys(("min_min", "name_min"), "x")
        self.server.image(**properties)
        for name, field in FIELDS.items():
            if field.filter is not None:
                taken, refused = FILTERED[field.filter]
                self.assertEqual([self.list(f"{name}={value}") for value in taken], [200] * len(taken), name)
                self.assertEqual([self.list(f"{name}={value}") for value in refused], [400] * len(refused), name)
            is_number = field.filter is FilterForm.NUMBER
            for bound in ("min", "max"):
                self.assertEqual(self.list(f"{name}_{bound}=x"), 400 if is_number else 200, name)

    def test_described(self) -> None:
        """The description has all filters and sort keys, and says which keys are always there."""
        document = self.server.document
        parameters = {each.get("name"): each for each in document["paths"]["/v2/images"]["get"]["parameters"]}
        for name, field in FIELDS.items():
            names = [name, f"{name}_min", f"{name}_max"] if field.filter is FilterForm.NUMBER else [name]
            if field.filter is not None:
                self.assertLessEqual(set(names), set(parameters))
        self.assertEqual(set(parameters["sort_key"]["schema"]["items"]["enum"]), set(SORT_KEYS))
        shown = document["components"]["schemas"]["shown_image"]["allOf"][1]["required"]
        self.assertEqual(shown, list(names_of(lambda field: field.always_shown)))


def _nullable() -> set[str]:
    return set(names_of(lambda field: field.nullable))
