"""Tags of images: `/v2/images/{image_id}/tags/{tag}`."""

from __future__ import annotations

from typing import ClassVar

from attrs import define

from imgsvc.errors import Invalid
from imgsvc.model import RequestContext
from imgsvc.operations.tagging import Tagging
from imgsvc.web.openapi.notation import CHANGED, NO_IMAGE, NOT_CHANGED, Operation, nothing
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

LONGEST_TAG = 255


@define
class TagRoutes:
    """Adds and removes tags."""

    part: ClassVar[str] = "tags"

    tagging: Tagging

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/tags/<tag>"
        return [Route("PUT", path, self.add, _adding), Route("DELETE", path, self.remove, _removing)]

    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str) -> bytes:
        """204, also if the image has the tag already."""
        await self.tagging.add(context.caller, image_id, _checked(tag))
        return answer_nothing(request)

    async def remove(self, request: StreamingRequest, context: RequestContext, image_id: str, tag: str) -> bytes:
        """204, or 404 if the image does not have the tag."""
        await self.tagging.remove(context.caller, image_id, tag)
        return answer_nothing(request)


def _checked(tag: str) -> str:
    """Return the tag. Raises Invalid: it is not a tag."""
    if len(tag) > LONGEST_TAG:
        raise Invalid(f"A tag may have at most {LONGEST_TAG} characters.")
    if "\0" in tag:
        raise Invalid("A tag must not contain a NUL character.")
    return tag


# --- the description of the API


def _adding() -> Operation:
    return Operation(
        "add_tag",
        "Add a tag to an image",
        answers={204: nothing("The image has the tag")},
        errors={
            400: "The tag is too long, or holds a NUL character",
            403: NOT_CHANGED,
            404: NO_IMAGE,
            409: CHANGED,
            413: "The image would have too many tags, or be too large",
        },
    )


def _removing() -> Operation:
    return Operation(
        "remove_tag",
        "Remove a tag from an image",
        answers={204: nothing("The image no longer has the tag")},
        errors={
            403: NOT_CHANGED,
            404: "There is no such image, the caller may not see it, or it has no such tag",
            409: CHANGED,
        },
    )
