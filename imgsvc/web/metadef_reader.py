"""Reads the bodies of requests about metadata definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import fastjsonschema

from imgsvc.errors import Conflict, Forbidden, Invalid
from imgsvc.metadef_model import LONGEST_NAME, Kind
from imgsvc.model import Visibility
from imgsvc.operations.metadef_limits import check_number
from imgsvc.operations.metadefs import Documents
from imgsvc.web.fields import complaint
from imgsvc.web.metadef_schemas import NAMESPACE, OBJECT, PROPERTY, RESOURCE_TYPE, TAG, TAGS
from imgsvc.web.structure import DEEPEST as DEEPEST_BODY

__all__ = ["read_association", "read_namespace", "read_object", "read_property", "read_tag", "read_tags"]

LARGEST_DEFINITION: Final = 65_535
"""Bytes of one definition, at most. Every database can store this many."""

DEEPEST: Final = DEEPEST_BODY - 2
"""Nested arrays and objects in one definition, at most. So it can also be sent as a part of its namespace."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False)

_CONTAINERS: Final = (dict, list)

_DATES: Final = ("created_at", "updated_at")
_LINKS: Final = ("self", "schema")
_SCHEMAS: Final = {each["name"]: each for each in (NAMESPACE, OBJECT, PROPERTY, RESOURCE_TYPE, TAG, TAGS)}
_WORDS: Final = {"resource_type_association": "association", "tags": "list of tags"}
_NAMESPACE_FIELDS: Final = ("display_name", "description", "protected", "owner")
_OF_OBJECT: Final = ("description", "required", "properties")
_OF_ASSOCIATION: Final = ("prefix", "properties_target")

Document = Mapping[str, Any]
Named = tuple[str, Document]
"""The name and the document of a definition."""


def read_namespace(document: Document) -> tuple[dict[str, Any], Documents]:
    """The fields of a namespace, and its definitions.

    This and the other functions raise Forbidden if a key is set by the server only, Invalid if a value is wrong,
    Conflict if two definitions have the same kind and name, and QuotaExceeded if there are too many definitions.
    """
    check_number(_number(document, "properties", "objects", "tags", "resource_type_associations"))
    _check(document, "namespace")
    fields: dict[str, Any] = {"name": document["namespace"]}
    fields |= {key: document[key] for key in _NAMESPACE_FIELDS if key in document}
    if "visibility" in document:
        fields["visibility"] = Visibility(document["visibility"])
    if any("\0" in value for value in fields.values() if isinstance(value, str)):
        raise Invalid("The namespace holds a NUL character.")
    definitions: dict[tuple[Kind, str], Document] = {}
    for kind, named in (
        (
            Kind.PROPERTY,
            (_checked(name, _without_name(value)) for name, value in _of(document, "properties", {}).items()),
        ),
        (Kind.OBJECT, (_picked(each, _OF_OBJECT) for each in _of(document, "objects", []))),
        (Kind.TAG, (_picked(each, ()) for each in _of(document, "tags", []))),
        (
            Kind.ASSOCIATION,
            (_picked(each, _OF_ASSOCIATION) for each in _of(document, "resource_type_associations", [])),
        ),
    ):
        _collect(definitions, kind, named)
    return fields, definitions


def read_property(document: Document) -> Named:
    """The property's name and its JSON schema."""
    _check(document, "property")
    return _checked(document["name"], _without_name(document))


def read_object(document: Document) -> Named:
    """The object's name, and its description, its properties, and the names of those that are required."""
    _check(document, "object")
    return _picked(document, _OF_OBJECT)


def read_association(document: Document) -> Named:
    """The name of the resource type, and the prefix and the target of its properties."""
    _check(document, "resource_type_association")
    return _picked(document, _OF_ASSOCIATION)


def read_tag(document: Document) -> str:
    """The tag."""
    _check(document, "tag")
    return _picked(document, ())[0]


def read_tags(document: Document) -> list[str]:
    """The tags, all different."""
    check_number(_number(document, "tags"))
    _check(document, "tags")
    definitions: dict[tuple[Kind, str], Document] = {}
    _collect(definitions, Kind.TAG, (_picked(each, ()) for each in document["tags"]))
    return [name for _, name in definitions]


@cache
def _validator(name: str) -> Any:
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", **_SCHEMAS[name]}
    return fastjsonschema.compile(schema, use_default=False, use_formats=False)


def _check(document: Document, name: str) -> None:
    for key in (*_DATES, *_LINKS):
        if key in document and (key in _DATES or key in _SCHEMAS[name]["properties"]):
            raise Forbidden(f"Attribute {key!r} is set by the server only.")
    try:
        _validator(name)(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise Invalid(f"The {_WORDS.get(name, name)} is not valid: {complaint(error)}.") from error


def _number(document: Document, *keys: str) -> int:
    """The number of definitions under these keys."""
    parts = [document[key] for key in keys if key in document]
    return sum(len(part) for part in parts if isinstance(part, _CONTAINERS))


def _of(document: Document, key: str, nothing: Any) -> Any:
    return document.get(key, nothing)


def _without_name(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "name"}


def _picked(document: Document, keys: Iterable[str]) -> Named:
    return _checked(document["name"], {key: document[key] for key in keys if key in document})


def _checked(name: str, document: Document) -> Named:
    """Check what the schemas cannot express: the length of keys, the depth, the size, and too large numbers."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Invalid(f"The name {name[:LONGEST_NAME]!r} does not have 1 to {LONGEST_NAME} characters.")
    if "\0" in name:
        raise Invalid("A name holds a NUL character.")
    if _is_deep(document):
        raise Invalid(f"{name!r} is nested more than {DEEPEST} levels deep.")
    try:
        size = len(_ENCODER.encode(document).encode())
    except ValueError as error:
        raise Invalid(f"{name!r} holds a number that is too large.") from error
    if size > LARGEST_DEFINITION:
        raise Invalid(f"{name!r} takes {size} bytes, more than {LARGEST_DEFINITION}.")
    return name, document


def _is_deep(document: Document) -> bool:
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        parts = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, _CONTAINERS)]
        level = [value for part in parts for value in part]
        if not level:
            return False
    return True


def _collect(definitions: dict[tuple[Kind, str], Document], kind: Kind, named: Iterable[Named]) -> None:
    for name, document in named:
        if (kind, name) in definitions:
            raise Conflict(f"The {kind} {name!r} is defined twice.")
        definitions[kind, name] = document
