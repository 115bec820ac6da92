"""Converts metadata definitions to the JSON of the Image API. Keys without value are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from imgsvc.metadef_model import Definition, Kind, Namespace
from imgsvc.web.render import timestamp

__all__ = ["NAMESPACES", "definition_document", "namespace_document", "namespace_path", "object_document", "path_of"]

NAMESPACES: Final = "/v2/metadefs/namespaces"
_SCHEMAS: Final = "/v2/schemas/metadefs"
_COLLECTIONS: Final = {
    Kind.PROPERTY: "properties",
    Kind.OBJECT: "objects",
    Kind.TAG: "tags",
    Kind.ASSOCIATION: "resource_types",
}


def namespace_path(name: str) -> str:
    """The path of a namespace."""
    return f"{NAMESPACES}/{_segment(name)}"


def path_of(namespace: str, kind: Kind, name: str) -> str:
    """The path of a definition."""
    return f"{namespace_path(namespace)}/{_COLLECTIONS[kind]}/{_segment(name)}"


def namespace_document(namespace: Namespace, resource_type: str | None = None) -> dict[str, Any]:
    """The document of a namespace with its definitions.

    resource_type: its prefix is added to the keys of properties; None: no prefix.
    """
    association = namespace.definitions.get((Kind.ASSOCIATION, resource_type or ""))
    prefix = association.document.get("prefix", "") if association else ""
    document = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "owner": namespace.owner,
        **_dates(namespace),
        "self": namespace_path(namespace.name),
        "schema": f"{_SCHEMAS}/namespace",
        "resource_type_associations": [*map(definition_document, namespace.of_kind(Kind.ASSOCIATION))],
        "properties": _prefixed(prefix, {each.name: dict(each.document) for each in namespace.of_kind(Kind.PROPERTY)}),
        "objects": [object_document(namespace.name, each, prefix) for each in namespace.of_kind(Kind.OBJECT)],
        "tags": [{"name": each.name} for each in namespace.of_kind(Kind.TAG)],
    }
    return {key: value for key, value in document.items() if value not in (None, [], {})}


def object_document(namespace: str, definition: Definition, prefix: str = "") -> dict[str, Any]:
    """The document of an object. The keys of its properties get `prefix`."""
    document = {"name": definition.name, **definition.document, **_dates(definition)}
    document |= {"self": path_of(namespace, Kind.OBJECT, definition.name), "schema": f"{_SCHEMAS}/object"}
    if prefix and "properties" in document:
        document["properties"] = _prefixed(prefix, document["properties"])
    if prefix and "required" in document:
        document["required"] = [prefix + name for name in document["required"]]
    return document


def definition_document(definition: Definition) -> dict[str, Any]:
    """The document of any other definition. That of a property has no dates, so that it can be sent back unchanged."""
    document = {"name": definition.name, **definition.document}
    return document if definition.kind is Kind.PROPERTY else {**document, **_dates(definition)}


def _dates(of: Namespace | Definition) -> dict[str, str]:
    return {"created_at": timestamp(of.created_at), "updated_at": timestamp(of.updated_at)}


def _prefixed(prefix: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in properties.items()}


def _segment(name: str) -> str:
    return quote(name, safe=":@!$&'()*+,;=")
