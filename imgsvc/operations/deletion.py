"""The end of an image, and of its bytes."""

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
"""A store has not deleted, and will not before somebody sees to it."""


@define(eq=False)
class Deletion:
    """Deletes images. The record goes first: a crash in between leaves bytes that the reaper finds, never an image
    without its bytes. Where a store refuses, the record comes back.

    at_work: keys of the locations that are being deleted.
    """

    access: Access
    catalogue: IDeletionCatalogue
    stores: IStoreRegistry
    events: IEvents
    at_work: set[int] = field(factory=set)

    async def delete(self, caller: Caller, image_id: str) -> None:
        """The image is gone, and its bytes as soon as their stores let go of them.

        Raises NoSuchImage; Forbidden (protected, not the owner); StoreForbidden, ObjectInUse, StoreAway: the image is
        as it was, less the copies that were deleted. A store that is there and cannot delete now is asked again later.
        Goes on to its end although nobody waits for it any more.
        """
        image = await self.access.image(caller, image_id, "delete_image")
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
        await _to_the_end(self._delete(image))

    async def _delete(self, image: Image) -> None:
        await self._require_stores(image.locations)
        await self._remove_all(await self.catalogue.delete(image.id), image.status)
        self.events.publish(ImageDeleted(image))

    async def _require_stores(self, locations: Sequence[Location]) -> None:
        """Raises StoreAway if the store of one of them is away: it could not say whether the bytes are gone."""
        for location in locations:
            try:
                store = self._store_of(location)
                if store is not None:
                    await store.check()
            except StoreAway:
                raise
            except StoreError as error:
                log.warn("before a delete: {error}", error=str(error))  # the delete itself will show

    def _store_of(self, location: Location) -> IStore | None:
        """The store that keeps the bytes; None for those on a web server whose store is not configured any more.

        Raises StoreAway for bytes of ours in a store that is not.
        """
        try:
            return store_of(self.stores, location)
        except StoreAway:
            if is_remote(location.url):
                return None
            raise

    async def remove_all(self, pending_deletions: Sequence[PendingDeletion]) -> None:
        """Have stores delete what an image has lost. What cannot be removed now is left to the reaper.

        Raises StoreForbidden, ObjectInUse, StoreAway when a store refuses: the image has those locations again. Goes on
        to its end although nobody waits for it any more.
        """
        if pending_deletions:
            await _to_the_end(self._remove_all(pending_deletions, None))

    async def _remove_all(self, pending_deletions: Sequence[PendingDeletion], status: Status | None) -> None:
        """status: the one that the image had, if it was deleted."""
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
        """Have a store delete what no image needs any more, unless that is being done.

        Raises StoreError, CatalogueUnavailable: it is tried again later.
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


def _to_the_end(work: Coroutine[Any, Any, None]) -> Deferred[None]:
    """Fires as `work` ends, and does not end it when it is cancelled."""
    return shielded(Deferred.fromCoroutine(work), lost=_tell_nobody)


def _tell_nobody(failure: Failure) -> None:
    log.error("{error}, and nobody to tell", error=failure.getErrorMessage())
