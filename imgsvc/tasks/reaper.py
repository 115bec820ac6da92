"""Ends what dead processes have begun: uploads whose lease ran out, objects that nobody settled, deletes cut short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from imgsvc.errors import CatalogueUnavailable, ImgsvcError, StoreAway, StoreUnavailable
from imgsvc.interfaces import IDeletionCatalogue, IImageCatalogue, ILeaseCatalogue, IStore, IStoreRegistry
from imgsvc.logger import make_logger
from imgsvc.model import DoomedLocation, Image, Lease, Status, UnfinishedObject
from imgsvc.tasks.unfinished import end_unfinished, image_or_none

log = make_logger()


PATIENCE = 3
"""Failures in a row after which a store is taken to be down, and left alone until the next round."""
ELSEWHERE: Final = ""
"""In the place of a store's name: all stores that are not configured any more."""


@define(eq=False)
class Reaper:
    """Looks at the stores, and at what the catalogue knows of each, at start and every `interval` seconds.

    A lease is taken over when it has expired by the database's clock and was not renewed for as long as this process
    has watched it: `lease` seconds of its own clock, which does not jump. A clock that was set forward makes all
    leases expire at once, of uploads that run, too. A lease that was given up is taken over at once.

    Any number of processes may do so. Every store is looked at by itself: one that is down, or does not answer, keeps
    no other waiting.

    remove: has a store delete what no image needs. resume: goes on with a task on an image, under this upload id.
    lease: seconds. clock: goes by time that has passed, as imgsvc.clock sees to.
    """

    images: IImageCatalogue
    leases: ILeaseCatalogue
    deletions: IDeletionCatalogue
    stores: IStoreRegistry
    remove: Callable[[DoomedLocation], Awaitable[None]]
    resume: Callable[[Image, str], None]
    clock: IReactorTime
    interval: float
    lease: float
    _loop: LoopingCall | None = field(default=None, init=False)
    _looks: dict[str, Deferred[None]] = field(factory=dict, init=False)
    _watched: dict[str, dict[Lease, float]] = field(factory=dict, init=False)
    """For each store, its leases as they were seen first, and when that was."""

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._loop = LoopingCall(self._begin_round)
        self._loop.clock = self.clock
        self._loop.start(self.interval)

    def stop(self) -> Deferred[None]:
        """Begin no more rounds. Fires when those under way have ended."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()
        return self._all_ended()

    def round(self) -> Deferred[None]:
        """One look at every store, but for those that are being looked at still. Fires when all have ended.

        Never fails: what goes wrong is logged and tried again in the next round.
        """
        self._begin_round()
        return self._all_ended()

    def _begin_round(self) -> None:
        for store in self.stores.every():
            self._begin_look(store.store_id, self._work(store))
        self._begin_look(ELSEWHERE, self._work_elsewhere())

    def _begin_look(self, store_id: str, work: AsyncIterator[Awaitable[None]]) -> None:
        if store_id not in self._looks:
            self._looks[store_id] = look = Deferred.fromCoroutine(self._look(store_id, work))
            look.addBoth(self._looked, store_id)

    def _looked(self, _: object, store_id: str) -> None:
        del self._looks[store_id]

    def _all_ended(self) -> Deferred[None]:
        return DeferredList(list(self._looks.values())).addCallback(lambda _: None)

    async def _look(self, store_id: str, works: AsyncIterator[Awaitable[None]]) -> None:
        """Do all that there is to do in a store, one thing after the other."""
        failures = 0
        try:
            async for work in works:
                try:
                    await work
                    failures = 0
                except StoreAway:
                    return  # the store has told the operator; what is to be done there waits
                except (StoreUnavailable, CatalogueUnavailable) as error:
                    log.error("reaper: {error}", error=str(error))
                    failures += 1
                    if failures == PATIENCE:
                        return
                except ImgsvcError as error:
                    log.error("reaper: {error}", error=str(error))
        except StoreAway:
            pass
        except ImgsvcError as error:
            log.error("reaper: {error}", error=str(error))
        except Exception:
            log.failure("reaper: store {store}", failure=Failure(), store=store_id)

    async def _work(self, store: IStore) -> AsyncIterator[Awaitable[None]]:
        """One thing after the other that is to be done in a store."""
        for lease in self._unrenewed(store.store_id, await self.leases.leases(store.store_id)):
            yield self._take_over(store, lease)
        after = 0
        while locations := await self.deletions.doomed_locations(store.store_id, after):
            for doomed in locations:
                yield self.remove(doomed)
            after = locations[-1].key
        for unfinished in await store.unfinished():
            yield self._end(store, unfinished)

    async def _work_elsewhere(self) -> AsyncIterator[Awaitable[None]]:
        """What is to be done about stores that are not configured any more."""
        leases = await self.leases.leases_elsewhere([store.store_id for store in self.stores.every()])
        for lease in self._unrenewed(ELSEWHERE, leases):
            yield self._take_over(None, lease)

    def _unrenewed(self, store_id: str, leases: Sequence[Lease]) -> list[Lease]:
        """Those that were given up, or that this process has seen for so long that they are nobody's any more."""
        now, watched = self.clock.seconds(), self._watched.get(store_id, {})
        self._watched[store_id] = seen = {lease: watched.get(lease, now) for lease in leases}
        return [lease for lease, since in seen.items() if lease.expires_at == 0 or now - since >= self.lease]

    async def _take_over(self, store: IStore | None, lease: Lease) -> None:
        """Remove what an expired upload left, and return its image to the queue; or go on with an expired task.

        If the store does not let go, the claim stays this process's, and is taken over again when it has expired. If it
        is away (None: not configured), the image need not wait: what was left is found as unfinished when it is back.
        """
        upload_id = await self.leases.take_over(lease, self.lease)
        if upload_id is None:
            return
        image = await image_or_none(self.images, lease.image_id)
        if image is not None and image.status is not Status.SAVING:
            self.resume(image, upload_id)
            log.info("reaper: image {image}: task of a dead process taken over", image=image.id)
            return
        try:
            if store is not None:
                await store.discard(lease.image_id, lease.upload_id)
        except StoreAway as error:
            log.warn("reaper: image {image}: what it left stays: {error}", image=lease.image_id, error=str(error))
        await self.leases.release(lease.image_id, upload_id)
        log.info("reaper: image {image}: upload of a dead process undone", image=lease.image_id)

    async def _end(self, store: IStore, unfinished: UnfinishedObject) -> None:
        if await end_unfinished(self.images, self.leases, store, unfinished):
            log.info(
                "reaper: {name}: object of upload {upload} ended", name=unfinished.name, upload=unfinished.upload_id
            )
