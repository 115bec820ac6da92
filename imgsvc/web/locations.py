"""Locations of images: `/v2/images/{image_id}/locations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import fastjsonschema
from attrs import define

from imgsvc.errors import Invalid
from imgsvc.model import Location, RequestContext
from imgsvc.operations.locations import Locations, Validation
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.fields import complaint
from imgsvc.web.openapi.notation import NO_IMAGE, TEXT, Operation, array, fields, json_answer, json_body, nothing
from imgsvc.web.render import answer_json, answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

_ALGORITHMS: Final = ("md5", "sha1", "sha256", "sha512")
NEW_LOCATION: Final = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "minLength": 1, "maxLength": 2048},
        "validation_data": {
            "type": "object",
            "properties": {
                "os_hash_algo": {"type": "string", "enum": list(_ALGORITHMS)},
                "os_hash_value": {"type": "string", "pattern": "^[0-9a-fA-F]+$"},
            },
            "additionalProperties": False,
        },
    },
}
"""The schema of a body."""
_CHECK: Final = fastjsonschema.compile(NEW_LOCATION, use_default=False)


@define
class LocationRoutes:
    """Adds and lists locations."""

    part: ClassVar[str] = "locations"

    locations: Locations
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/locations"
        return [Route("GET", path, self.list, _listing), Route("POST", path, self.add, _adding, takes_body=True)]

    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """202: the image has the location, and a task computes its digests."""
        await self.locations.check_add(context.caller, image_id)
        async with self.bodies.read_object(request.body, _read) as (url, validation):
            await self.locations.add(context.caller, image_id, url, validation)
        return answer_nothing(request, 202)

    async def list(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """200 with an array."""
        return answer_json(request, location_documents(await self.locations.list(context.caller, image_id)))


def location_documents(locations: Sequence[Location]) -> list[dict[str, Any]]:
    """The documents of locations for clients."""
    return [
        {"url": location.url, "metadata": {**location.metadata, "store": location.store_id}} for location in locations
    ]


def _read(document: dict[str, Any]) -> tuple[str, Validation | None]:
    """The URL of a new location, and the digest that its bytes must have. Raises Invalid."""
    try:
        _CHECK(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise Invalid(f"The location is not valid: {complaint(error)}.") from error
    return document["url"], _validation(document.get("validation_data") or {})


def _validation(data: Mapping[str, str]) -> Validation | None:
    """The Validation of a validation_data, whose form the schema has checked. Raises Invalid."""
    if not data:
        return None
    if len(data) != 2:
        raise Invalid("validation_data must have both os_hash_algo and os_hash_value.")
    validation = Validation(data["os_hash_algo"], data["os_hash_value"].lower())
    validation.check_length()
    return validation


# --- the description of the API


def _listing() -> Operation:
    location = fields(("url", "metadata"), url=TEXT, metadata={"type": "object", "additionalProperties": TEXT})
    return Operation(
        "list_locations",
        "List the locations of an image",
        answers={200: json_answer("Locations, in the order in which they are tried", array(location))},
        errors={403: "The caller has neither the role `service` nor `admin`", 404: NO_IMAGE},
    )


def _adding() -> Operation:
    return Operation(
        "add_location",
        "Register the location of an image's data",
        body=json_body(NEW_LOCATION, "With a digest, the image becomes active only if the data has that digest"),
        answers={202: nothing("The image has the location; a task computes its digests")},
        errors={
            400: "The body is not a location, the formats are not set, or there is no data at the URL",
            403: "The caller may not change the image, or may not use this URL",
            404: NO_IMAGE,
            409: "The image is not `queued`, or a task has it",
            413: "There is more data than the image may have, or the body is too large",
        },
    )
