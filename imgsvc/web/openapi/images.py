"""Describes `/v2/images` and `/v2/images/{image_id}`."""

from __future__ import annotations

from typing import Final

from imgsvc.image_fields import FIELDS, SORT_KEYS, FilterForm, ImageField
from imgsvc.model import MemberStatus, Visibility
from imgsvc.web.listing import TIME_OPERATORS
from imgsvc.web.openapi.notation import (
    COUNT,
    TEXT,
    Json,
    Paths,
    array,
    choice,
    fields,
    json_answer,
    json_body,
    link,
    nothing,
    operation,
    query,
    reference,
    schema,
    sent_header,
)
from imgsvc.web.patch import MOST_OPERATIONS

_NEXT: Final = {
    "show": ("show_image", "The image"),
    "change": ("change_image", "Change it"),
    "upload": ("upload_image", "Give it its data"),
    "download": ("download_image", "Its data"),
    "add_tag": ("add_tag", "Give it a tag"),
    "remove_tag": ("remove_tag", "Take a tag from it"),
    "deactivate": ("deactivate_image", "Keep its data back"),
    "reactivate": ("reactivate_image", "Give its data out again"),
    "members": ("list_members", "Whom it is shared with"),
    "share": ("add_member", "Share it"),
    "delete": ("delete_image", "Delete it"),
}
LINKS: Final = {name: link(to, text, image_id="$response.body#/id") for name, (to, text) in _NEXT.items()}

_WHEN: Final = "ISO 8601, after an operator: `gte:2026-11-24T08:00:00Z`; without one, `eq:`"
_MOMENT: Final = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": f"^({'|'.join(sorted(TIME_OPERATORS))}):.+$"},
    ]
}
_CHOICE: Final = "A value, or `in:` and several with commas between them"

PAGING: Final = (
    query("limit", "Images on a page, up to what the server allows, and to 4 MiB", COUNT),
    query("marker", "The id after which the page begins"),
)


def _filters(field: ImageField) -> list[Json]:
    """The parameters by which a list is filtered by one field."""
    name = field.name
    if field.filter is FilterForm.NUMBER:
        return [
            query(f"{name}{bound}", f"{words} this `{name}`", {"type": "integer"})
            for bound, words in (("", "Exactly"), ("_min", "At least"), ("_max", "At most"))
        ]
    of_form: dict[FilterForm | None, tuple[str, Json]] = {
        FilterForm.CHOICE: (_CHOICE, TEXT),
        FilterForm.TEXT: (field.description, TEXT),
        FilterForm.FLAG: (field.description, choice("true", "false")),
        FilterForm.TIME: (_WHEN, _MOMENT),
    }
    return [query(name, *of_form[field.filter])] if field.filter in of_form else []


FILTERS: Final = (
    *(parameter for field in FIELDS.values() for parameter in _filters(field)),
    query("visibility", "`all`: whatever the caller may see", choice(*Visibility, "all")),
    query("member_status", "Which images that others share with the caller are shown", choice(*MemberStatus, "all")),
    query("tag", "Given several times: images that have all of them", array({"type": "string"})),
    query(
        "properties",
        "Any other parameter is compared with the custom property of that name",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
    ),
)
_KEYS: Final = sorted(SORT_KEYS)
_SORT: Final = rf"({'|'.join(_KEYS)})(:asc|:desc)?"
SORTING: Final = (
    query(
        "sort",
        "`KEY:asc`, `KEY:desc` or `KEY` (descending), with commas between them; not beside `sort_key`",
        {"type": "string", "pattern": f"^{_SORT}(,{_SORT})*$"},
    ),
    query("sort_key", "Keys, the first one first", array(choice(*_KEYS))),
    query("sort_dir", "One for all keys, or one for each", array(choice("asc", "desc"))),
)


_V21: Final = "application/openstack-images-v2.1-json-patch"
_V20: Final = "application/openstack-images-v2.0-json-patch"


def schemas() -> dict[str, Json]:
    """The operations of patches: `set` and `unset` of v2.1, the others of v2.0."""
    pointer = {"type": "string", "description": "A JSON pointer (RFC 6901) to a field", "examples": ["/name"]}
    return {
        "patch_set": fields(("op", "path", "value"), op=choice("add", "replace"), path=pointer, value={}),
        "patch_unset": fields(("op", "path"), op=choice("remove"), path=pointer),
        "patch_add": fields(("add", "value"), add=pointer, value={}),
        "patch_replace": fields(("replace", "value"), replace=pointer, value={}),
        "patch_remove": fields(("remove",), remove=pointer),
    }


def _patch() -> Json:
    """The body of `PATCH`, in both media types."""
    new, old = ("patch_set", "patch_unset"), ("patch_add", "patch_replace", "patch_remove")
    return {
        "required": True,
        "content": {
            _V21: {
                "schema": array({"oneOf": [schema(name) for name in new]}),
                "example": [{"op": "replace", "path": "/name", "value": "another name"}],
            },
            _V20: {
                "schema": array({"oneOf": [schema(name) for name in old]}),
                "example": [{"replace": "/name", "value": "another name"}],
            },
        },
    }


def paths() -> Paths:
    """The records of images."""
    return {
        "/v2/images": {
            "get": operation(
                "list_images",
                "List images",
                parameters=[*FILTERS, *SORTING, *PAGING],
                answers={200: json_answer("A page of the images that the caller may see", schema("images"))},
                errors={
                    400: "A filter, a sort key or a marker is not valid",
                    403: "The caller may not list images, or not see the image that is the marker",
                },
            ),
            "post": operation(
                "create_image",
                "Make an image without data",
                body=json_body(schema("new_image"), "Base fields and custom properties, side by side"),
                answers={
                    201: json_answer(
                        "The image, `queued`",
                        schema("shown_image"),
                        headers={
                            "Location": sent_header("URL of the image"),
                            "OpenStack-image-store-ids": reference("headers", "store_ids"),
                        },
                        links=LINKS,
                    )
                },
                errors={
                    400: "The body is not an image",
                    403: "A field that only the server sets, or that the caller may not set so",
                    409: "The id is taken, perhaps by a deleted image",
                    413: "Too many keys, tags, properties or images, a property or the image is too large, or the body",
                },
            ),
        },
        "/v2/images/{image_id}": {
            "get": operation(
                "show_image",
                "Show an image",
                answers={200: json_answer("The image", schema("shown_image"))},
                errors={404: "There is no such image, or the caller may not see it"},
            ),
            "patch": operation(
                "change_image",
                "Change an image",
                description=(
                    f"All of at most {MOST_OPERATIONS} operations, or none. In v2.0, `add` of what is there is a"
                    " conflict; in v2.1 it replaces."
                ),
                body=_patch(),
                answers={200: json_answer("The image as it is now", schema("shown_image"))},
                errors={
                    400: "The body is not a patch, or a value is not valid",
                    403: "A field that only the server sets, or a change that the caller may not make",
                    404: "There is no such image, or the caller may not see it",
                    409: "The field is there already, or is not there, or the status of the image does not allow it",
                    413: (
                        "Too many tags, properties, locations or operations, too many bytes of data, or a property, the"
                        " image or the body is too large"
                    ),
                    415: "The Content-Type is none of the two, or there is a Content-Encoding",
                },
                error_headers={415: {"Accept-Patch": sent_header("The two")}},
            ),
            "delete": operation(
                "delete_image",
                "Delete an image",
                answers={204: nothing("The image is gone, and with it its data")},
                errors={
                    403: "The image is protected, or the caller may not delete it",
                    404: "There is no such image, or the caller may not see it",
                    409: "The image was changed at the same time, or its data is in use",
                    503: "The store of its data is away: the image stays",
                },
            ),
        },
    }
