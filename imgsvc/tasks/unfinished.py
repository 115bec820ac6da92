"""Ends the objects that uploads have left unfinished in a store."""

from __future__ import annotations

from imgsvc.errors import NoSuchImage
from imgsvc.interfaces import IImageCatalogue, ILeaseCatalogue, IStore
from imgsvc.model import Image, UnfinishedObject


async def end_unfinished(
    images: IImageCatalogue, leases: ILeaseCatalogue, store: IStore, unfinished: UnfinishedObject
) -> bool:
    """Finalize or discard an unfinished object, if its lease has ended. Returns False, and does nothing, if it has not.

    The object is finalized if its image has a location in the store, and discarded if not. Raises StoreError,
    CatalogueUnavailable.
    """
    name, lease_id = unfinished.name, unfinished.lease_id
    if await leases.is_under_way(store.store_id, name, lease_id):
        return False
    image = await image_or_none(images, name)
    if image is not None and any(location.store_id == store.store_id for location in image.locations):
        await store.finalize(name, lease_id)
    else:
        await store.discard(name, lease_id)
    return True


async def image_or_none(images: IImageCatalogue, image_id: str) -> Image | None:
    """Return the image; None if it does not exist or was deleted."""
    try:
        return await images.image(image_id)
    except NoSuchImage:
        return None
