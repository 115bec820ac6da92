"""Members of an image: `/v2/images/{image_id}/members` (Image API, "Sharing")."""

from __future__ import annotations

from typing import Any, Final

from attrs import define

from imgsvc.errors import Invalid
from imgsvc.model import Member, MemberStatus, RequestContext
from imgsvc.operations.sharing import Sharing
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.render import answer_json, answer_nothing, timestamp
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

LONGEST_MEMBER_ID: Final = 255


@define
class MemberRoutes:
    """List, add, show, answer and remove."""

    sharing: Sharing
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        members = "/v2/images/<image_id>/members"
        return [
            Route("GET", members, self.list),
            Route("POST", members, self.add, takes_body=True),
            Route("GET", f"{members}/<member_id>", self.show),
            Route("PUT", f"{members}/<member_id>", self.answer, takes_body=True),
            Route("DELETE", f"{members}/<member_id>", self.remove),
        ]

    async def list(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """200 with the members that the caller sees."""
        members = await self.sharing.members(context.caller, image_id)
        return answer_json(request, {"members": [*map(_document, members)], "schema": "/v2/schemas/members"})

    async def add(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """200 with the new member (not 201, as Glance has it)."""
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
                "description": "What the project says to it",
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
