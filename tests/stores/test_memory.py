"""The store in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError, StoreFull
from imgsvc.interfaces import IStore
from imgsvc.model import StoreUsage
from imgsvc.store_model import StoreSettings
from imgsvc.stores.memory import make
from imgsvc.stores.services import StoreServices
from tests.support.listing_contract import ListingContract
from tests.support.resume_contract import ResumeContract
from tests.support.store_contract import StoreProperties, result_of, write


class MemoryStoreTests(ListingContract, ResumeContract, StoreProperties, SynchronousTestCase):
    """The memory store keeps the contract."""

    def make_store(self, services: StoreServices) -> IStore:
        return make(StoreSettings("memory"), {}, services)

    def test_capacity(self) -> None:
        """A store with a capacity is full when it is reached, by announced bytes and by received ones."""
        store = make(StoreSettings("small"), {"capacity": "1 KiB"}, self.services)
        writer = result_of(write(store, "one", "1", bytes(1000)))
        self.assertEqual(StoreUsage(1024, 24), result_of(store.usage()))
        with self.assertRaises(StoreFull):
            result_of(writer.write([bytes(25)]))
        with self.assertRaises(StoreFull):
            result_of(store.writer("two", "1", 25))
        result_of(writer.abort())
        self.assertEqual(StoreUsage(1024, 1024), result_of(store.usage()))

    def test_unknown_option(self) -> None:
        """An option that does not exist is refused with its path."""
        with self.assertRaisesRegex(ConfigurationError, r"^stores\.small\.capasity: "):
            make(StoreSettings("small"), {"capasity": 1}, self.services)
