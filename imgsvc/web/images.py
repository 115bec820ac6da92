"""Images as records: `/v2/images` and `/v2/images/{image_id}`."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from imgsvc.model import Caller, Image, RequestContext
from imgsvc.operations.deletion import Deletion
from imgsvc.operations.images import Images
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.creation import ImageReader
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.large import LargeAnswer
from imgsvc.web.listing import ListReader
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route
from imgsvc.web.showing import ImageAnswers


@define
class ImageRoutes:
    """Create, list, show and delete. store_ids: of all stores, in the order of the configuration."""

    images: Images
    deletion: Deletion
    reader: ImageReader
    listing: ListReader
    answers: ImageAnswers
    store_ids: Sequence[str]
    address: PublicAddress
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [
            Route("POST", "/v2/images", self.create, takes_body=True),
            Route("GET", "/v2/images", self.list),
            Route("GET", "/v2/images/<image_id>", self.show),
            Route("DELETE", "/v2/images/<image_id>", self.delete),
        ]

    async def create(self, request: StreamingRequest, context: RequestContext) -> bytes | LargeAnswer:
        """201 with the image."""
        self.images.check_create(context.caller)
        image = await self._created(request, context.caller)
        return await self.answers.one(request, context.caller, image, 201)

    async def _created(self, request: StreamingRequest, caller: Caller) -> Image:
        async with self.bodies.read_object(request.body, self.reader.read) as (fields, properties):
            image = await self.images.create(caller, fields, properties)
        request.setHeader("location", f"{self.address.of(request)}/v2/images/{image.id}")
        if len(self.store_ids) > 1:
            request.setHeader("openstack-image-store-ids", ",".join(self.store_ids))
        return image

    async def list(self, request: StreamingRequest, context: RequestContext) -> bytes | LargeAnswer:
        """200 with a page of images."""
        return await self.answers.page(request, self.listing.read(context.caller, request.args))

    async def show(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | LargeAnswer:
        """200 with the image."""
        return await self.answers.one(request, context.caller, await self.images.show(context.caller, image_id))

    async def delete(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204."""
        await self.deletion.delete(context.caller, image_id)
        return answer_nothing(request)
