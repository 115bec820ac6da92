"""Checks whether the objects of a store have records in the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Final

from attrs import define
from twisted.internet.interfaces import IReactorTime

from imgsvc.errors import ObjectMissing
from imgsvc.interfaces import IImageCatalogue, IInventory, IListedStore
from imgsvc.model import StoredObject
from imgsvc.tasks.doubts import Doubts
from imgsvc.tasks.findings import Finding, Findings, Problem, VerifyRules
from imgsvc.tasks.unfinished import image_or_none

_LAST_TIME: Final = 253_000_000_000
"""In the year 9987."""


@define(eq=False)
class ObjectCheck:
    """Checks all objects of a store. now: returns the time, as in StoredObject.changed_at.

    An object is left over if it is still there after the catalogue was asked for its record: an object is always
    deleted before its record, or before the claim of its upload.
    """

    images: IImageCatalogue
    inventory: IInventory
    store: IListedStore
    findings: Findings
    clock: IReactorTime
    rules: VerifyRules
    now: Callable[[], float]

    async def look(self) -> None:
        """Check all objects. Raises StoreAway, StoreUnavailable, CatalogueUnavailable."""
        doubts = Doubts(self.clock, self._again)
        async with aclosing(self.store.objects()) as batches:
            async for batch in batches:
                known = await self.inventory.known_objects(self.store.store_id, [each.name for each in batch])
                for found in batch:
                    if found.name not in known:
                        await doubts.add(found)
                self.findings.tally.objects += len(batch)
        await doubts.settle()

    async def _again(self, objects: list[StoredObject]) -> None:
        # Unfinished objects belong to uploads, which are checked separately.
        unfinished = {each.name for each in await self.store.unfinished()}
        for found in objects:
            if found.name not in unfinished and not await self._is_known(found.name) and await self._is_there(found):
                await self._left_over(found)

    async def _is_known(self, name: str) -> bool:
        return bool(await self.inventory.known_objects(self.store.store_id, [name]))

    async def _is_there(self, found: StoredObject) -> bool:
        try:
            return await self.store.object(found.name) == found
        except ObjectMissing:
            return False

    async def _left_over(self, found: StoredObject) -> None:
        image = await image_or_none(self.images, found.name)
        text = f"{found.size} bytes of {_day(found.changed_at)}, no record"
        if image is not None:
            text += f"; the image of this id is {image.status}, and has its bytes elsewhere or none"
        finding = Finding(self.store.store_id, Problem.LEFT_OVER, found.name, text)
        if not self.rules.repair:
            self.findings.tell(finding)
        elif image is not None:
            self.findings.tell(finding, "it stays, because the image may be given it")
        elif self.now() - found.changed_at < self.rules.min_age:
            self.findings.tell(finding, "it stays, because it is not old enough")
        else:
            await self.findings.repair(finding, partial(self._set_aside, found))

    async def _set_aside(self, found: StoredObject) -> str | None:
        try:
            place = await self.store.set_aside(found)
        except ObjectMissing:
            return None
        wanted = True
        try:  # a request may have found the object before it was moved, and register it as an image's location
            wanted = await self._is_known(found.name) or await image_or_none(self.images, found.name) is not None
        finally:
            if wanted:
                await self.store.put_back(found)
        return None if wanted else f"moved to {place}"


def _day(time: float) -> str:
    """Return the date of a time. For a year that Python does not support, the nearest date that it does."""
    return datetime.fromtimestamp(min(max(time, 0), _LAST_TIME), UTC).date().isoformat()
