"""The JSON schemas of metadata definitions. `/v2/schemas/metadefs/...` publishes them, and requests must match them."""

from __future__ import annotations

from typing import Any, Final

from imgsvc.metadef_model import LONGEST_NAME

__all__ = ["NAMESPACE", "OBJECT", "PROPERTY", "RESOURCE_TYPE", "TAG", "TAGS", "metadef_schemas"]

Schema = dict[str, Any]

_TYPES: Final = ["array", "boolean", "integer", "number", "object", "string", None]
_COUNT: Final = {"$ref": "#/definitions/positiveInteger"}
_COUNT_FROM_0: Final = {"$ref": "#/definitions/positiveIntegerDefault0"}
_STRINGS: Final = {"$ref": "#/definitions/stringArray"}
_PROPERTIES: Final = {"$ref": "#/definitions/property"}


def _text(description: str, longest: int | None = None, **more: Any) -> Schema:
    limit = {} if longest is None else {"maxLength": longest}
    return {"type": "string", "description": description, **limit, **more}


def _name(description: str) -> Schema:
    return _text(description, LONGEST_NAME, minLength=1)


def _read_only(description: str, **more: Any) -> Schema:
    return _text(description, readOnly=True, **more)


def _dates(of: str) -> Schema:
    return {
        "created_at": _read_only(f"When the {of} was made, UTC", format="date-time"),
        "updated_at": _read_only(f"When the {of} was last changed, UTC", format="date-time"),
    }


_LINKS: Final = {"self": _read_only("Path of this resource"), "schema": _read_only("Path of its schema")}

_OF_PROPERTY: Final[Schema] = {
    "name": _name("Key of the property, without the prefix of the resource type"),
    "title": _text("Name for people"),
    "description": _text("What the property does"),
    "operators": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Operators that may precede the value in comparisons",
    },
    "type": {"type": "string", "enum": _TYPES, "description": "Type of the value"},
    "required": {**_STRINGS},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _COUNT,
    "minLength": _COUNT_FROM_0,
    "pattern": _text("Regular expression of ECMA 262 that a text must match"),
    "enum": {"type": "array", "items": {}, "description": "All allowed values"},
    "readonly": {"type": "boolean", "description": "Whether users cannot set the property"},
    "default": {"description": "Value that applies if the property is not set"},
    "items": {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": _TYPES}, "enum": {"type": "array", "items": {}}},
        "description": "Type and values of the items of an array",
    },
    "maxItems": _COUNT,
    "minItems": _COUNT_FROM_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}

_COUNTS: Final[Schema] = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"type": "integer", "minimum": 0, "default": 0},
    "stringArray": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
}

_DEFINITIONS: Final[Schema] = {
    **_COUNTS,
    "property": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "type"],
            "properties": _OF_PROPERTY,
            "additionalProperties": False,
        },
    },
}

_OF_OBJECT: Final[Schema] = {
    "name": _name("Name of the object"),
    "description": _text("What the properties of the object are for"),
    "required": {**_STRINGS},
    "properties": {**_PROPERTIES},
}

_OF_ASSOCIATION: Final[Schema] = {
    "name": _name("Type of resource, as Heat names it"),
    "prefix": _text("Prefix of the keys of properties on such a resource, including the separator", LONGEST_NAME),
    "properties_target": _text("The set of properties of the resource, if it has several", LONGEST_NAME),
}


def _schema(name: str, properties: Schema, required: list[str], definitions: Schema | None = None) -> Schema:
    more = {} if definitions is None else {"definitions": definitions}
    return {"name": name, "properties": properties, "additionalProperties": False, "required": required, **more}


def _nested(properties: Schema) -> Schema:
    """The schema of a list in a namespace.

    Unknown keys are allowed, so that a client can send back what it was shown.
    """
    return {"type": "array", "items": {"type": "object", "required": ["name"], "properties": properties}}


NAMESPACE: Final = _schema(
    "namespace",
    {
        "namespace": _name("Name of the namespace, unique on this server"),
        "display_name": _text("Name for people", LONGEST_NAME),
        "description": _text("What the namespace is about", 500),
        "visibility": _text("Who sees the namespace: everybody, or the owner only", enum=["public", "private"]),
        "protected": {
            "type": "boolean",
            "description": "Whether the namespace and its definitions cannot be deleted",
        },
        "owner": _text("Project that owns the namespace", 255),
        **_dates("namespace"),
        **_LINKS,
        "resource_type_associations": _nested(_OF_ASSOCIATION),
        "properties": {**_PROPERTIES},
        "objects": _nested(_OF_OBJECT),
        "tags": _nested({"name": _name("Name of the tag")}),
    },
    ["namespace"],
    _DEFINITIONS,
)
PROPERTY: Final = _schema("property", _OF_PROPERTY, ["type", "title", "name"], _COUNTS)
OBJECT: Final = _schema("object", {**_OF_OBJECT, **_LINKS, **_dates("object")}, ["name"], _DEFINITIONS)
TAG: Final = _schema("tag", {"name": _name("Name of the tag"), **_dates("tag")}, ["name"])
RESOURCE_TYPE: Final = _schema("resource_type_association", {**_OF_ASSOCIATION, **_dates("association")}, ["name"])
TAGS: Final = _schema(
    "tags",
    {
        "tags": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _name("Name of the tag")},
                "required": ["name"],
                "additionalProperties": False,
            },
        }
    },
    ["tags"],
)
"""The schema of a request to set tags. The published schema `tags` is that of a list."""


def _list_of(item: Schema, name: str, several: Schema) -> Schema:
    """The schema of a list of `item`."""
    return {
        "name": name,
        "properties": {
            name: several,
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
        **({"definitions": item["definitions"]} if "definitions" in item else {}),
    }


def metadef_schemas() -> dict[str, Schema]:
    """All schemas, by the end of their path."""
    singles = {
        "namespace": NAMESPACE,
        "object": OBJECT,
        "property": PROPERTY,
        "resource_type": RESOURCE_TYPE,
        "tag": TAG,
    }
    lists = {}
    for plural, singular, name in (
        ("namespaces", "namespace", "namespaces"),
        ("objects", "object", "objects"),
        ("resource_types", "resource_type", "resource_type_associations"),
        ("tags", "tag", "tags"),
    ):
        item = {key: value for key, value in singles[singular].items() if key != "definitions"}
        lists[plural] = _list_of(singles[singular], name, {"type": "array", "items": item})
    each = {key: value for key, value in PROPERTY.items() if key != "definitions"}
    named_by_key = {"type": "object", "additionalProperties": {**each, "required": ["type", "title"]}}
    lists["properties"] = _list_of(PROPERTY, "properties", named_by_key)
    return {f"metadefs/{name}": schema for name, schema in {**singles, **lists}.items()}
