"""Changes of images: `PATCH /v2/images/{image_id}`."""

from __future__ import annotations

from functools import partial
from typing import Final

from attrs import define
from twisted.web.iweb import UNKNOWN_LENGTH

from imgsvc.errors import UnsupportedType
from imgsvc.model import Caller, Image, RequestContext
from imgsvc.operations.patching import Patching
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.body import RequestBody
from imgsvc.web.large import LargeAnswer
from imgsvc.web.patch import MEDIA_TYPES, PatchReader
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route
from imgsvc.web.showing import ImageAnswers

LONGEST_EMPTY_PATCH: Final = 8
"""Bytes of a body that holds `[]` and blanks at most."""


@define
class UpdateRoutes:
    """Update."""

    patching: Patching
    reader: PatchReader
    answers: ImageAnswers
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("PATCH", "/v2/images/<image_id>", self.update, takes_body=True)]

    async def update(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | LargeAnswer:
        """200 with the image; 415 with the media types that are taken.

        Who may change nothing may still send an empty patch: no more than that is read then.
        """
        media_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            request.setHeader("accept-patch", ", ".join(MEDIA_TYPES))
            raise UnsupportedType(f"A patch of an image is of type {' or '.join(MEDIA_TYPES)}.")
        refusal = await self.patching.refusal(context.caller, image_id)
        if refusal is not None and not may_be_empty(request.body):
            raise refusal
        image = await self._patched(request, context.caller, image_id, media_type)
        return await self.answers.one(request, context.caller, image)

    async def _patched(self, request: StreamingRequest, caller: Caller, image_id: str, media_type: str) -> Image:
        async with self.bodies.read(request.body, partial(self.reader.read, media_type)) as edits:
            return await self.patching.patch(caller, image_id, edits)


def may_be_empty(body: RequestBody) -> bool:
    """Whether a patch may be without an operation, by its length."""
    return body.length is not UNKNOWN_LENGTH and body.length <= LONGEST_EMPTY_PATCH
