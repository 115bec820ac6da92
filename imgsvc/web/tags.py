"""Tags of images: `/v2/images/{image_id}/tags/{tag}`."""

from __future__ import annotations

from attrs import define

from imgsvc.errors import Invalid
from imgsvc.model import RequestContext
from imgsvc.operations.tagging import Tagging
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

LONGEST_TAG = 255


@define
class TagRoutes:
    """Add and remove a tag."""

    tagging: Tagging

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/tags/<tag>"
        return [Route("PUT", path, self.add), Route("DELETE", path, self.remove)]

    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str) -> bytes:
        """204, also if the image has it."""
        await self.tagging.add(context.caller, image_id, _checked(tag))
        return answer_nothing(request)

    async def remove(self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str) -> bytes:
        """204, or 404 if the image has it not."""
        await self.tagging.remove(context.caller, image_id, tag)
        return answer_nothing(request)


def _checked(tag: str) -> str:
    """The tag, if it is one. Raises Invalid."""
    if len(tag) > LONGEST_TAG:
        raise Invalid(f"A tag has at most {LONGEST_TAG} characters.")
    if "\0" in tag:
        raise Invalid("A tag holds no NUL character.")
    return tag
