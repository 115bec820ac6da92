"""Deletion of images and their data."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.errors import Forbidden, ImgsvcError, ObjectInUse, ObjectMissing, StoreAway, StoreError, StoreForbidden
from imgsvc.event_model import ImageDeleted
from imgsvc.interfaces import IDeletionCatalogue, IEvents, IStore, IStoreRegistry
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Image, Location, PendingDeletion, Status
from imgsvc.operations.access import Access
from imgsvc.operations.location_order import is_remote, store_of
from imgsvc.shield import shielded

log = make_logger()


REFUSED: Final = (StoreForbidden, ObjectInUse, StoreAway)
"""A store has refused to delete, and will refuse until somebody changes its state."""


@define(eq=False)
class Deletion:
    """Deletes images.

    The record is deleted first. A crash in between leaves data that the reaper finds, but never an image without its
    data. If a store refuses, the record is restored. at_work: keys of the locations that are being deleted.
    """

    access: Access
    catalogue: IDeletionCatalogue
    stores: IStoreRegistry
    events: IEvents
    at_work: set[int] = field(factory=set)

    async def delete(self, caller: Caller, image_id: str) -> None:
        """Delete an image, and its data in all stores. Cancellation does not stop the deletion.

        If a store works but cannot delete now, the deletion is tried again later.
        Raises NoSuchImage, Forbidden (protected, not the owner). Raises StoreForbidden, ObjectInUse, StoreAway: the
        image stays, without the copies that were deleted.
        """
        image = await self.access.image(caller, image_id, "delete_image")
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
        await _uncancelled(self._delete(image))

    async def _delete(self, image: Image) -> None:
        await self._require_stores(image.locations)
        await self._remove_all(await self.catalogue.delete(image.id), image.status)
        self.events.publish(ImageDeleted(image))

    async def _require_stores(self, locations: Sequence[Location]) -> None:
        """Check the stores of these locations. Raises StoreAway: a store is away, and cannot tell whether the data is
        gone.
        """
        for location in locations:
            try:
                store = self._store_of(location)
                if store is not None:
                    await store.check()
            except StoreAway:
                raise
            except StoreError as error:
                log.warn("before a delete: {error}", error=str(error))  # the deletion itself will show whether it
                # matters

    def _store_of(self, location: Location) -> IStore | None:
        """The store of a location; None for a web server whose store is not configured any more.

        Raises StoreAway: a store with data of this server is not configured any more.
        """
        try:
            return store_of(self.stores, location)
        except StoreAway:
            if is_remote(location.url):
                return None
            raise

    async def remove_all(self, pending_deletions: Sequence[PendingDeletion]) -> None:
        """Delete the data of locations that an image has lost. Cancellation does not stop the deletion.

        Data that cannot be deleted now is left to the reaper. Raises StoreForbidden, ObjectInUse, StoreAway: a store
        refuses, and the image has these locations again.
        """
        if pending_deletions:
            await _uncancelled(self._remove_all(pending_deletions, None))

    async def _remove_all(self, pending_deletions: Sequence[PendingDeletion], status: Status | None) -> None:
        """status: the former status of the image if it was deleted, else None."""
        refused: dict[PendingDeletion, ImgsvcError] = {}
        keys = {pending.key for pending in pending_deletions}
        self.at_work |= keys
        try:
            for pending in pending_deletions:
                try:
                    await self._remove(pending)
                except REFUSED as error:
                    refused[pending] = error
                except ImgsvcError as error:
                    log.error(
                        "image {image}: its bytes are deleted later: {error}", image=pending.image_id, error=str(error)
                    )
            if refused and await self.catalogue.restore(list(refused), status):
                raise next(iter(refused.values()))
        finally:
            self.at_work -= keys

    async def remove(self, pending: PendingDeletion) -> None:
        """Delete the data of one location, unless another call is deleting it.

        Raises StoreError, CatalogueUnavailable: it can be tried again later.
        """
        if pending.key not in self.at_work:
            await self._remove(pending)

    async def _remove(self, pending: PendingDeletion) -> None:
        location = pending.location
        try:
            store = self._store_of(location)
            if store is not None:
                await store.delete(location)
        except ObjectMissing:
            log.info("image {image}: {url} was gone already", image=pending.image_id, url=location.url)
        await self.catalogue.forget_location(pending.key)


def _uncancelled(work: Coroutine[Any, Any, None]) -> Deferred[None]:
    """A Deferred that fires when `work` ends. Cancelling it does not stop `work`."""
    return shielded(Deferred.fromCoroutine(work), lost=_log_failure)


def _log_failure(failure: Failure) -> None:
    log.error("{error} (nobody waits for the result any more)", error=failure.getErrorMessage())
