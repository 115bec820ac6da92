"""Describes what hangs on images: members, tags, actions."""

from __future__ import annotations

from typing import Final

from imgsvc.model import MemberStatus
from imgsvc.web.openapi.notation import (
    Json,
    Paths,
    choice,
    fields,
    json_answer,
    json_body,
    link,
    nothing,
    operation,
    schema,
)

NO_IMAGE: Final = "There is no such image, or the caller may not see it"
NO_MEMBER: Final = "There is no such image or member, or the caller may not see it"
NOT_CHANGED: Final = "The caller sees the image, but may not change it"
CHANGED: Final = "The image was changed by others at the same time"
_MEMBER: Final = {"image_id": "$response.body#/image_id", "member_id": "$response.body#/member_id"}
LINKS: Final = {
    "show": link("show_member", "The member", **_MEMBER),
    "answer": link("answer_share", "Accept or reject the image", **_MEMBER),
    "remove": link("remove_member", "Share it no more", **_MEMBER),
}


def members() -> Paths:
    """Projects that an image is shared with."""
    project: Json = {"type": "string", "minLength": 1, "maxLength": 255, "description": "Id of a project"}
    return {
        "/v2/images/{image_id}/members": {
            "get": operation(
                "list_members",
                "List the projects that an image is shared with",
                answers={200: json_answer("Members that the caller may see", schema("members"))},
                errors={403: "The image is not `shared`", 404: NO_IMAGE},
            ),
            "post": operation(
                "add_member",
                "Share an image with a project",
                body=json_body(fields(("member",), member=project)),
                answers={200: json_answer("The member, `pending`", schema("member"), links=LINKS)},
                errors={
                    400: "`member` is not the id of a project",
                    403: "The image is not `shared`, or the caller may not share it",
                    404: NO_IMAGE,
                    409: "The project is a member, or the image was changed at the same time",
                    413: "Too many members, or the body is too large",
                },
            ),
        },
        "/v2/images/{image_id}/members/{member_id}": {
            "get": operation(
                "show_member",
                "Show a member",
                answers={200: json_answer("The member", schema("member"))},
                errors={404: NO_MEMBER},
            ),
            "put": operation(
                "answer_share",
                "Accept or reject an image that was shared with one's project",
                body=json_body(fields(("status",), status=choice(*MemberStatus))),
                answers={200: json_answer("The member as it is now", schema("member"))},
                errors={
                    400: "`status` is none of these",
                    403: "The image is not `shared`, or the caller is not of the project: the owner does not answer",
                    404: NO_MEMBER,
                },
            ),
            "delete": operation(
                "remove_member",
                "Share an image with a project no more",
                answers={204: nothing("The project is no member")},
                errors={403: "The image is not `shared`, or the caller may not share it", 404: NO_MEMBER},
            ),
        },
    }


def tags() -> Paths:
    """Tags, one by one."""
    return {
        "/v2/images/{image_id}/tags/{tag}": {
            "put": operation(
                "add_tag",
                "Give an image a tag",
                answers={204: nothing("The image has the tag")},
                errors={
                    400: "The tag is too long, or holds a NUL character",
                    403: NOT_CHANGED,
                    404: NO_IMAGE,
                    409: CHANGED,
                    413: "Too many tags, or the image is too large with one more",
                },
            ),
            "delete": operation(
                "remove_tag",
                "Take a tag from an image",
                answers={204: nothing("The image no longer has the tag")},
                errors={
                    403: NOT_CHANGED,
                    404: "There is no such image, the caller may not see it, or it has no such tag",
                    409: CHANGED,
                },
            ),
        }
    }


def actions() -> Paths:
    """Deactivate and reactivate."""
    return {
        "/v2/images/{image_id}/actions/deactivate": {
            "post": operation(
                "deactivate_image",
                "Keep the data of an image from all but administrators",
                answers={204: nothing("The image is `deactivated`")},
                errors={403: "The image is not `active`, or the caller may not do this", 404: NO_IMAGE, 409: CHANGED},
            )
        },
        "/v2/images/{image_id}/actions/reactivate": {
            "post": operation(
                "reactivate_image",
                "Give out the data of a deactivated image again",
                answers={204: nothing("The image is `active`")},
                errors={
                    403: "The image is not `deactivated`, or the caller may not do this",
                    404: NO_IMAGE,
                    409: CHANGED,
                },
            )
        },
    }
