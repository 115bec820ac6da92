"""The end of an image, and of its bytes."""

from __future__ import annotations

from collections.abc import Iterable

import txaio
from attrs import define

from imgsvc.errors import Forbidden, ImgsvcError, ObjectMissing
from imgsvc.interfaces import ICatalogue, IStoreRegistry
from imgsvc.model import Caller, DoomedLocation
from imgsvc.operations.access import Access

log = txaio.make_logger()


@define
class Deletion:
    """Deletes images. The record goes first: a crash in between leaves bytes that the reaper finds, never an image
    without its bytes."""

    access: Access
    catalogue: ICatalogue
    stores: IStoreRegistry

    async def delete(self, caller: Caller, image_id: str) -> None:
        """The image is gone, and its bytes as soon as their stores let go of them.

        Raises NoSuchImage, Forbidden (protected, not the owner). A store that cannot delete now is asked again later.
        """
        image = await self.access.image(caller, image_id, "delete_image")
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
        await self.remove_all(await self.catalogue.delete(image_id))

    async def remove_all(self, doomed_locations: Iterable[DoomedLocation]) -> None:
        """As remove, of each of them. What cannot be removed now is left to the reaper."""
        for doomed in doomed_locations:
            try:
                await self.remove(doomed)
            except ImgsvcError as error:
                log.error(
                    "image {image}: its bytes are deleted later: {error}", image=doomed.image_id, error=str(error)
                )

    async def remove(self, doomed: DoomedLocation) -> None:
        """Have a store delete what no image needs any more.

        Raises StoreError, UnknownStore, CatalogueUnavailable: it is tried again later.
        """
        location = doomed.location
        try:
            await self.stores.get(location.store_id).delete(location)
        except ObjectMissing:
            log.info("image {image}: {url} was gone already", image=doomed.image_id, url=location.url)
        await self.catalogue.forget_location(doomed.key)
