"""Changes of images: `PATCH /v2/images/{image_id}`."""

from __future__ import annotations

from attrs import define

from imgsvc.errors import UnsupportedType
from imgsvc.operations.patching import Patching
from imgsvc.web.bodies import read_json
from imgsvc.web.patch import MEDIA_TYPES, PatchReader
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route
from imgsvc.web.view import ImageView


@define
class UpdateRoutes:
    """Update."""

    patching: Patching
    reader: PatchReader
    view: ImageView

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("PATCH", "/v2/images/<image_id>", self.update, takes_body=True)]

    async def update(self, request: StreamingRequest, image_id: str) -> bytes:
        """200 with the image; 415 with the media types that are taken."""
        media_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            request.setHeader("accept-patch", ", ".join(MEDIA_TYPES))
            raise UnsupportedType(f"A patch of an image is of type {' or '.join(MEDIA_TYPES)}.")
        edits = self.reader.read(media_type, await read_json(request.body))
        image = await self.patching.patch(request.caller, image_id, edits)
        return answer_json(request, self.view.document(request.caller, image))
