"""Records of images: `/v2/images` and `/v2/images/{image_id}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import define

from imgsvc.model import Caller, Image, RequestContext
from imgsvc.operations.deletion import Deletion
from imgsvc.operations.images import Images
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.creation import ImageReader
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.large import LargeResponse
from imgsvc.web.list_parameters import list_parameters
from imgsvc.web.listing import ListReader
from imgsvc.web.openapi.notation import Operation, json_answer, json_body, link, nothing, reference, schema, sent_header
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route
from imgsvc.web.showing import ImageResponses


@define
class ImageRoutes:
    """Creates, lists, shows and deletes images. store_ids: of all stores, in the order of the configuration."""

    part: ClassVar[str] = "images"

    images: Images
    deletion: Deletion
    reader: ImageReader
    listing: ListReader
    answers: ImageResponses
    store_ids: Sequence[str]
    address: PublicAddress
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [
            Route("GET", "/v2/images", self.list, _listing),
            Route("POST", "/v2/images", self.create, _creating, takes_body=True),
            Route("GET", "/v2/images/<image_id>", self.show, _showing),
            Route("DELETE", "/v2/images/<image_id>", self.delete, _deleting),
        ]

    async def create(self, request: StreamingRequest, context: RequestContext) -> bytes | LargeResponse:
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

    async def list(self, request: StreamingRequest, context: RequestContext) -> bytes | LargeResponse:
        """200 with a page of images."""
        return await self.answers.page(request, self.listing.read(context.caller, request.args))

    async def show(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | LargeResponse:
        """200 with the image."""
        return await self.answers.one(request, context.caller, await self.images.show(context.caller, image_id))

    async def delete(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204."""
        await self.deletion.delete(context.caller, image_id)
        return answer_nothing(request)


# --- the description of the API


def _creating() -> Operation:
    following = {
        "show": ("show_image", "The image"),
        "change": ("change_image", "Change it"),
        "upload": ("upload_image", "Upload its data"),
        "download": ("download_image", "Download its data"),
        "add_tag": ("add_tag", "Add a tag"),
        "remove_tag": ("remove_tag", "Remove a tag"),
        "deactivate": ("deactivate_image", "Deactivate it"),
        "reactivate": ("reactivate_image", "Reactivate it"),
        "members": ("list_members", "List the projects that it is shared with"),
        "share": ("add_member", "Share it"),
        "delete": ("delete_image", "Delete it"),
    }
    links = {name: link(to, text, image_id="$response.body#/id") for name, (to, text) in following.items()}
    return Operation(
        "create_image",
        "Create an image without data",
        body=json_body(schema("new_image"), "Base fields and custom properties, side by side"),
        answers={
            201: json_answer(
                "The image, `queued`",
                schema("shown_image"),
                headers={
                    "Location": sent_header("URL of the image"),
                    "OpenStack-image-store-ids": reference("headers", "store_ids"),
                },
                links=links,
            )
        },
        errors={
            400: "The body is not an image",
            403: "A field is set by the server only, or the caller may not set this value",
            409: "The id is taken, perhaps by a deleted image",
            413: "Too many keys, tags, properties or images, or a property, the image or the body is too large",
        },
    )


def _listing() -> Operation:
    return Operation(
        "list_images",
        "List images",
        parameters=list_parameters(),
        answers={200: json_answer("A page of the images that the caller may see", schema("images"))},
        errors={
            400: "A filter, a sort key or a marker is not valid",
            403: "The caller may not list images, or may not see the image of the marker",
        },
    )


def _showing() -> Operation:
    return Operation(
        "show_image",
        "Show an image",
        answers={200: json_answer("The image", schema("shown_image"))},
        errors={404: "There is no such image, or the caller may not see it"},
    )


def _deleting() -> Operation:
    return Operation(
        "delete_image",
        "Delete an image",
        answers={204: nothing("The image and its data are deleted")},
        errors={
            403: "The image is protected, or the caller may not delete it",
            404: "There is no such image, or the caller may not see it",
            409: "Another request changed the image at the same time, or its data is in use",
            503: "The store of its data is away: the image stays",
        },
    )
