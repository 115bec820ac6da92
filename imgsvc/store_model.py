"""The properties of stores: their own, and those of the configuration that all kinds have. The values are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from attrs import field, frozen

__all__ = ["Buffer", "Purpose", "Scope", "StoreInfo", "StoreSettings"]

Buffer = bytes | bytearray | memoryview
"""Bytes on their way into a store."""


class Scope(StrEnum):
    """The processes that can access the objects of a store."""

    PROCESS = "process"
    """Only the process that wrote them. The objects are lost when it ends."""
    HOST = "host"
    """Every process of the host. Other hosts have access only if the operator shares the medium."""
    CLUSTER = "cluster"
    """Every process of every host."""


class Purpose(StrEnum):
    """The purpose of a store that is reserved for the server's own data."""

    STAGING = "staging"
    """Data that clients have staged, and that is not imported yet."""
    CACHE = "cache"
    """Copies of data from slower stores."""


@frozen
class StoreSettings:
    """The settings of a store that do not depend on its kind.

    id: the name of its table. description: for people; may be empty. weight: of two locations, the one in the store of
    the higher weight is read first. reserved: the purpose that the server reserves the store for; None: the store is
    for images.
    """

    id: str
    description: str = ""
    weight: int = 0
    reserved: Purpose | None = None


def _frozen(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


@frozen(kw_only=True)
class StoreInfo:
    """The properties of a store. They do not change after the store was created.

    id, description, weight, reserved: as in StoreSettings. kind: the kind of the store, such as `file`.
    scope: the processes that can access its objects. read_only: whether it does not accept images.
    medium: a text that is equal for two stores if they keep objects in the same place; None: no other store can use the
    same place. folder: absolute path of the folder of this host that has the objects; None: there is none.
    schemes: of the URLs of its locations, in lower case. can_range: whether it can read a part of an object; a single
    object may still not allow it. can_redirect: whether it is an IRedirectingStore, and configured to redirect.
    properties: shown by /v2/info/stores/detail.
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
