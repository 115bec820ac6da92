"""Actions on images: `/v2/images/{image_id}/actions/...`."""

from __future__ import annotations

from typing import ClassVar

from attrs import define

from imgsvc.model import RequestContext
from imgsvc.operations.activation import Activation
from imgsvc.web.openapi.notation import CHANGED, NO_IMAGE, Operation, nothing
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class ActionRoutes:
    """Deactivates and reactivates images."""

    part: ClassVar[str] = "actions"

    activation: Activation

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/actions"
        return [
            Route("POST", f"{path}/deactivate", self.deactivate, _deactivating),
            Route("POST", f"{path}/reactivate", self.reactivate, _reactivating),
        ]

    async def deactivate(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204, also if the image is deactivated already."""
        await self.activation.deactivate(context.caller, image_id)
        return answer_nothing(request)

    async def reactivate(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204, also if the image is active already."""
        await self.activation.reactivate(context.caller, image_id)
        return answer_nothing(request)


# --- the description of the API


def _deactivating() -> Operation:
    return Operation(
        "deactivate_image",
        "Deactivate an image: only administrators can read its data",
        answers={204: nothing("The image is `deactivated`")},
        errors={403: "The image is not `active`, or the caller may not do this", 404: NO_IMAGE, 409: CHANGED},
    )


def _reactivating() -> Operation:
    return Operation(
        "reactivate_image",
        "Reactivate a deactivated image: its data can be read again",
        answers={204: nothing("The image is `active`")},
        errors={
            403: "The image is not `deactivated`, or the caller may not do this",
            404: NO_IMAGE,
            409: CHANGED,
        },
    )
