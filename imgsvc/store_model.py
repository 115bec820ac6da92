"""What a store says of itself, and what the configuration says of any store. Frozen values, as those of `model`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from attrs import field, frozen

__all__ = ["Buffer", "Purpose", "Scope", "StoreInfo", "StoreSettings"]

Buffer = bytes | bytearray | memoryview
"""Bytes on their way into a store."""


class Scope(StrEnum):
    """Who sees the objects of a store."""

    PROCESS = "process"
    """The process that wrote them only. They end with it."""
    HOST = "host"
    """Every process of the host; those of other hosts only if the operator shares the medium with them."""
    CLUSTER = "cluster"
    """Every process of every host."""


class Purpose(StrEnum):
    """What the server uses a store for that is not one for images."""

    STAGING = "staging"
    """Bytes that clients have sent and that are not imported yet."""
    CACHE = "cache"
    """Copies of what is read from slower stores."""


@frozen
class StoreSettings:
    """What the configuration says of a store, whatever its kind.

    id: the name of its table. description: for people; may be empty. weight: of two locations the one in the heavier
    store is read first. reserved: the purpose that the server keeps the store for; None: it is a store for images.
    """

    id: str
    description: str = ""
    weight: int = 0
    reserved: Purpose | None = None


def _frozen(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


@frozen(kw_only=True)
class StoreInfo:
    """What a store is. The store makes it when it is made itself, and nothing changes it afterwards.

    id, description, weight, reserved: as in StoreSettings. kind: the maker's kind, as `file`.
    scope: who sees its objects. read_only: it takes no images.
    medium: a text that is the same for two stores, of whatever ids, if they would keep objects in the same place; None:
    no other store can. folder: absolute path of the folder of this host that the objects are in; None: there is none.
    schemes: of the URLs of its locations, in lower case.
    can_range: any part of an object can be read, although single objects may not allow it; else only the whole.
    can_redirect: it is an IRedirectingStore, and configured to be used as one.
    properties: what /v2/info/stores/detail tells of it.
    """

    id: str
    kind: str
    scope: Scope
    schemes: tuple[str, ...]
    description: str = ""
    weight: int = 0
    reserved: Purpose | None = None
    read_only: bool = False
    medium: str | None = None
    folder: str | None = None
    can_range: bool = True
    can_redirect: bool = False
    properties: Mapping[str, object] = field(factory=dict, converter=_frozen, hash=False)
