"""What uploads have left in a store: how it is ended when nobody is at work on it."""

from __future__ import annotations

from imgsvc.errors import NoSuchImage
from imgsvc.interfaces import IImageCatalogue, ILeaseCatalogue, IStore
from imgsvc.model import Image, UnfinishedObject


async def end_unfinished(
    images: IImageCatalogue, leases: ILeaseCatalogue, store: IStore, unfinished: UnfinishedObject
) -> bool:
    """Finalize or discard an object that no lease stands for any more; False, and nothing is done, if one does.

    Its lease ended either with an active image, whose object it is, or without. Raises StoreError,
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
    """None if it is deleted, or never was."""
    try:
        return await images.image(image_id)
    except NoSuchImage:
        return None
