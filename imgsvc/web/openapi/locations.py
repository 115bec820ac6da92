"""Describes where copies of the data are: locations of images, and copies in single stores."""

from __future__ import annotations

from typing import Final

from imgsvc.web.locations import NEW_LOCATION
from imgsvc.web.openapi.notation import (
    TEXT,
    Paths,
    array,
    fields,
    json_answer,
    json_body,
    nothing,
    operation,
)

NO_IMAGE: Final = "There is no such image, or the caller may not see it"


def paths() -> Paths:
    """The locations of an image, and one of its copies."""
    location = fields(("url", "metadata"), url=TEXT, metadata={"type": "object", "additionalProperties": TEXT})
    return {
        "/v2/images/{image_id}/locations": {
            "get": operation(
                "list_locations",
                "List where the copies of an image are",
                answers={200: json_answer("Locations, in the order in which they are read", array(location))},
                errors={403: "The caller has neither the role `service` nor `admin`", 404: NO_IMAGE},
            ),
            "post": operation(
                "add_location",
                "Make an image of data that lies elsewhere",
                body=json_body(NEW_LOCATION, "With a digest, the image is active only when it is that of the data"),
                answers={202: nothing("The image has the location; its digests are computed from now on")},
                errors={
                    400: "The body is not a location, the formats are not set, or there is no data at the URL",
                    403: "The caller may not change the image, or not give this URL",
                    404: NO_IMAGE,
                    409: "The image is not `queued`, or a task has it",
                    413: "There is more data than the image may have, or the body is too large",
                },
            ),
        },
        "/v2/stores/{store_id}/{image_id}": {
            "delete": operation(
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
        },
    }
