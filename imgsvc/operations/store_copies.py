"""Deletes one copy of an image, and keeps the others."""

from __future__ import annotations

from attrs import define, evolve

from imgsvc.errors import Conflict, Forbidden, NotFound, UnknownStore, WrongStatus
from imgsvc.interfaces import IStoreRegistry
from imgsvc.model import Caller, Image, Status
from imgsvc.operations.changes import Changes
from imgsvc.operations.deletion import Deletion


@define
class StoreCopies:
    """Deletes the copies of images in single stores."""

    changes: Changes
    stores: IStoreRegistry
    deletion: Deletion

    async def delete(self, caller: Caller, store_id: str, image_id: str) -> None:
        """Delete the copy of an image in a store.

        The checks are made in this order. Raises NotFound: there is only one store. Raises Conflict: the store is
        unknown.
        Raises NoSuchImage, Forbidden, WrongStatus. Raises Forbidden: it is the last copy. Raises NotFound: there is no
        copy in that store. Raises StoreForbidden, ObjectInUse, StoreAway: the copy stays.
        """
        if not self.stores.several:
            raise NotFound("There is only one store.")
        try:
            self.stores.get(store_id)
        except UnknownStore as error:
            raise Conflict(str(error)) from error

        def without(image: Image) -> Image:
            if image.status is not Status.ACTIVE:
                raise WrongStatus(image_id, image.status, "only copies of active images are deleted")
            if len(image.locations) == 1:
                raise Forbidden(f"Image {image_id}: its last copy can only be deleted with the image.")
            left = tuple(location for location in image.locations if location.store_id != store_id)
            if len(left) == len(image.locations):
                raise NotFound(f"Image {image_id} has no copy in store {store_id}.")
            if not left:
                raise Forbidden(f"Image {image_id}: all its copies are in store {store_id}.")
            return evolve(image, locations=left)

        _, pending = await self.changes.change(caller, image_id, without, "delete_image_location", "get_image_location")
        await self.deletion.remove_all(pending)
