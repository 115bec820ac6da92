"""The values of metadata definitions: what the properties of images, flavors, volumes and the like may be.

A namespace holds definitions of four kinds (Image API v2, "Metadata definitions"). What a definition says is kept as
the JSON that clients send and get, because it is data to this server and not a rule.
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
"""Characters in the name of a namespace or of a definition."""


class Kind(StrEnum):
    """What a definition is of."""

    PROPERTY = "property"
    OBJECT = "object"
    """Properties that belong together."""
    TAG = "tag"
    ASSOCIATION = "association"
    """A type of resource whose properties the namespace defines; the name is the type's."""


def _frozen_document(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


@frozen
class Definition:
    """One definition in a namespace; its name is unique among those of its kind there.

    document: what is said about it beside its name. Of a property its JSON schema; of an object `description`,
    `required` and `properties`; of an association `prefix` and `properties_target`; nothing of a tag.
    """

    kind: Kind
    name: str
    created_at: datetime
    updated_at: datetime
    document: Mapping[str, Any] = field(factory=dict, converter=_frozen_document, hash=False)


Definitions = Mapping[tuple[Kind, str], Definition]


def by_key(definitions: Iterable[Definition]) -> Definitions:
    """Definitions, in the order of their names."""
    return {(each.kind, each.name): each for each in sorted(definitions, key=lambda each: each.name)}


def _frozen_definitions(value: Definitions) -> Definitions:
    return MappingProxyType(dict(value))


@frozen
class Namespace:
    """A namespace with its definitions. visibility: public or private. owner: a project's id.

    key, revision: the catalogue's own, to tell this state of this namespace from every other.
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
    """A type of resource that some namespace was once associated with."""

    name: str
    created_at: datetime
    updated_at: datetime


@frozen
class NamespaceQuery:
    """What a list of namespaces asks for.

    visibility: only those. resource_types: only those with an association with any of them; None: all. sort: a column,
    one of `namespace`, `created_at`, `updated_at`; the name breaks ties. marker: the name of the namespace after which
    the page begins. limit: namespaces on the page. size: bytes of JSON, about, that the page ends before; one namespace
    is on it in any case.
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
    """Namespaces of a list. last: the name that the next page begins after; None: there is none.

    size: bytes of JSON that they are, about.
    """

    namespaces: Sequence[Namespace]
    last: str | None
    size: int
