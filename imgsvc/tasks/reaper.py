"""Ends what dead processes have begun: leases that ran out, objects that nobody finalized, deletes cut short."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from imgsvc.errors import CatalogueUnavailable, ImgsvcError, NoSuchImage, StoreAway, StoreUnavailable, UnknownStore
from imgsvc.event_model import ImageQueued
from imgsvc.interfaces import (
    IDeletionCatalogue,
    IEvents,
    IImageCatalogue,
    IStore,
    IStoreRegistry,
    ITaskCatalogue,
    IUploadCatalogue,
)
from imgsvc.lease_model import Lease, LeaseObject, Task
from imgsvc.logger import make_logger
from imgsvc.model import PendingDeletion, UnfinishedObject
from imgsvc.tasks.unfinished import end_unfinished

log = make_logger()


PATIENCE: Final = 3
"""Failures in a row after which a store is taken to be down, and left alone until the next round."""

Look = tuple[str, ...]
"""What is looked at: one store, all leases, or the expired leases with objects in the same stores."""


@define(eq=False)
class Reaper:
    """Looks at the leases and the stores, and at what the catalogue knows of each, at start and every `interval`.

    A lease is taken over when it has expired by the database's clock and was not renewed for as long as this process
    has watched it: `lease` seconds of its own clock, which does not jump. A clock that was set forward makes all
    leases expire at once, of uploads that run, too. A lease that was given up is taken over at once.

    Any number of processes may do so. Every store is looked at by itself: one that is down, or does not answer, keeps
    no other waiting.

    remove: has a store delete what no image needs. resume: goes on with a task, under this lease. interval, lease:
    seconds. clock: goes by time that has passed, as imgsvc.daemon.clock sees to.
    """

    uploads: IUploadCatalogue
    tasks: ITaskCatalogue
    deletions: IDeletionCatalogue
    images: IImageCatalogue
    stores: IStoreRegistry
    remove: Callable[[PendingDeletion], Awaitable[None]]
    resume: Callable[[Task, Lease], None]
    events: IEvents
    clock: IReactorTime
    interval: float
    lease: float
    _loop: LoopingCall | None = field(default=None, init=False)
    _looks: dict[Look, Deferred[None]] = field(factory=dict, init=False)
    _watched: dict[Lease, float] = field(factory=dict, init=False)
    """The leases as they were seen first, and when that was."""

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
        return Deferred.fromCoroutine(self._all_ended())

    def round(self) -> Deferred[None]:
        """One look at everything, but for what is being looked at still. Fires when all have ended.

        Never fails: what goes wrong is logged and tried again in the next round.
        """
        self._begin_round()
        return Deferred.fromCoroutine(self._all_ended())

    def _begin_round(self) -> None:
        self._begin_look(("leases",), self._leases())
        for store in self.stores.every():
            self._begin_look(("store", store.store_id), self._work(store))

    def _begin_look(self, look: Look, works: AsyncIterator[Awaitable[None]]) -> None:
        if look not in self._looks:
            self._looks[look] = looking = Deferred.fromCoroutine(self._look(look, works))
            looking.addBoth(self._looked, look)

    def _looked(self, _: object, look: Look) -> None:
        del self._looks[look]

    async def _all_ended(self) -> None:
        while self._looks:  # one may have begun others
            await DeferredList(list(self._looks.values()))

    async def _look(self, look: Look, works: AsyncIterator[Awaitable[None]]) -> None:
        """Do all that there is to do, one thing after the other."""
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
            log.failure("reaper: {look}", failure=Failure(), look=" ".join(look))

    # --- leases

    async def _leases(self) -> AsyncIterator[Awaitable[None]]:
        """Begin looks at those that are nobody's any more."""
        expired: defaultdict[Look, list[Lease]] = defaultdict(list)
        for lease in self._unrenewed(await self.uploads.leases()):
            expired["expired", *sorted({each.store_id for each in lease.objects})].append(lease)
        for look, leases in expired.items():
            self._begin_look(look, self._take_over_all(leases))
        yield self._forget_tasks()

    def _unrenewed(self, leases: Sequence[Lease]) -> list[Lease]:
        """Those that were given up, or that this process has seen for so long that they are nobody's any more."""
        now, watched = self.clock.seconds(), self._watched
        self._watched = {lease: watched.get(lease, now) for lease in leases}
        return [lease for lease, since in self._watched.items() if lease.expires_at == 0 or now - since >= self.lease]

    async def _take_over_all(self, leases: Sequence[Lease]) -> AsyncIterator[Awaitable[None]]:
        for lease in leases:
            yield self._take_over(lease)

    async def _take_over(self, seen: Lease) -> None:
        """Go on with an expired task; or remove what an expired upload left, and return its image to the queue.

        If a store does not let go, the lease stays this process's, and is taken over again when it has expired.
        """
        lease = await self.uploads.take_over(seen, self.lease)
        if lease is None:
            return
        if lease.task_id is not None:
            self.resume(await self.tasks.task(lease.task_id), lease)
            log.info("reaper: task {task} of a dead process taken over", task=lease.task_id)
            return
        for each in lease.objects:
            await self._discard(each)
        if await self.uploads.release(lease.resource_id, lease.lease_id):
            with suppress(NoSuchImage):
                self.events.publish(ImageQueued(await self.images.image(lease.resource_id)))
        log.info("reaper: image {image}: upload of a dead process undone", image=lease.resource_id)

    async def _discard(self, left: LeaseObject) -> None:
        """Where a store is away, or not configured any more, what was left is found as unfinished when it is back."""
        try:
            await self.stores.find(left.store_id).discard(left.name, left.lease_id)
        except (StoreAway, UnknownStore) as error:
            log.warn("reaper: image {image}: what it left stays: {error}", image=left.name, error=str(error))

    async def _forget_tasks(self) -> None:
        while await self.tasks.forget_tasks():
            pass

    # --- stores

    async def _work(self, store: IStore) -> AsyncIterator[Awaitable[None]]:
        """One thing after the other that is to be done in a store."""
        after = 0
        while locations := await self.deletions.pending_deletions(store.store_id, after):
            for pending in locations:
                yield self.remove(pending)
            after = locations[-1].key
        for unfinished in await store.unfinished():
            yield self._end(store, unfinished)

    async def _end(self, store: IStore, unfinished: UnfinishedObject) -> None:
        if await end_unfinished(self.images, self.uploads, store, unfinished):
            log.info(
                "reaper: {name}: object of upload {upload} ended", name=unfinished.name, upload=unfinished.lease_id
            )
