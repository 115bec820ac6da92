"""Plugins that make stores, without importing what the operator does not use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from attrs import frozen
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import Attribute, implementer

from imgsvc.interfaces import IStore
from imgsvc.store_model import StoreSettings
from imgsvc.stores.services import StoreServices

__all__ = ["IStoreMaker", "StoreMaker"]

Make = Callable[[StoreSettings, Mapping[str, object], StoreServices], IStore]


class IStoreMaker(IPlugin):
    """Found by twisted.plugin: knows how to make the stores of one kind."""

    kind: str = Attribute("what `[stores.NAME] kind` says")

    def make(settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> IStore:
        """A store, not yet started, whose `info` says what `settings` says.

        options: the store's table without what is in `settings`, and without `kind`. Raises ConfigurationError for an
        unknown or wrong option.
        """


@implementer(IPlugin, IStoreMaker)
@frozen
class StoreMaker:
    """Makes the stores of one kind. factory: the full name of a function with the signature of IStoreMaker.make."""

    kind: str
    factory: str

    def make(self, settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> IStore:
        """See IStoreMaker."""
        return cast(Make, namedAny(self.factory))(settings, options, services)
