"""Plugins that make stores. The module of a kind of store is imported only if the configuration uses the kind.

twistd imports this module whenever it looks for plugins, also in the parent of workers, which keeps it in memory. So
the module imports what it needs only for types while types are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from attrs import frozen
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import Attribute, implementer

if TYPE_CHECKING:
    from imgsvc.interfaces import IStore
    from imgsvc.store_model import StoreSettings
    from imgsvc.stores.services import StoreServices

    Make = Callable[[StoreSettings, Mapping[str, object], StoreServices], IStore]

__all__ = ["IStoreMaker", "StoreMaker"]


class IStoreMaker(IPlugin):
    """A plugin, found by twisted.plugin, that makes the stores of one kind."""

    kind: str = Attribute("The value of `kind` in the store's table of the configuration.")

    def make(settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> IStore:
        """Make a store, which is not started yet. Its `info` has the values of `settings`.

        options: the store's table without `kind` and without the keys of `settings`.
        Raises ConfigurationError: an option is unknown or wrong.
        """


@implementer(IPlugin, IStoreMaker)
@frozen
class StoreMaker:
    """Makes the stores of one kind. factory: the full name of a function with the signature of IStoreMaker.make."""

    kind: str
    factory: str

    def make(self, settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> IStore:
        """See IStoreMaker."""
        return cast("Make", namedAny(self.factory))(settings, options, services)
