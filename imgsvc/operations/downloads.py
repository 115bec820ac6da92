"""The bytes of an image on their way out."""

from __future__ import annotations

from collections.abc import Sequence

import txaio
from attrs import define, frozen

from imgsvc.errors import Forbidden, Invalid, ObjectMissing, StoreError, StoreUnavailable, UnknownStore
from imgsvc.interfaces import IOutlet, IStoreReader, IStoreRegistry
from imgsvc.model import Caller, Image, Location, Span, Status
from imgsvc.operations.access import Access
from imgsvc.operations.places import by_weight, preferring
from imgsvc.pipeline.delivery import Delivery

log = txaio.make_logger()


@frozen
class Source:
    """An image whose bytes may be read by the caller. size: bytes."""

    image: Image
    size: int
    locations: Sequence[Location]


@define
class Downloads:
    """Opens images for reading, and sends them."""

    access: Access
    stores: IStoreRegistry
    delivery: Delivery

    async def find(self, caller: Caller, image_id: str, prefer: Sequence[str] = ()) -> Source | None:
        """What there is to read; None if the image has no data (yet). prefer: ids of stores to try before the others.

        Raises NoSuchImage; Forbidden for those who may not download, or choose the store, and for a deactivated image
        to all but admins; Invalid for a preference where there is but one store, UnknownStore.
        """
        image = await self.access.image(caller, image_id, "download_image")
        if image.status is Status.DEACTIVATED and not caller.is_admin:
            raise Forbidden(
                f"Image {image_id} is deactivated: only administrators download it until it is reactivated."
            )
        if prefer:
            self.access.check(caller, image, "download_from_store")
            if not self.stores.several:
                raise Invalid("There is but one store: none can be preferred.")
            for store_id in prefer:
                self.stores.get(store_id)
        if image.status not in (Status.ACTIVE, Status.DEACTIVATED) or not image.locations or image.size is None:
            return None
        return Source(image, image.size, preferring(prefer, by_weight(self.stores, image.locations)))

    async def open(self, source: Source, span: Span) -> IStoreReader | None:
        """A reader of the first location that opens; None if every copy is missing from its store.

        Raises the last StoreError if none opens and one of them may be there. The caller ends the reader.
        """
        failed: StoreError | None = None
        for location in source.locations:
            try:
                reader: IStoreReader = await self.stores.get(location.store_id).reader(location, span)
                return reader
            except ObjectMissing as error:
                log.error("image {image}: {error}", image=source.image.id, error=str(error))
            except StoreError as error:
                log.error("image {image}: {error}", image=source.image.id, error=str(error))
                failed = error
            except UnknownStore as error:
                log.error("image {image}: {error}", image=source.image.id, error=str(error))
                failed = StoreUnavailable(location.store_id, "it is not in the configuration any more.")
        if failed is not None:
            raise failed
        return None

    async def send(self, reader: IStoreReader, outlet: IOutlet) -> None:
        """Write all of the reader to the client; see Delivery.send."""
        await self.delivery.send(reader, outlet)
