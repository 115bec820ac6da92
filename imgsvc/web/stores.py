"""Copies of images in single stores: `/v2/stores/{store_id}/{image_id}`."""

from __future__ import annotations

from attrs import define

from imgsvc.model import RequestContext
from imgsvc.operations.store_copies import StoreCopies
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class StoreRoutes:
    """Delete."""

    copies: StoreCopies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("DELETE", "/v2/stores/<store_id>/<image_id>", self.delete)]

    async def delete(self, request: StreamingRequest, context: RequestContext, store_id: str, image_id: str) -> bytes:
        """204."""
        await self.copies.delete(context.caller, store_id, image_id)
        return answer_nothing(request)
