"""Changes of images: `PATCH /v2/images/{image_id}`."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from attrs import define
from twisted.web.iweb import UNKNOWN_LENGTH

from imgsvc.errors import UnsupportedType
from imgsvc.model import Caller, Image, RequestContext
from imgsvc.operations.patching import Patching
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.body import RequestBody
from imgsvc.web.large import LargeResponse
from imgsvc.web.openapi.notation import Json, Operation, array, choice, fields, json_answer, schema, sent_header
from imgsvc.web.patch import MEDIA_TYPES, MOST_OPERATIONS, V20, V21, PatchReader
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route
from imgsvc.web.showing import ImageResponses

LONGEST_EMPTY_PATCH: Final = 8
"""Bytes of a body that may be an empty patch, at most: `[]` and blanks."""


@define
class UpdateRoutes:
    """Applies patches to images."""

    part: ClassVar[str] = "images"

    patching: Patching
    reader: PatchReader
    answers: ImageResponses
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("PATCH", "/v2/images/<image_id>", self.update, _changing, takes_body=True)]

    async def update(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | LargeResponse:
        """200 with the image; 415 with the media types that are accepted.

        A caller who may change nothing may still send an empty patch, so a short body is read before the refusal.
        """
        media_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            request.setHeader("accept-patch", ", ".join(MEDIA_TYPES))
            raise UnsupportedType(f"A patch of an image must be of type {' or '.join(MEDIA_TYPES)}.")
        refusal = await self.patching.refusal(context.caller, image_id)
        if refusal is not None and not may_be_empty(request.body):
            raise refusal
        image = await self._patched(request, context.caller, image_id, media_type)
        return await self.answers.one(request, context.caller, image)

    async def _patched(self, request: StreamingRequest, caller: Caller, image_id: str, media_type: str) -> Image:
        async with self.bodies.read(request.body, partial(self.reader.read, media_type)) as edits:
            return await self.patching.patch(caller, image_id, edits)


def may_be_empty(body: RequestBody) -> bool:
    """Whether a patch can be without operations, judging by its length."""
    return body.length is not UNKNOWN_LENGTH and body.length <= LONGEST_EMPTY_PATCH


# --- the description of the API


def _changing() -> Operation:
    return Operation(
        "change_image",
        "Change an image",
        description=(
            f"Applies at most {MOST_OPERATIONS} operations, all of them or none. `add` of an existing key is a"
            " conflict in v2.0, and replaces the value in v2.1."
        ),
        body=_patch(),
        schemas=_operations(),
        answers={200: json_answer("The changed image", schema("shown_image"))},
        errors={
            400: "The body is not a patch, or a value is not valid",
            403: "A field is set by the server only, or the caller may not make the change",
            404: "There is no such image, or the caller may not see it",
            409: "The field exists already, or does not exist, or the status of the image does not allow the change",
            413: (
                "There are too many tags, properties, locations, operations or bytes of data, or a property, the"
                " image or the body is too large"
            ),
            415: "The Content-Type is not one of the two, or there is a Content-Encoding",
        },
        error_headers={415: {"Accept-Patch": sent_header("The two")}},
    )


def _patch() -> Json:
    """The body of `PATCH`, in both media types."""
    new, old = ("patch_set", "patch_unset"), ("patch_add", "patch_replace", "patch_remove")
    return {
        "required": True,
        "content": {
            V21: {
                "schema": array({"oneOf": [schema(name) for name in new]}),
                "example": [{"op": "replace", "path": "/name", "value": "another name"}],
            },
            V20: {
                "schema": array({"oneOf": [schema(name) for name in old]}),
                "example": [{"replace": "/name", "value": "another name"}],
            },
        },
    }


def _operations() -> dict[str, Json]:
    """The operations of patches: `set` and `unset` of v2.1, the others of v2.0."""
    pointer = {"type": "string", "description": "A JSON pointer (RFC 6901) to a field", "examples": ["/name"]}
    return {
        "patch_set": fields(("op", "path", "value"), op=choice("add", "replace"), path=pointer, value={}),
        "patch_unset": fields(("op", "path"), op=choice("remove"), path=pointer),
        "patch_add": fields(("add", "value"), add=pointer, value={}),
        "patch_replace": fields(("replace", "value"), replace=pointer, value={}),
        "patch_remove": fields(("remove",), remove=pointer),
    }
