"""Tests for every store that can list its objects. A test case mixes ListingContract in beside the StoreContract."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from zope.interface.verify import verifyObject

from imgsvc.errors import ObjectExists, ObjectMissing
from imgsvc.interfaces import IListedStore
from imgsvc.model import StoredObject
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, promise, put, read, write

__all__ = ["ListingContract", "objects"]

OTHER = NAME[::-1]


async def objects(store: Any) -> dict[str, StoredObject]:
    """All objects that a store lists, by their names, each of which comes once."""
    found: list[StoredObject] = []
    async with aclosing(store.objects()) as batches:
        async for batch in batches:
            found += batch
    by_name = {each.name: each for each in found}
    assert len(by_name) == len(found)
    return by_name


class ListingContract:
    """Every promise of IListedStore. Needs what StoreContract needs."""

    store: Any

    @promise
    async def test_listing_interface(self: Any) -> None:
        """The store provides the interface."""
        verifyObject(IListedStore, self.store)

    @promise
    async def test_listed(self: Any) -> None:
        """The list has all readable objects with their size, finalized or not, and no unfinished or deleted ones."""
        self.assertEqual(await objects(self.store), {})
        location = await put(self.store, NAME, EARLIER, DATA)
        begun = await write(self.store, OTHER, EARLIER, DATA)
        found = await objects(self.store)
        self.assertEqual({name: each.size for name, each in found.items()}, {NAME: len(DATA)})
        self.assertEqual(await self.store.object(NAME), found[NAME])
        with self.assertRaises(ObjectMissing):
            await self.store.object(OTHER)
        await begun.commit()
        self.assertEqual(set(await objects(self.store)), {NAME, OTHER})
        await begun.abort()
        await self.store.delete(location)
        self.assertEqual(await objects(self.store), {})

    @promise
    async def test_set_aside(self: Any) -> None:
        """An object that was set aside is no object any more, and its name is free. It can be restored unchanged."""
        location = await put(self.store, NAME, EARLIER, DATA)
        found = await self.store.object(NAME)
        self.assertTrue(await self.store.set_aside(found))
        self.assertEqual(await objects(self.store), {})
        with self.assertRaises(ObjectMissing):
            await self.store.size(location)
        await self.store.put_back(found)
        self.assertEqual(await objects(self.store), {NAME: found})
        self.assertEqual(await read(self.store, location), DATA)
        with self.assertRaises(ObjectMissing):
            await self.store.put_back(found)

    @promise
    async def test_set_aside_another(self: Any) -> None:
        """Only the listed object is set aside, and restoring it replaces no other."""
        location = await put(self.store, NAME, EARLIER, DATA)
        first = await self.store.object(NAME)
        await self.store.set_aside(first)
        await put(self.store, NAME, LATER, DATA[1:])
        second = await self.store.object(NAME)
        self.assertNotEqual(first, second)
        with self.assertRaises(ObjectMissing):
            await self.store.set_aside(first)
        for call in (self.store.set_aside, self.store.put_back):
            with self.assertRaises(ObjectExists):
                await call(second)
        self.assertEqual(await read(self.store, location), DATA[1:])
