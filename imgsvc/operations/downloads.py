"""The bytes of an image on their way out."""

from __future__ import annotations

from collections.abc import Sequence

import txaio
from attrs import define, frozen

from imgsvc.errors import Forbidden, ObjectMissing, StoreError, StoreUnavailable, UnknownStore
from imgsvc.interfaces import IOutlet, IStoreReader, IStoreRegistry
from imgsvc.model import Caller, Image, Location, Span, Status
from imgsvc.operations.access import Access
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

    async def find(self, caller: Caller, image_id: str) -> Source | None:
        """What there is to read; None if the image has no data (yet).

        Raises NoSuchImage; Forbidden for those who may not download, and for a deactivated image to all but admins.
        """
        image = await self.access.image(caller, image_id, "download_image")
        if image.status is Status.DEACTIVATED and not caller.is_admin:
            raise Forbidden(f"Image {image_id} is deactivated.")
        if image.status not in (Status.ACTIVE, Status.DEACTIVATED) or not image.locations or image.size is None:
            return None
        return Source(image, image.size, self._ordered(image.locations))

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

    def _ordered(self, locations: Sequence[Location]) -> Sequence[Location]:
        """Those in the heavier stores first (the Image API calls it the store's weight)."""
        if len(locations) < 2:
            return locations
        weights = {store.store_id: store.weight for store in self.stores.all()}
        return sorted(locations, key=lambda location: -weights.get(location.store_id, 0))
