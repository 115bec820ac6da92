"""The options of stores. Each store has a table, and most of its keys depend on the kind of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, field, frozen

from imgsvc.errors import ConfigurationError
from imgsvc.options import converter, option, structure
from imgsvc.store_model import Purpose, StoreSettings

__all__ = ["Store", "Stores"]

IMAGES: Final = "images"
"""The purpose of a store that is not reserved for the server itself."""


@frozen
class Store:
    """[stores.NAME]. options: the other keys of the table, which depend on the kind of the store."""

    kind: str = option("The kind of the store, as `file` or `memory`.")
    description: str = option("A description for users, shown by `/v2/info/stores`.", "")
    weight: int = option("If several stores have an image, the one with the highest weight is read first.", 0)
    options: Mapping[str, object] = field(factory=dict, hash=False)
    purpose: str = option(
        "What the store is for. `staging` and `cache` are for data of the server itself, but have none yet; clients do"
        " not see these stores.",
        IMAGES,
        choices=(IMAGES, *(each.value for each in Purpose)),
    )

    def settings(self, store_id: str) -> StoreSettings:
        """The settings in the table of a store that do not depend on its kind."""
        reserved = None if self.purpose == IMAGES else Purpose(self.purpose)
        return StoreSettings(store_id, self.description, self.weight, reserved)


@frozen
class Stores:
    """[stores]"""

    default: str = option("The store of uploads that name no store.", "local")
    stores: Mapping[str, Store] = field(
        factory=lambda: {"local": Store(kind="file", options={"path": "images"})}, hash=False
    )


_STORE_NAME: Final = re.compile(r"(?!os_glance)[A-Za-z0-9][A-Za-z0-9._-]*")


def _stores(table: Any, _: object) -> Stores:
    """Read [stores]: a table for each store, and `default`, which is optional if there is one store."""
    if not isinstance(table, Mapping):
        raise TypeError(table)
    if not isinstance(table.get("default", ""), str):
        raise ConfigurationError(f"stores.default = {table['default']!r}: must be a string")
    stores = {name: _store(name, value) for name, value in table.items() if name != "default"}
    if not stores:
        return Stores(**table)
    for name in stores:
        if not _STORE_NAME.fullmatch(name):
            raise ConfigurationError(
                f"stores.{name}: the name must be letters, digits, '.', '_', '-', and not begin with os_glance"
            )
    for_images = [name for name, store in stores.items() if store.purpose == IMAGES]
    default = table.get("default", for_images[0] if len(for_images) == 1 else "local")
    return Stores(default=default, stores=stores)


def _store(name: str, table: Any) -> Store:
    path = f"stores.{name}"
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{path} = {table!r}: must be a table")
    own = {key: value for key, value in table.items() if key in _STORE_KEYS}
    return evolve(
        structure(Store, own, path), options={key: value for key, value in table.items() if key not in _STORE_KEYS}
    )


_STORE_KEYS: Final = frozenset({"kind", "description", "weight", "purpose"})
converter.register_structure_hook(Stores, _stores)
converter.register_unstructure_hook(
    Stores, lambda stores: {"default": stores.default} | {n: _store_table(s) for n, s in stores.stores.items()}
)


def _store_table(store: Store) -> dict[str, object]:
    return {each: getattr(store, each) for each in ("kind", "description", "weight", "purpose")} | dict(store.options)
