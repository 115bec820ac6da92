"""The order in which the locations of an image are read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import StoreAway
from imgsvc.model import Location
from imgsvc.operations.location_order import store_of
from imgsvc.pipeline.budget import Budget
from imgsvc.store_model import Purpose, StoreSettings
from imgsvc.stores.memory import MemoryStore
from imgsvc.stores.registry import Registry


class StoreOfTests(SynchronousTestCase):
    """The store of a location."""

    def test_reserved(self) -> None:
        """Images in a store that was reserved later can still be read and deleted."""
        budget = Budget(1 << 20)
        stores = [
            MemoryStore(StoreSettings("local"), 0, budget),
            MemoryStore(StoreSettings("near", reserved=Purpose.CACHE), 0, budget),
        ]
        registry = Registry(stores, "local")
        for store in stores:
            self.assertIs(store_of(registry, Location(store.store_id, "memory://x")), store)
        self.assertRaises(StoreAway, store_of, registry, Location("gone", "memory://x"))
