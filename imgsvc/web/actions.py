"""What is done to images: `/v2/images/{image_id}/actions/...`."""

from __future__ import annotations

from attrs import define

from imgsvc.model import RequestContext
from imgsvc.operations.activation import Activation
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class ActionRoutes:
    """Deactivate and reactivate."""

    activation: Activation

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/actions"
        return [
            Route("POST", f"{path}/deactivate", self.deactivate),
            Route("POST", f"{path}/reactivate", self.reactivate),
        ]

    async def deactivate(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204, also if it is deactivated."""
        await self.activation.deactivate(context.caller, image_id)
        return answer_nothing(request)

    async def reactivate(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204, also if it is active."""
        await self.activation.reactivate(context.caller, image_id)
        return answer_nothing(request)
