"""Ends the work that dead processes have left: expired leases, unfinalized objects, incomplete deletions."""

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
"""Failures in a row after which a check ends, because its store or the catalogue seems to be down."""

Look = tuple[str, ...]
"""The subject of a check: one store, all leases, or the expired leases that have objects in the same stores."""


@define(eq=False)
class Reaper:
    """Checks all leases and stores at the start and then every `interval` seconds. Many processes may do so at once.

    A lease is taken over when it has expired by the database's clock, and this process has watched it for `lease`
    seconds by its own monotonic clock without a renewal. So a database whose clock is set forward, which makes all
    leases expire at once, does not end uploads that still run. A lease that was given up is taken over at once.
    Each store is checked independently: a store that is down or does not answer does not delay the others.
    remove: deletes from its store an object that no image needs any more. resume: goes on with a task under this lease.
    interval, lease: seconds. clock: a monotonic clock, as in imgsvc.daemon.clock.
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
    """The leases, and the times at which this process has first seen them in this state."""

    def start(self) -> None:
        """Start the rounds, the first one at once."""
        self._loop = LoopingCall(self._begin_round)
        self._loop.clock = self.clock
        self._loop.start(self.interval)

    def stop(self) -> Deferred[None]:
        """Start no more rounds. Fires when the current checks have ended."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()
        return Deferred.fromCoroutine(self._all_ended())

    def round(self) -> Deferred[None]:
        """Check everything that is not being checked already. Fires when all checks have ended.

        Never fails: errors are logged, and the work is tried again in the next round.
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
        while self._looks:  # a check may have started others
            await DeferredList(list(self._looks.values()))

    async def _look(self, look: Look, works: AsyncIterator[Awaitable[None]]) -> None:
        """Do the pieces of work one after the other. Stops after PATIENCE failures in a row."""
        failures = 0
        try:
            async for work in works:
                try:
                    await work
                    failures = 0
                except StoreAway:
                    return  # the store has logged it; its work waits
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
        """Start the checks of abandoned leases."""
        expired: defaultdict[Look, list[Lease]] = defaultdict(list)
        for lease in self._unrenewed(await self.uploads.leases()):
            expired["expired", *sorted({each.store_id for each in lease.objects})].append(lease)
        for look, leases in expired.items():
            self._begin_look(look, self._take_over_all(leases))
        yield self._forget_tasks()

    def _unrenewed(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return the leases that were given up, or were watched for `lease` seconds without a renewal."""
        now, watched = self.clock.seconds(), self._watched
        self._watched = {lease: watched.get(lease, now) for lease in leases}
        return [lease for lease, since in self._watched.items() if lease.expires_at == 0 or now - since >= self.lease]

    async def _take_over_all(self, leases: Sequence[Lease]) -> AsyncIterator[Awaitable[None]]:
        for lease in leases:
            yield self._take_over(lease)

    async def _take_over(self, seen: Lease) -> None:
        """Go on with an expired task; or discard the objects of an expired upload and return its image to queued.

        If a store fails, this process keeps the lease, and it is taken over again when it has expired.
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
        """Discard an object. If its store is away or no longer configured, the object is found as unfinished later."""
        try:
            await self.stores.find(left.store_id).discard(left.name, left.lease_id)
        except (StoreAway, UnknownStore) as error:
            log.warn(
                "reaper: image {image}: the object of its upload is not discarded yet: {error}",
                image=left.name,
                error=str(error),
            )

    async def _forget_tasks(self) -> None:
        while await self.tasks.forget_tasks():
            pass

    # --- stores

    async def _work(self, store: IStore) -> AsyncIterator[Awaitable[None]]:
        """Yield the pieces of work in a store."""
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
