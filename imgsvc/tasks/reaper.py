"""Ends what dead processes have begun: uploads whose lease ran out, objects that nobody settled, deletes cut short."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import txaio
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from imgsvc.errors import ImgsvcError, NoSuchImage
from imgsvc.interfaces import ICatalogue, IStore, IStoreRegistry
from imgsvc.model import DoomedLocation, ExpiredUpload, Image, UnfinishedObject

log = txaio.make_logger()


@define(eq=False)
class Reaper:
    """Looks at the catalogue and the stores at start and every `interval` seconds. Any number of processes may do so.

    remove: has a store delete what no image needs; never fails. lease: seconds for which a taken over upload is this
    process's to clean up.
    """

    catalogue: ICatalogue
    stores: IStoreRegistry
    remove: Callable[[DoomedLocation], Awaitable[bool]]
    clock: IReactorTime
    interval: float
    lease: float
    _loop: LoopingCall | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._loop = LoopingCall(self.round)
        self._loop.clock = self.clock
        self._loop.start(self.interval)

    def stop(self) -> Deferred[None] | None:
        """Begin no more rounds. Deferred of the one that is under way."""
        loop, self._loop = self._loop, None
        if loop is None or not loop.running:
            return None
        ended = loop.deferred
        loop.stop()
        return None if ended is None else ended.addCallback(lambda _: None)

    def round(self) -> Deferred[None]:
        """One look at everything. Never fails: what goes wrong is logged and tried again in the next round."""
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        try:
            for expired in await self.catalogue.expired_uploads():
                await self._take_over(expired)
            for doomed in await self.catalogue.doomed_locations():
                await self.remove(doomed)
        except ImgsvcError as error:
            log.error("reaper: {error}", error=str(error))
        for store in self.stores.all():
            try:
                for unfinished in await store.unfinished():
                    await self._end(store, unfinished)
            except ImgsvcError as error:
                log.error("reaper: {error}", error=str(error))

    async def _take_over(self, expired: ExpiredUpload) -> None:
        """Remove what an expired upload left, and return its image to the queue."""
        upload_id = await self.catalogue.take_over(expired, self.lease)
        if upload_id is None:
            return
        try:
            await self.stores.get(expired.store_id).discard(expired.image_id, expired.upload_id)
        except ImgsvcError as error:
            # The claim is this process's now: when it has expired, the next round tries again.
            log.error("reaper: image {image}: {error}", image=expired.image_id, error=str(error))
            return
        await self.catalogue.release(expired.image_id, upload_id)
        log.info("reaper: image {image}: upload of a dead process undone", image=expired.image_id)

    async def _end(self, store: IStore, unfinished: UnfinishedObject) -> None:
        """Settle or discard an object that no claim stands for any more.

        Its claim ended either with an active image, whose object it is, or without.
        """
        name, upload_id = unfinished.name, unfinished.upload_id
        if await self.catalogue.is_claimed(name, upload_id):
            return
        try:
            image: Image | None = await self.catalogue.image(name)
        except NoSuchImage:
            image = None
        if image is not None and any(location.store_id == store.store_id for location in image.locations):
            await store.settle(name, upload_id)
        else:
            await store.discard(name, upload_id)
        log.info("reaper: {name}: object of upload {upload} ended", name=name, upload=upload_id)
