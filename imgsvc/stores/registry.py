"""The stores of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.plugin import getPlugins
from zope.interface import implementer

from imgsvc import config
from imgsvc.errors import ConfigurationError, StoreError, UnknownStore
from imgsvc.interfaces import IStore, IStoreRegistry
from imgsvc.logger import make_logger
from imgsvc.store_model import Purpose
from imgsvc.stores.maker import IStoreMaker
from imgsvc.stores.services import StoreServices
from twisted import plugins

log = make_logger()


@implementer(IStoreRegistry)
class Registry:
    """The stores of this server by id. It starts and stops them."""

    def __init__(self, stores: Sequence[IStore], default: str) -> None:
        """`default` is the id of one of `stores`."""
        self._stores = {store.store_id: store for store in stores}
        self._started: list[IStore] = []
        self.default = self._stores[default]
        self.several = len(self.all()) > 1

    def get(self, store_id: str) -> IStore:
        """See IStoreRegistry."""
        store = self._stores.get(store_id)
        if store is None or store.info.reserved:
            raise UnknownStore(store_id, tuple(each.store_id for each in self.all()))
        return store

    def all(self) -> Sequence[IStore]:
        """See IStoreRegistry."""
        return tuple(store for store in self._stores.values() if not store.info.reserved)

    def find(self, store_id: str) -> IStore:
        """See IStoreRegistry."""
        if store_id not in self._stores:
            raise UnknownStore(store_id, tuple(self._stores))
        return self._stores[store_id]

    def every(self) -> Sequence[IStore]:
        """See IStoreRegistry."""
        return tuple(self._stores.values())

    def reserved(self, purpose: Purpose) -> IStore | None:
        """See IStoreRegistry."""
        return next((store for store in self._stores.values() if store.info.reserved is purpose), None)

    def start(self) -> Deferred[None]:
        """Start the stores one after the other. If one fails, the started ones are stopped, and this fails too."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        for store in self.every():
            self._started.append(store)
            try:
                await store.start()
            except BaseException:
                await self._stop()
                raise

    def stop(self) -> Deferred[None]:
        """Stop the started stores, the last one first. Failures are logged."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        while self._started:
            store = self._started.pop()
            try:
                await store.stop()
            except StoreError as error:
                log.error("Store {store} cannot be stopped: {error}", store=store.store_id, error=error)


def make_stores(stores: Mapping[str, config.Store], default: str, services: StoreServices) -> Registry:
    """Make the stores of a configuration. They are not started yet.

    default: the id of the store for uploads that name no store.
    Raises ConfigurationError: the kind of a store or the default is unknown; an option of a store is wrong; two stores
    have the same medium (each would delete objects of the other as left over); two stores have the same purpose.
    """
    makers: dict[str, IStoreMaker] = {maker.kind: maker for maker in getPlugins(IStoreMaker, plugins)}
    made = [_make(store_id, table, makers, services) for store_id, table in stores.items()]
    writable = [store.store_id for store in made if not store.info.read_only and not store.info.reserved]
    if default not in writable:
        raise ConfigurationError(
            f"stores.default = {default!r}: must be a store that takes images: {', '.join(writable) or 'there is none'}"
        )
    _check_media(made)
    _check_purposes(made)
    return Registry(made, default)


def _check_media(stores: Sequence[IStore]) -> None:
    taken: dict[str, str] = {}
    for info in (store.info for store in stores):
        other = info.id if info.medium is None else taken.setdefault(info.medium, info.id)
        if other != info.id:
            raise ConfigurationError(f"stores.{info.id}: must be in another place than store {other}: {info.medium}")


def _check_purposes(stores: Sequence[IStore]) -> None:
    taken: dict[Purpose, str] = {}
    for info in (store.info for store in stores):
        if info.reserved is None:
            continue
        path = f"stores.{info.id}.purpose = {info.reserved.value!r}"
        if info.read_only:
            raise ConfigurationError(
                f"{path}: must be a store that accepts images, which one of kind {info.kind} does not"
            )
        other = taken.setdefault(info.reserved, info.id)
        if other != info.id:
            raise ConfigurationError(f"{path}: store {other} has this purpose already")


def _make(store_id: str, table: config.Store, makers: Mapping[str, IStoreMaker], services: StoreServices) -> IStore:
    if table.kind not in makers:
        raise ConfigurationError(f"stores.{store_id}.kind = {table.kind!r}: must be one of {', '.join(sorted(makers))}")
    return makers[table.kind].make(table.settings(store_id), table.options, services)
