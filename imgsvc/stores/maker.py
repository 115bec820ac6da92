"""Plugins that make stores, without importing what the operator does not use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from attrs import frozen
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from imgsvc.interfaces import IStore, IStoreMaker
from imgsvc.stores.services import StoreServices

Make = Callable[[str, Mapping[str, object], StoreServices], IStore]


@implementer(IPlugin, IStoreMaker)
@frozen
class StoreMaker:
    """Makes the stores of one kind. factory: the full name of a function with the signature of IStoreMaker.make."""

    kind: str
    factory: str

    def make(self, store_id: str, options: Mapping[str, object], services: StoreServices) -> IStore:
        """See IStoreMaker."""
        return cast(Make, namedAny(self.factory))(store_id, options, services)
