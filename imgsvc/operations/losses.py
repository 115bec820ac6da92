"""Objects that stores should have, and did not when they were asked for: kept for those who look after the server."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from imgsvc.errors import NoSuchImage, ObjectDamaged
from imgsvc.interfaces import IImageCatalogue, IStoreRegistry
from imgsvc.model import Location
from imgsvc.operations.location_order import store_of

MOST: Final = 1000
"""Losses that are kept; further ones are in the log only."""


@define(eq=False)
class Losses:
    """What this process has come upon. Objects of others, which a store only reads, are none of ours to lose."""

    catalogue: IImageCatalogue
    stores: IStoreRegistry
    _noted: dict[tuple[str, str], None] = field(factory=dict, init=False)
    """Store and image, in the order in which they were found."""

    def note(self, image_id: str, location: Location) -> None:
        """An image's object is missing, or has another size than it must have."""
        if len(self._noted) < MOST and not store_of(self.stores, location).info.read_only:
            self._noted[location.store_id, image_id] = None

    async def look(self, store_id: str) -> None:
        """Raises ObjectMissing or ObjectDamaged while an object that was noted is not as it must be.

        Those that are, and those that no image needs any more, are forgotten. Raises also StoreError of other kinds,
        CatalogueUnavailable.
        """
        for noted in [each for each in self._noted if each[0] == store_id]:
            await self._check(*noted)
            self._noted.pop(noted, None)

    async def _check(self, store_id: str, image_id: str) -> None:
        try:
            image = await self.catalogue.image(image_id)
        except NoSuchImage:
            return
        for location in image.locations:
            if location.store_id == store_id and image.size:
                size = await store_of(self.stores, location).size(location)
                if size != image.size:
                    raise ObjectDamaged(store_id, f"image {image_id} has {size} bytes there, not {image.size}.")
