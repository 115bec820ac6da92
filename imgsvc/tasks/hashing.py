"""Reads images that were registered by their location, and computes their digests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from imgsvc.errors import (
    ClaimLost,
    FormatMismatch,
    ImageChanged,
    ImgsvcError,
    NoSuchImage,
    ObjectMissing,
    StoreAway,
    StoreError,
    StoreUnavailable,
    UnknownStore,
)
from imgsvc.interfaces import IBudget, IImageCatalogue, IStoreReader, IStoreRegistry, ITaskCatalogue, IThreads
from imgsvc.logger import make_logger
from imgsvc.model import DoomedLocation, Image, Location, Span
from imgsvc.pipeline.digests import Digest
from imgsvc.pipeline.inspection_rules import InspectionRules
from imgsvc.pipeline.intake import Intake
from imgsvc.tasks.outcomes import Digests, Result, after_reading

log = make_logger()

AT_ONCE: Final = 4
"""Images of one owner that are read at a time. The others keep their leases and wait: the slow servers of one project
hold up nobody else's images."""
PAUSE: Final = 1.0
"""Seconds before the first repetition; each further one comes after twice as many."""
RENEWALS_IN_A_LEASE: Final = 3
STALLED_LEASES: Final = 3
"""Leases for which a store may give nothing before the attempt is given up."""


@frozen
class HashRules:
    """lease: seconds. retries: how often a read that fails is repeated. inspection: what bytes are refused."""

    lease: float = 60.0
    retries: int = 3
    inspection: InspectionRules = field(factory=InspectionRules)


@define(eq=False)
class Hashing:
    """The owner of all hash tasks of this process. `running` holds them by the id of their image.

    A task finds all that it needs in the image, so that any process can go on with one that was left: the location,
    os_hash_algo, and, while the image is `importing`, the os_hash_value that the bytes must have.
    """

    images: IImageCatalogue
    tasks: ITaskCatalogue
    stores: IStoreRegistry
    remove: Callable[[DoomedLocation], Awaitable[None]]
    budget: IBudget
    digest_threads: IThreads
    clock: IReactorTime
    rules: HashRules
    running: dict[str, HashTask] = field(factory=dict, init=False)
    _turns: WeakValueDictionary[str | None, DeferredSemaphore] = field(factory=WeakValueDictionary, init=False)
    _stopped: bool = field(default=False, init=False)

    def begin(self, image: Image, upload_id: str) -> None:
        """Begin, or go on with, the task of an image under its claim. Nobody waits for it."""
        if self._stopped or image.id in self.running:
            return
        self.running[image.id] = task = HashTask(self, image, upload_id)
        task.ended.addCallback(lambda _: self.running.pop(image.id))
        task.start()

    def turns(self, owner: str | None) -> DeferredSemaphore:
        """Those of an owner's images. Whoever waits for one, or has one, keeps it."""
        return self._turns.setdefault(owner, DeferredSemaphore(AT_ONCE))

    def cancel(self, image_id: str) -> None:
        """The image is deleted: its digests are of no use."""
        task = self.running.get(image_id)
        if task is not None:
            task.stop(ClaimLost(image_id))

    def stop(self) -> Deferred[None]:
        """End all tasks, so that another process can go on with them at once. Fires when they have ended."""
        self._stopped = True
        tasks = list(self.running.values())
        for task in tasks:
            task.stop(CancelledError())
        return DeferredList([task.ended for task in tasks]).addCallback(lambda _: None)


class HashTask:
    """One image that is read and hashed."""

    def __init__(self, hashing: Hashing, image: Image, upload_id: str) -> None:
        self.ended: Deferred[None] = Deferred()
        self._hashing = hashing
        self._image = image
        self._upload_id = upload_id
        self._stopped: Exception | None = None
        self._intake: Intake | None = None
        self._opening: Deferred[IStoreReader] | None = None
        self._waiting: Deferred[Any] | None = None
        self._seen = 0
        self._still = 0
        self._lease = LoopingCall(self._tick)
        self._lease.clock = hashing.clock

    def start(self) -> None:
        """Begin. `ended` fires when all is over."""
        self._lease.start(self._hashing.rules.lease / RENEWALS_IN_A_LEASE, now=False)
        Deferred.fromCoroutine(self._run()).addErrback(self._broken).addBoth(self._over)

    def stop(self, why: Exception) -> None:
        """End: CancelledError leaves the task to others, ClaimLost gives it up."""
        if self._stopped is None:
            self._stopped = why
            if self._waiting is not None:
                self._waiting.cancel()
            self._break_off(why)

    def _break_off(self, why: Exception) -> None:
        """End the attempt that is under way, if one is."""
        if self._intake is not None:
            self._intake.fail(Failure(why))
        elif self._opening is not None:
            self._opening.cancel()

    # --- the work

    async def _run(self) -> None:
        image_id, turns = self._image.id, self._hashing.turns(self._image.owner)
        try:
            while True:
                await self._wait(turns.acquire)
                try:
                    result = await self._read()
                finally:
                    turns.release()
                if await self._keep(result):
                    break
        except CancelledError:
            await self._hashing.tasks.renew(image_id, self._upload_id, 0)  # the next one need not wait
            log.info("image {image}: hashing is left to the next process", image=image_id)
        except (ClaimLost, NoSuchImage):
            await self._hashing.tasks.release(image_id, self._upload_id)
            log.info("image {image}: gone before it was hashed", image=image_id)

    async def _read(self) -> Result:
        try:
            return await self._repeatedly()
        except FormatMismatch as error:
            self._raise_if_stopped()
            log.warn("image {image}: its location is refused: {error}", image=self._image.id, error=str(error))
            return error

    async def _repeatedly(self) -> Digests | None:
        """The digests; None if the bytes cannot be read. Raises StoreAway, and why the task was stopped."""
        pause = PAUSE
        for left in reversed(range(self._hashing.rules.retries + 1)):
            try:
                return await self._compute()
            except (StoreError, UnknownStore) as error:
                self._raise_if_stopped()  # which may be what it fails of
                if isinstance(error, StoreAway):
                    raise  # the bytes are not gone: whoever takes the lease over tries again
                log.warn("image {image}: not hashed: {error}", image=self._image.id, error=str(error))
                if isinstance(error, ObjectMissing | UnknownStore):
                    break
            if left:
                await self._wait(partial(deferLater, self._hashing.clock, pause))
                pause *= 2
        return None

    async def _compute(self) -> Digests:
        """One attempt. Raises StoreError, UnknownStore, FormatMismatch, and why the task was stopped."""
        image, hashing = self._image, self._hashing
        assert image.os_hash_algo is not None and image.size is not None
        inspection = await hashing.rules.inspection.inspection(image, hashing.digest_threads)
        reader = await self._open(image.locations[0], image.size)
        share = hashing.budget.share()
        digests = {name: Digest(name, hashing.digest_threads) for name in {"md5", image.os_hash_algo}}
        self._intake = Intake(
            [digest.consume for digest in digests.values()], share, look=inspection.feed if inspection else None
        )
        try:
            await self._intake.receive(reader)
        finally:
            self._intake = None
            reader.stopProducing()
            share.close()
        if inspection is not None:
            inspection.finish()
        return Digests(digests["md5"].hexdigest(), digests[image.os_hash_algo].hexdigest())

    async def _open(self, location: Location, size: int) -> IStoreReader:
        self._raise_if_stopped()
        self._opening = self._hashing.stores.get(location.store_id).reader(location, Span(0, size), size)
        try:
            return await self._opening
        except CancelledError:
            self._raise_if_stopped()
            raise StoreUnavailable(location.store_id, "it does not answer.") from None
        finally:
            self._opening = None

    async def _wait(self, begin: Callable[[], Deferred[Any]]) -> None:
        """Wait for something that is no attempt. Raises why the task was stopped."""
        self._raise_if_stopped()
        self._waiting = begin()
        try:
            await self._waiting
        except CancelledError:
            self._raise_if_stopped()
        finally:
            self._waiting = None

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    async def _keep(self, result: Result) -> bool:
        """Record what came out, on top of what the image is now.

        False: its formats, which the bytes were inspected for, were changed meanwhile, and it must be read again.
        """
        while True:
            image = await self._hashing.images.image(self._image.id)
            if _formats(image) != _formats(self._image):
                self._image = image
                return False
            changed = after_reading(image, result)
            try:
                _, doomed = await self._hashing.tasks.end_task(image, changed, self._upload_id)
            except ImageChanged:
                continue
            break
        log.info(
            "image {image}: {status}, {outcome}",
            image=image.id,
            status=changed.status,
            outcome="not hashed" if changed.os_hash_value is None else "hashed",
        )
        for location in doomed:
            await self._hashing.remove(location)
        return True

    # --- around it

    def _tick(self) -> Deferred[None]:
        """Keep the lease, and notice an attempt that does not move."""
        rules = self._hashing.rules
        size = self._intake.size if self._intake is not None else 0
        self._still = self._still + 1 if size == self._seen and self._waiting is None else 0
        self._seen = size
        if self._still >= STALLED_LEASES * RENEWALS_IN_A_LEASE:
            self._still = 0
            self._break_off(StoreUnavailable(self._image.locations[0].store_id, "no progress for too long."))
        renewed = self._hashing.tasks.renew(self._image.id, self._upload_id, rules.lease)
        return renewed.addErrback(self._not_renewed)

    def _not_renewed(self, failure: Failure) -> None:
        log.error("image {image}: lease not renewed: {error}", image=self._image.id, error=failure.getErrorMessage())
        if isinstance(failure.value, ClaimLost):
            self.stop(failure.value)

    def _broken(self, failure: Failure) -> None:
        if failure.check(ImgsvcError):
            error = failure.getErrorMessage()
            log.error("image {image}: hashing is left to the reaper: {error}", image=self._image.id, error=error)
        else:
            log.failure("image {image}: hashing broken", failure=failure, image=self._image.id)

    def _over(self, _: object) -> None:
        if self._lease.running:
            self._lease.stop()
        self.ended.callback(None)


def _formats(image: Image) -> tuple[str | None, str | None]:
    return image.disk_format, image.container_format
