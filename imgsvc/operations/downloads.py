"""Downloads of the bytes of images."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, frozen

from imgsvc.context import lift_deadline
from imgsvc.errors import DataMissing, Forbidden, Invalid, ObjectDamaged, ObjectMissing, PartUnavailable, StoreError
from imgsvc.event_model import ImageNotSent, ImageSent
from imgsvc.interfaces import IEvents, IResponseSink, IStoreReader, IStoreRegistry
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Image, Location, Span, Status
from imgsvc.operations.access import Access
from imgsvc.operations.location_order import by_weight, preferring, store_of
from imgsvc.operations.losses import Losses
from imgsvc.pipeline.delivery import Delivery

log = make_logger()


@frozen
class Source:
    """An image whose bytes the caller may read.

    size: of the image, in bytes. locations: in the order in which they are tried.
    """

    caller: Caller
    image: Image
    size: int
    locations: Sequence[Location]


@define
class Downloads:
    """Opens images for reading, and sends them."""

    access: Access
    stores: IStoreRegistry
    delivery: Delivery
    losses: Losses
    events: IEvents

    async def find(self, caller: Caller, image_id: str, prefer: Sequence[str] = ()) -> Source | None:
        """Find the bytes of an image; None if it has no data. prefer: ids of stores that are tried before the others.

        Raises NoSuchImage. Raises Forbidden: the caller may not download, or not choose the store, or the image is
        deactivated and the caller is not an administrator. Raises Invalid: a store is preferred, and there is only one.
        Raises UnknownStore.
        """
        image = await self.access.image(caller, image_id, "download_image")
        if image.status is Status.DEACTIVATED and not caller.is_admin:
            raise Forbidden(
                f"Image {image_id} is deactivated: only administrators download it until it is reactivated."
            )
        if prefer:
            self.access.check(caller, image, "download_from_store")
            if not self.stores.several:
                raise Invalid("There is only one store, so none can be preferred.")
            for store_id in prefer:
                self.stores.get(store_id)
        if image.status not in (Status.ACTIVE, Status.DEACTIVATED) or image.size is None:
            return None
        return Source(caller, image, image.size, preferring(prefer, by_weight(self.stores, image.locations)))

    async def open(self, source: Source, span: Span) -> IStoreReader | None:
        """Open a reader on the first location that works; None for an empty image that is in no store.

        span: the bytes to read. For a part of an image, copies in stores that can read any part are tried first. The
        caller ends the reader. Raises StoreError: no location opens, and at least one of them may exist. It is the
        error of the last such location; PartUnavailable is raised only if there is no other. Raises DataMissing: no
        location exists.
        """
        lift_deadline()
        failed: StoreError | None = None
        for location in self._suited(source, span):
            try:
                store = store_of(self.stores, location)
                return await store.reader(location, span, source.size or None, source.caller)
            except StoreError as error:
                log.error("image {image}: {error}", image=source.image.id, error=str(error))
                if isinstance(error, ObjectMissing | ObjectDamaged):
                    self.losses.note(source.image.id, location)
                if isinstance(error, PartUnavailable):
                    failed = failed or error
                elif not isinstance(error, ObjectMissing):
                    failed = error
        if failed is not None:
            raise failed
        if source.size:
            raise DataMissing(source.image.id)
        return None

    def _suited(self, source: Source, span: Span) -> Sequence[Location]:
        """The locations in the order in which they are tried for these bytes."""
        if span == Span(0, source.size) or len(source.locations) == 1:
            return source.locations
        whole_only = {store.store_id for store in self.stores.all() if not store.info.can_range}
        return sorted(source.locations, key=lambda location: location.store_id in whole_only)

    async def send(self, image: Image, reader: IStoreReader, sink: IResponseSink) -> None:
        """Write all bytes of a reader of the image to the client. See Delivery.send."""
        try:
            await self.delivery.send(reader, sink)
        except Exception:
            self.events.publish(ImageNotSent(image, reader.length, sink.sent))
            raise
        self.events.publish(ImageSent(image, reader.length))

    def handed_over(self, image: Image, reader: IStoreReader) -> None:
        """End a reader of the image whose bytes the proxy sends. It does not say whether the client receives them."""
        reader.stopProducing()
        self.events.publish(ImageSent(image, reader.length))
