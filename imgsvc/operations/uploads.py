"""Uploads: move the data of an image from a producer into a store, and change the image from queued to active."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer

from imgsvc.context import bound, lift_deadline
from imgsvc.errors import (
    BodyCut,
    DigestMismatch,
    ImgsvcError,
    Invalid,
    LeaseLost,
    NoSuchImage,
    SizeMismatch,
    StoreUnavailable,
    WrongStatus,
)
from imgsvc.event_model import ImageQueued, ImageUploaded, ImageUploading
from imgsvc.interfaces import (
    IBudget,
    IEvents,
    IImageCatalogue,
    IStore,
    IStoreRegistry,
    IStoreWriter,
    IThreads,
    IUploadCatalogue,
)
from imgsvc.lease_keeper import LeaseKeeper
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Claim, Image, ProjectLimits, Status, StoredData
from imgsvc.operations.access import Access
from imgsvc.operations.limits import Allowance, Quotas
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from imgsvc.pipeline.inspection_rules import InspectionRules
from imgsvc.pipeline.intake import Intake
from imgsvc.pipeline.signatures import Signatures
from imgsvc.pipeline.start_inspection import start_inspection
from imgsvc.shield import ignore, shielded

log = make_logger()


@frozen
class UploadRequest:
    """The parameters of an upload that the client gives.

    expected_size: bytes; None: unknown. store_id: None: the default store. digests: the raw digests that the data must
    have (RFC 9530), by hashlib's name of the algorithm.
    """

    expected_size: int | None = None
    store_id: str | None = None
    digests: Mapping[str, bytes] = field(factory=dict)


@frozen
class UploadRules:
    """The rules of all uploads.

    lease: length of the lease, in seconds. hash_algorithm: name in hashlib. inspection: which data is refused.
    """

    lease: float = 60.0
    hash_algorithm: str = "sha512"
    inspection: InspectionRules = field(factory=InspectionRules)


@define(eq=False)
class Uploads:
    """Receives the data of images. running: the uploads that have not ended, including their undo."""

    access: Access
    images: IImageCatalogue
    claims: IUploadCatalogue
    stores: IStoreRegistry
    quotas: Quotas
    budget: IBudget
    digest_threads: IThreads
    digest_scheduler: DigestScheduler
    signatures: Signatures
    events: IEvents
    clock: IReactorTime
    rules: UploadRules
    running: set[Upload] = field(factory=set)

    async def put(self, caller: Caller, image_id: str, request: UploadRequest, body: IBodyProducer) -> None:
        """Store all data of `body`, and make the image active.

        All checks that need no data are made before the first byte is read from the body. After any error that comes
        later than the claim, the image is queued again, and no data is kept.
        Raises Invalid, NoSuchImage, Forbidden, WrongStatus, Conflict (its former data is being deleted), TooLarge. For
        signed images raises BadSignature, CertificatesUnavailable. During the transfer also raises SizeMismatch,
        DigestMismatch, BadSignature, FormatMismatch, LeaseLost (the image was deleted), StoreError, BodyCut.
        """
        await self.quotas.before_lookup(caller.project_id, request.expected_size)
        store = self.stores.default if request.store_id is None else self.stores.get(request.store_id)
        image = await self.access.image(caller, image_id, "upload_image")
        if image.status is not Status.QUEUED:
            raise WrongStatus(image_id, image.status, "only a queued image takes data")
        if image.disk_format is None or image.container_format is None:
            raise Invalid(f"Image {image_id}: disk_format and container_format must be set before its data comes.")
        limits = await self.quotas.limits(image.owner)
        allowance = await self.quotas.allowance(image.owner)
        if request.expected_size is not None:
            allowance.check(image_id, request.expected_size)
        claim = await self._claim(image_id, store.store_id, limits)
        upload = Upload(self, caller, claim, store, request, limits, allowance)
        self.running.add(upload)
        self.events.publish(ImageUploading(claim.image))
        await upload.start(body)

    def _claim(self, image_id: str, store_id: str, limits: ProjectLimits | None) -> Deferred[Claim]:
        """Claim the image. If this is cancelled before the claim is there, the claim is released."""

        async def give_back(claim: Claim) -> None:
            try:
                await self.claims.release(image_id, claim.lease_id)
            except ImgsvcError as error:
                log.error("image {image}: left for the reaper: {error}", image=image_id, error=str(error))

        claiming = self.claims.claim(image_id, store_id, self.rules.lease, limits)
        return shielded(claiming, lambda claim: Deferred.fromCoroutine(give_back(claim)), lost=ignore)


class Upload:
    """One upload with its claim. It owns its undo, which also runs after the wait for the upload was cancelled."""

    def __init__(
        self,
        uploads: Uploads,
        caller: Caller,
        claim: Claim,
        store: IStore,
        request: UploadRequest,
        limits: ProjectLimits | None,
        allowance: Allowance,
    ) -> None:
        self._uploads = uploads
        self._caller = caller
        self._claim = claim
        self._store = store
        self._request = request
        self._limits = limits
        self._allowance = allowance
        self._share = uploads.budget.share()
        self._keeper = LeaseKeeper(
            uploads.clock, uploads.rules.lease, self._renew, self.stop, self._stalled, f"image {claim.image.id}"
        )
        self._intake: Intake | None = None
        self._writer: IStoreWriter | None = None
        self._stopped: ImgsvcError | None = None
        self._activating: StoredData | None = None
        """Set before the image is activated with this data."""
        self._outcome: Deferred[None] = Deferred(lambda _: self.stop(BodyCut("The client is gone.")))

    @property
    def image(self) -> Image:
        """The image at the time of the claim."""
        return self._claim.image

    def start(self, body: IBodyProducer) -> Deferred[None]:
        """Start the upload. The Deferred fires with the outcome for the client. Cancel it when the client is gone."""
        Deferred.fromCoroutine(self._run(body)).addErrback(bound(self._broken))
        return self._outcome

    def stop(self, why: ImgsvcError) -> None:
        """End the upload with this error, unless all data has arrived already."""
        if self._intake is None:
            self._stopped = why
        elif not self._intake.complete:
            self._intake.fail(Failure(why))

    async def _run(self, body: IBodyProducer) -> None:
        try:
            self._activating = data = await self._receive(body)
            await self._uploads.claims.activate(self.image.id, self._claim.lease_id, data, self._limits)
        except ImgsvcError as error:
            log.info("image {image}: upload failed: {error}", image=self.image.id, error=str(error))
            await self._undo(Failure(error))
        except Exception:
            failure = Failure()
            log.failure("image {image}: upload failed", failure=failure, image=self.image.id)
            await self._undo(failure)
        else:
            await self._succeed(data)
        finally:
            self._keeper.stop()
            self._share.close()
            self._uploads.running.discard(self)

    async def _receive(self, body: IBodyProducer) -> StoredData:
        """Write all data of the body into the store, and commit it. Raises the errors of Uploads.put."""
        rules, image = self._uploads.rules, self.image
        expected = self._request.expected_size
        threads = self._uploads.digest_threads
        verifier = await self._uploads.signatures.verifier(self._caller, image)
        lift_deadline()
        inspection = await start_inspection(rules.inspection, image, threads)
        writer = self._writer = await self._store.writer(image.id, self._claim.lease_id, expected, self._caller)
        if self._stopped is not None:
            raise self._stopped
        algorithms = {"md5", rules.hash_algorithm, *self._request.digests}
        if verifier is not None:
            algorithms.add(verifier.algorithm)
        digests = self._uploads.digest_scheduler.digests(algorithms)
        self._intake = intake = Intake(
            [writer.write, digests.consume],
            self._share,
            admit=self._admit,
            look=inspection.feed if inspection else None,
        )
        self._keeper.watch(self._movement)
        try:
            await intake.receive(body)
        finally:
            digests.close()

        if expected is not None and intake.size != expected:
            raise SizeMismatch(image.id, expected, intake.size)
        for algorithm, wanted in self._request.digests.items():
            if digests.digest(algorithm) != wanted:
                raise DigestMismatch(f"Image {image.id}: its bytes do not have the {algorithm} that was given.")
        if verifier is not None:
            await threads.run(verifier.check, digests.digest(verifier.algorithm))
        virtual_size = inspection.finish() if inspection else None
        (await self._uploads.quotas.allowance(image.owner)).check(image.id, intake.size)
        location = await writer.commit()
        return StoredData(
            size=intake.size,
            virtual_size=virtual_size,
            checksum=digests.hexdigest("md5"),
            os_hash_algo=rules.hash_algorithm,
            os_hash_value=digests.hexdigest(rules.hash_algorithm),
            location=location,
        )

    def _admit(self, size: int) -> None:
        expected = self._request.expected_size
        if expected is not None and size > expected:
            raise SizeMismatch(self.image.id, expected, size)
        self._allowance.check(self.image.id, size)

    async def _succeed(self, data: StoredData) -> None:
        self._keeper.stop()  # the activation has ended the lease
        log.info(
            "image {image}: active, {size} bytes in store {store}",
            image=self.image.id,
            size=data.size,
            store=self._store.store_id,
        )
        self._uploads.events.publish(ImageUploaded(_activated(self.image, data)))
        self._tell(None)
        await self._finalize()

    async def _undo(self, failure: Failure) -> None:
        """Remove the data, queue the image again, and give the failure to the client. The reaper repeats what fails
        here.

        If the lease was lost before, the client gets that as the failure.
        """
        data = self._activating
        try:
            if data is None:
                await self._abort()
            held = await self._uploads.claims.release(self.image.id, self._claim.lease_id)
            self._keeper.stop()
            if data is not None:
                if not held and await self._is_active(data):  # the image is active: only the response of the database
                    # was lost
                    await self._succeed(data)
                    return
                await self._abort()
            if held:
                self._uploads.events.publish(ImageQueued(evolve(self.image, status=Status.QUEUED)))
            self._tell(failure if held else Failure(LeaseLost(self.image.id)))
        except ImgsvcError as error:
            log.error("image {image}: left for the reaper: {error}", image=self.image.id, error=str(error))
            self._tell(failure)

    async def _abort(self) -> None:
        if self._writer is not None:
            await self._writer.abort()

    async def _is_active(self, data: StoredData) -> bool:
        """Whether the image has this data. It may have been deactivated since."""
        try:
            image = await self._uploads.images.image(self.image.id)
        except NoSuchImage:
            return False
        return data.location in image.locations and data.os_hash_value == image.os_hash_value

    async def _finalize(self) -> None:
        try:
            assert self._writer is not None
            await self._writer.finalize()
        except ImgsvcError as error:
            log.error("image {image}: left for the reaper: {error}", image=self.image.id, error=str(error))

    def _tell(self, result: Failure | None) -> None:
        """Give the outcome to the handler of the request, if it still waits."""
        if not self._outcome.called:
            self._outcome.callback(result)  # a Failure makes it fail

    def _renew(self) -> Deferred[None]:
        return self._uploads.claims.renew(self.image.id, self._claim.lease_id, self._uploads.rules.lease)

    def _movement(self) -> int | None:
        """See Movement. While the upload waits for the client, the timeout of the connection applies instead."""
        intake = self._intake
        assert intake is not None
        return None if intake.idle and not intake.complete else intake.consumed_blocks

    def _stalled(self) -> None:
        """Fail the upload, because the store makes no progress. Its thread cannot be ended, so the lease runs out."""
        self._keeper.stop()
        error = StoreUnavailable(self._store.store_id, f"image {self.image.id}: no progress for too long.")
        self._tell(Failure(error))
        self.stop(error)

    def _broken(self, failure: Failure) -> None:
        log.failure("image {image}: upload broken", failure=failure, image=self.image.id)
        self._tell(failure)


def _activated(image: Image, data: StoredData) -> Image:
    """The image after its activation."""
    return evolve(
        image,
        status=Status.ACTIVE,
        size=data.size,
        virtual_size=data.virtual_size,
        checksum=data.checksum,
        os_hash_algo=data.os_hash_algo,
        os_hash_value=data.os_hash_value,
        locations=(data.location,),
    )
