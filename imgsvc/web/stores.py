"""Copies of images in one store: `/v2/stores/{store_id}/{image_id}`."""

from __future__ import annotations

from typing import ClassVar

from attrs import define

from imgsvc.model import RequestContext
from imgsvc.operations.store_copies import StoreCopies
from imgsvc.web.openapi.notation import Operation, nothing
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class StoreRoutes:
    """Deletes copies of images."""

    part: ClassVar[str] = "locations"

    copies: StoreCopies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("DELETE", "/v2/stores/<store_id>/<image_id>", self.delete, _deleting)]

    async def delete(self, request: StreamingRequest, context: RequestContext, store_id: str, image_id: str) -> bytes:
        """204."""
        await self.copies.delete(context.caller, store_id, image_id)
        return answer_nothing(request)


# --- the description of the API


def _deleting() -> Operation:
    return Operation(
        "delete_copy",
        "Delete the copy of an image in one store",
        answers={204: nothing("The copy is gone; the image has others")},
        errors={
            403: "It is the last copy, the store keeps it, or the caller may not delete it",
            404: "There is only one store, no such image, or no copy of it in the store",
            409: "There is no such store, the image is not `active`, or the copy is in use",
            503: "The store is away: the copy stays",
        },
    )
