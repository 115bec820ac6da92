"""Members of an image: `/v2/images/{image_id}/members` (Image API, "Sharing")."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from attrs import define

from imgsvc.errors import Invalid
from imgsvc.model import Member, MemberStatus, RequestContext
from imgsvc.operations.sharing import Sharing
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.openapi.notation import (
    NO_IMAGE,
    Operation,
    choice,
    fields,
    json_answer,
    json_body,
    link,
    nothing,
    schema,
)
from imgsvc.web.render import answer_json, answer_nothing, timestamp
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

LONGEST_MEMBER_ID: Final = 255


@define
class MemberRoutes:
    """Lists, adds, shows and removes members, and sets their status."""

    part: ClassVar[str] = "members"

    sharing: Sharing
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        members = "/v2/images/<image_id>/members"
        return [
            Route("GET", members, self.list, _listing),
            Route("POST", members, self.add, _adding, takes_body=True),
            Route("GET", f"{members}/<member_id>", self.show, _showing),
            Route("PUT", f"{members}/<member_id>", self.answer, _answering, takes_body=True),
            Route("DELETE", f"{members}/<member_id>", self.remove, _removing),
        ]

    async def list(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """200 with the members that the caller may see."""
        members = await self.sharing.members(context.caller, image_id)
        return answer_json(request, {"members": [*map(_document, members)], "schema": "/v2/schemas/members"})

    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """200 with the new member; Glance uses 200 here, not 201."""
        await self.sharing.check_add(context.caller, image_id)
        async with self.bodies.read_object(request.body, _member_id) as member_id:
            member = await self.sharing.add(context.caller, image_id, member_id)
        return answer_json(request, _document(member))

    async def show(self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str) -> bytes:
        """200 with the member."""
        return answer_json(request, _document(await self.sharing.member(context.caller, image_id, member_id)))

    async def answer(self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str) -> bytes:
        """200 with the member and its new status."""
        await self.sharing.check_answer(context.caller, image_id, member_id)
        async with self.bodies.read_object(request.body, _status) as status:
            member = await self.sharing.answer(context.caller, image_id, member_id, status)
        return answer_json(request, _document(member))

    async def remove(self, request: StreamingRequest, context: RequestContext, image_id: str, member_id: str) -> bytes:
        """204."""
        await self.sharing.remove(context.caller, image_id, member_id)
        return answer_nothing(request)


def member_schema() -> dict[str, Any]:
    """The schema `member`."""
    return {
        "name": "member",
        "properties": {
            "created_at": {"type": "string", "description": "When the image was shared with the project, UTC"},
            "image_id": {"type": "string", "description": "Image that is shared"},
            "member_id": {"type": "string", "description": "Project that the image is shared with"},
            "schema": {"type": "string", "readOnly": True},
            "status": {
                "type": "string",
                "description": "Whether the project has accepted the image",
                "enum": [status.value for status in MemberStatus],
            },
            "updated_at": {"type": "string", "description": "When the status was last changed, UTC"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def members_schema() -> dict[str, Any]:
    """The schema `members`: all members of an image."""
    return {
        "name": "members",
        "properties": {"members": {"type": "array", "items": member_schema()}, "schema": {"type": "string"}},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def _document(member: Member) -> dict[str, Any]:
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": timestamp(member.created_at),
        "updated_at": timestamp(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def _member_id(document: dict[str, Any]) -> str:
    member_id = document.get("member")
    if not isinstance(member_id, str) or not member_id:
        raise Invalid("`member` must be the ID of a project.")
    if len(member_id) > LONGEST_MEMBER_ID:
        raise Invalid(f"`member` is longer than {LONGEST_MEMBER_ID} characters.")
    if "\0" in member_id:
        raise Invalid("`member` holds a NUL character.")
    return member_id


def _status(document: dict[str, Any]) -> MemberStatus:
    try:
        return MemberStatus(str(document.get("status")))
    except ValueError:
        raise Invalid(f"`status` must be one of {', '.join(MemberStatus)}.") from None


# --- the description of the API


NO_MEMBER: Final = "There is no such image or member, or the caller may not see it"


def _listing() -> Operation:
    return Operation(
        "list_members",
        "List the projects that an image is shared with",
        answers={200: json_answer("Members that the caller may see", schema("members"))},
        errors={403: "The image is not `shared`", 404: NO_IMAGE},
    )


def _adding() -> Operation:
    project = {"type": "string", "minLength": 1, "maxLength": LONGEST_MEMBER_ID, "description": "Id of a project"}
    of_member = {"image_id": "$response.body#/image_id", "member_id": "$response.body#/member_id"}
    links = {
        "show": link("show_member", "The member", **of_member),
        "answer": link("answer_share", "Accept or reject the image", **of_member),
        "remove": link("remove_member", "Stop sharing it", **of_member),
    }
    return Operation(
        "add_member",
        "Share an image with a project",
        body=json_body(fields(("member",), member=project)),
        answers={200: json_answer("The member, `pending`", schema("member"), links=links)},
        errors={
            400: "`member` is not the id of a project",
            403: "The image is not `shared`, or the caller may not share it",
            404: NO_IMAGE,
            409: "The project is a member, or the image was changed at the same time",
            413: "Too many members, or the body is too large",
        },
    )


def _showing() -> Operation:
    return Operation(
        "show_member",
        "Show a member",
        answers={200: json_answer("The member", schema("member"))},
        errors={404: NO_MEMBER},
    )


def _answering() -> Operation:
    return Operation(
        "answer_share",
        "Accept or reject an image that was shared with one's project",
        body=json_body(fields(("status",), status=choice(*MemberStatus))),
        answers={200: json_answer("The member as it is now", schema("member"))},
        errors={
            400: "`status` is none of these",
            403: "The image is not `shared`, or the caller is not in the project: the owner of an image cannot answer",
            404: NO_MEMBER,
        },
    )


def _removing() -> Operation:
    return Operation(
        "remove_member",
        "Stop sharing an image with a project",
        answers={204: nothing("The project is not a member")},
        errors={403: "The image is not `shared`, or the caller may not share it", 404: NO_MEMBER},
    )
