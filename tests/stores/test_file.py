"""The store in a folder: the contract, with and without its options."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.interfaces import IStore
from imgsvc.stores.file import make
from imgsvc.stores.services import StoreServices
from tests.support.store_contract import StoreProperties


class FileStoreTests(StoreProperties, SynchronousTestCase):
    """The file store keeps the contract."""

    def make_store(self, services: StoreServices) -> IStore:
        return make("local", {}, services)
