"""The values of metadata definitions, which describe the properties of images, flavors, volumes and the like.

A namespace has definitions of four kinds (Image API v2, "Metadata definitions"). The content of a definition is kept as
the JSON that clients send and get, because this server does not apply it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from imgsvc.model import LARGEST_PAGE, Caller, Visibility

__all__ = ["LONGEST_NAME", "Definition", "Definitions", "Kind", "Namespace", "NamespaceQuery", "ResourceType", "by_key"]

LONGEST_NAME: Final = 80
"""Characters in the name of a namespace or of a definition, at most."""


class Kind(StrEnum):
    """The kind of a definition."""

    PROPERTY = "property"
    OBJECT = "object"
    """A group of properties."""
    TAG = "tag"
    ASSOCIATION = "association"
    """A resource type whose properties the namespace defines. The name of the definition is that of the type."""


def _frozen_document(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


@frozen
class Definition:
    """One definition in a namespace. Its name is unique in its kind and namespace.

    document: its content without the name. For a property, its JSON schema; for an object, `description`, `required`
    and `properties`; for an association, `prefix` and `properties_target`; for a tag, nothing.
    """

    kind: Kind
    name: str
    created_at: datetime
    updated_at: datetime
    document: Mapping[str, Any] = field(factory=dict, converter=_frozen_document, hash=False)


Definitions = Mapping[tuple[Kind, str], Definition]


def by_key(definitions: Iterable[Definition]) -> Definitions:
    """Definitions by kind and name, in the order of their names."""
    return {(each.kind, each.name): each for each in sorted(definitions, key=lambda each: each.name)}


def _frozen_definitions(value: Definitions) -> Definitions:
    return MappingProxyType(dict(value))


@frozen
class Namespace:
    """A namespace with its definitions. visibility: public or private. owner: the id of a project.

    key, revision: set by the catalogue; they identify this state of this namespace.
    """

    name: str
    created_at: datetime
    updated_at: datetime
    display_name: str | None = None
    description: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    owner: str | None = None
    definitions: Definitions = field(factory=dict, converter=_frozen_definitions, hash=False)
    key: int = 0
    revision: int = 0

    def of_kind(self, kind: Kind) -> list[Definition]:
        """The definitions of a kind, in the order of their names."""
        return [each for each in self.definitions.values() if each.kind is kind]


@frozen
class ResourceType:
    """A resource type that is or was associated with a namespace."""

    name: str
    created_at: datetime
    updated_at: datetime


@frozen
class NamespaceQuery:
    """The parameters of a list of namespaces.

    visibility: only namespaces of this one; None: all. resource_types: only namespaces that are associated with any of
    them; None: all. sort: a column, one of `namespace`, `created_at`, `updated_at`; the name breaks ties. marker: the
    name after which the page begins. limit: namespaces on the page. size: the page ends before it has about this many
    bytes of JSON, but has at least one namespace.
    """

    caller: Caller
    limit: int
    visibility: Visibility | None = None
    resource_types: tuple[str, ...] | None = None
    sort: str = "created_at"
    descending: bool = True
    marker: str | None = None
    size: int = LARGEST_PAGE


@frozen
class NamespacePage:
    """A page of a list. last: the name after which the next page begins; None: there is no next page.

    size: bytes of JSON, about.
    """

    namespaces: Sequence[Namespace]
    last: str | None
    size: int
