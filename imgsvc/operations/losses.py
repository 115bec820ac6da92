"""Remembers objects that were missing or damaged in a store when they were read, for the health check."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from imgsvc.errors import NoSuchImage, ObjectDamaged
from imgsvc.interfaces import IImageCatalogue, IStoreRegistry
from imgsvc.model import Location
from imgsvc.operations.location_order import store_of

MOST: Final = 1000
"""Losses that are remembered. Further ones are only logged."""


@define(eq=False)
class Losses:
    """The losses that this process has found. Objects in read-only stores do not count: others own them."""

    catalogue: IImageCatalogue
    stores: IStoreRegistry
    _noted: dict[tuple[str, str], None] = field(factory=dict, init=False)
    """Pairs of store id and image id, in the order in which they were found."""

    def note(self, image_id: str, location: Location) -> None:
        """Note that an object of an image is missing, or has the wrong size."""
        if len(self._noted) < MOST and not store_of(self.stores, location).info.read_only:
            self._noted[location.store_id, image_id] = None

    async def look(self, store_id: str) -> None:
        """Check the noted objects of a store again, and forget those that are correct now or that no image needs any
        more.

        Raises ObjectMissing, ObjectDamaged: an object is still missing or damaged. Raises other errors of the store,
        and CatalogueUnavailable.
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
