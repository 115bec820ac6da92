"""Takes the place of the part of the catalogue that stores use."""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from imgsvc.interfaces import IHoldings

__all__ = ["Holdings"]


@implementer(IHoldings)
@define
class Holdings:
    """Knows, for every store, the objects that a test puts into `objects`."""

    catalogue_id: str = "a-catalogue"
    objects: set[str] = field(factory=set)

    def identity(self) -> Deferred[str]:
        """See IHoldings."""
        return succeed(self.catalogue_id)

    def object_count(self, store_id: str) -> Deferred[int]:
        """See IHoldings."""
        return succeed(len(self.objects))

    def known_objects(self, store_id: str, names: Collection[str]) -> Deferred[set[str]]:
        """See IHoldings."""
        return succeed(self.objects.intersection(names))
