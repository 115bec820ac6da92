"""The kind of task that reads images which were registered by location, and computes their digests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from attrs import define, field, frozen
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.errors import (
    FormatMismatch,
    ImageChanged,
    ImgsvcError,
    Invalid,
    ObjectMissing,
    StoreAway,
    StoreError,
    TaskStalled,
)
from imgsvc.interfaces import IBudget, IImageCatalogue, IStoreRegistry, ITaskKind, ITaskWork, IThreads, Verdict
from imgsvc.lease_model import TaskType
from imgsvc.logger import make_logger
from imgsvc.model import Image, PendingDeletion, Span
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from imgsvc.pipeline.inspection_rules import InspectionRules
from imgsvc.pipeline.intake import Intake
from imgsvc.pipeline.start_inspection import start_inspection
from imgsvc.tasks.outcomes import Digests, Result, after_reading, failure

log = make_logger()


@frozen
class HashRules:
    """The rules for reading. retries: how often a failed read is repeated. inspection: which data is refused."""

    retries: int = 3
    inspection: InspectionRules = field(factory=InspectionRules)


@implementer(ITaskKind)
@define(eq=False)
class LocationHashing:
    """Reads and hashes the data of an image.

    All it needs is in the image: the location, os_hash_algo and, while the image is `importing`, the os_hash_value that
    the data must have.
    remove: deletes from its store an object that no image needs any more.
    """

    images: IImageCatalogue
    stores: IStoreRegistry
    remove: Callable[[PendingDeletion], Awaitable[None]]
    budget: IBudget
    digest_threads: IThreads
    digest_scheduler: DigestScheduler
    rules: HashRules
    type: ClassVar[str] = TaskType.HASH_LOCATION

    @property
    def retries(self) -> int:
        """See ITaskKind."""
        return self.rules.retries

    def judge(self, error: ImgsvcError) -> Verdict:
        """See ITaskKind. While a store is away, its objects are not lost."""
        if isinstance(error, StoreAway):
            return Verdict.LEAVE
        if isinstance(error, ObjectMissing | Invalid):
            return Verdict.FAIL
        return Verdict.RETRY if isinstance(error, StoreError | TaskStalled) else Verdict.LEAVE

    async def run(self, work: ITaskWork) -> None:
        """See ITaskKind."""
        while True:
            image = await self.images.image(_image_id(work))
            result: Result
            try:
                result = await self._digests(work, image)
            except FormatMismatch as error:
                work.check()
                log.warn("image {image}: its location is refused: {error}", image=image.id, error=str(error))
                result = error
            if await self._keep(work, image, result):
                return

    async def failed(self, work: ITaskWork, error: ImgsvcError) -> None:
        """See ITaskKind."""
        log.warn("image {image}: not hashed: {error}", image=work.task.image_id, error=str(error))
        while not await self._keep(work, await self.images.image(_image_id(work)), error):
            pass

    async def _digests(self, work: ITaskWork, image: Image) -> Digests:
        """Read the data and return its digests.

        Raises StoreError; Invalid if there is nothing to read any more; FormatMismatch; the reason for which the task
        has to stop.
        """
        if not image.locations or image.os_hash_algo is None or image.size is None:
            raise Invalid(f"Image {image.id} has no location any more.")
        location = image.locations[0]
        store, span = self.stores.get(location.store_id), Span(0, image.size)
        inspection = await start_inspection(self.rules.inspection, image, self.digest_threads)
        reader = await work.wait(lambda: store.reader(location, span, image.size))
        share = self.budget.share()
        digests = self.digest_scheduler.digests({"md5", image.os_hash_algo})
        intake = Intake([digests.consume], share, look=inspection.feed if inspection else None)
        work.watch(lambda: intake.size)
        try:
            await work.wait(lambda: intake.receive(reader), lambda why: intake.fail(Failure(why)))
        finally:
            reader.stopProducing()
            digests.close()
            share.close()
        if inspection is not None:
            inspection.finish()
        return Digests(digests.hexdigest("md5"), digests.hexdigest(image.os_hash_algo))

    async def _keep(self, work: ITaskWork, read: Image, result: Result) -> bool:
        """Write the result to the image as it is now.

        Returns False if the formats, for which the data was inspected, were changed meanwhile: the data must be read
        again.
        """
        while True:
            image = await self.images.image(read.id)
            if _formats(image) != _formats(read):
                return False
            changed = after_reading(image, result)
            try:
                pending = await work.end(image, changed, failure(image, result))
            except ImageChanged:
                continue
            break
        log.info(
            "image {image}: {status}, {outcome}",
            image=image.id,
            status=changed.status,
            outcome="not hashed" if changed.os_hash_value is None else "hashed",
        )
        for location in pending:
            await self.remove(location)
        return True


def _image_id(work: ITaskWork) -> str:
    image_id = work.task.image_id
    if image_id is None:
        raise Invalid(f"Task {work.task.id} has no image.")
    return image_id


def _formats(image: Image) -> tuple[str | None, str | None]:
    return image.disk_format, image.container_format
