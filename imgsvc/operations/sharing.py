"""The members of images: the projects that an image is shared with, and their answers (Image API v2, "Sharing")."""

from __future__ import annotations

from attrs import define

from imgsvc.errors import Forbidden, NotFound
from imgsvc.event_model import MemberAdded, MemberChanged, MemberRemoved
from imgsvc.interfaces import IEvents, IImageCatalogue, IMemberCatalogue
from imgsvc.model import Caller, Image, Member, MemberStatus, Visibility
from imgsvc.operations.access import Access


@define
class Sharing:
    """Shows and changes the members of images. Only images of visibility `shared` show them; the others keep them.

    limit: members that an image may have; negative: any number.
    """

    access: Access
    images: IImageCatalogue
    member_records: IMemberCatalogue
    events: IEvents
    limit: int = 128

    async def members(self, caller: Caller, image_id: str) -> list[Member]:
        """All members, for the owner and administrators. A member gets only its own membership.

        The list is empty for callers that the policy refuses `get_member`. Raises NoSuchImage. Raises Forbidden: the
        policy does not allow `get_members`, or the image is not shared.
        """
        image = await self._shared_image(caller, image_id, "get_members")
        if not self.access.policy.allows("get_member", caller, image):
            return []
        return await self._seen(caller, image)

    async def member(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """One member. Raises NoSuchImage. Raises NotFound: there is no such member, or the caller may not see it."""
        try:
            image = await self._shared_image(caller, image_id, "get_member")
        except Forbidden:
            raise _no_member(image_id, member_id) from None
        return await self._one(caller, image, member_id)

    async def check_add(self, caller: Caller, image_id: str) -> None:
        """Check that the caller may add members. Raises NoSuchImage, Forbidden (not shared, not the owner)."""
        await self._shared_image(caller, image_id, "add_member")

    async def add(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """Share the image with one more project. That project may then accept or reject the image.

        Raises the errors of check_add, Conflict (a member already), QuotaExceeded.
        """
        image = await self._shared_image(caller, image_id, "add_member")
        member = await self.member_records.add_member(image_id, member_id, self.limit)
        self.events.publish(MemberAdded(image, member))
        return member

    async def check_answer(self, caller: Caller, image_id: str, member_id: str) -> None:
        """Check that the caller may set the status of a membership.

        Raises NoSuchImage, Forbidden (not shared, the owner, a reader, not a member), NotFound (membership of another
        project).
        """
        await self._require_for(caller, image_id, member_id, "modify_member")

    async def answer(self, caller: Caller, image_id: str, member_id: str, status: MemberStatus) -> Member:
        """Accept an image, reject it, or set it back to pending, for a member project. Raises the errors of
        check_answer.
        """
        image = await self._require_for(caller, image_id, member_id, "modify_member")
        member = await self.member_records.set_member_status(image_id, member_id, status)
        self.events.publish(MemberChanged(image, member))
        return member

    async def remove(self, caller: Caller, image_id: str, member_id: str) -> None:
        """Stop sharing the image with a project. A member cannot remove itself.

        Raises NoSuchImage, Forbidden (not shared, not the owner), NotFound (not a member that the caller may see).
        """
        image = await self._require_for(caller, image_id, member_id, "delete_member")
        await self.member_records.remove_member(image_id, member_id)
        self.events.publish(MemberRemoved(image, member_id))

    async def _shared_image(self, caller: Caller, image_id: str, action: str) -> Image:
        image = await self.access.image(caller, image_id, action)
        _require_shared(image)
        return image

    async def _require_for(self, caller: Caller, image_id: str, member_id: str, action: str) -> Image:
        """Find a shared image of which the caller may do `action` to a member. Raises the errors of check_answer."""
        image = await self.images.image(image_id)
        try:
            self.access.check(caller, image, action)
            _require_shared(image)
        except Forbidden:
            # Callers who may list members get NotFound if they see no such member.
            if image.visibility is Visibility.SHARED and self.access.policy.allows("get_member", caller, image):
                await self._one(caller, image, member_id)
            raise
        await self._one(caller, image, member_id)
        return image

    async def _one(self, caller: Caller, image: Image, member_id: str) -> Member:
        for member in await self._seen(caller, image):
            if member.member_id == member_id:
                return member
        raise _no_member(image.id, member_id)

    async def _seen(self, caller: Caller, image: Image) -> list[Member]:
        members = await self.member_records.members(image.id)
        if caller.is_admin or (image.owner is not None and image.owner == caller.project_id):
            return members
        return [member for member in members if member.member_id == caller.project_id]


def _require_shared(image: Image) -> None:
    if image.visibility is not Visibility.SHARED:
        raise Forbidden(f"Image {image.id} is {image.visibility}: only shared images have members.")


def _no_member(image_id: str, member_id: str) -> NotFound:
    return NotFound(f"Project {member_id} is not a member of image {image_id}.")
