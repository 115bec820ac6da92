"""With whom an image is shared, and what those projects say to it (Image API v2, "Sharing")."""

from __future__ import annotations

from attrs import define

from imgsvc.errors import Forbidden, NotFound
from imgsvc.event_model import MemberAdded, MemberChanged, MemberRemoved
from imgsvc.interfaces import IEvents, IImageCatalogue, IMemberCatalogue
from imgsvc.model import Caller, Image, Member, MemberStatus, Visibility
from imgsvc.operations.access import Access


@define
class Sharing:
    """The members of images. Only an image that is `shared` shows them; they are kept while it is not.

    limit: of members of an image; negative: none.
    """

    access: Access
    images: IImageCatalogue
    member_records: IMemberCatalogue
    events: IEvents
    limit: int = 128

    async def members(self, caller: Caller, image_id: str) -> list[Member]:
        """All of them for the owner and administrators, its own for a member; but those whom `get_member` refuses.

        Raises NoSuchImage; Forbidden for who is none of these, and if the image is not shared.
        """
        image = await self._shared_image(caller, image_id, "get_members")
        if not self.access.policy.allows("get_member", caller, image):
            return []
        return await self._seen(caller, image)

    async def member(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """Raises NoSuchImage; NotFound for all that the caller may not see."""
        try:
            image = await self._shared_image(caller, image_id, "get_member")
        except Forbidden:
            raise _no_member(image_id, member_id) from None
        return await self._one(caller, image, member_id)

    async def check_add(self, caller: Caller, image_id: str) -> None:
        """Raises NoSuchImage, Forbidden (not shared, not the owner) for who can add no member, whichever it is."""
        await self._shared_image(caller, image_id, "add_member")

    async def add(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """Share the image with one more project, which may answer to it.

        Raises what check_add does, Conflict (a member already), QuotaExceeded.
        """
        image = await self._shared_image(caller, image_id, "add_member")
        member = await self.member_records.add_member(image_id, member_id, self.limit)
        self.events.publish(MemberAdded(image, member))
        return member

    async def check_answer(self, caller: Caller, image_id: str, member_id: str) -> None:
        """Raises NoSuchImage; Forbidden (not shared, the owner, a reader, not a member); NotFound (another project's
        membership) for who can give no answer, whichever it is.
        """
        await self._require_for(caller, image_id, member_id, "modify_member")

    async def answer(self, caller: Caller, image_id: str, member_id: str, status: MemberStatus) -> Member:
        """A project accepts an image, rejects it, or leaves it open. Raises what check_answer does."""
        image = await self._require_for(caller, image_id, member_id, "modify_member")
        member = await self.member_records.set_member_status(image_id, member_id, status)
        self.events.publish(MemberChanged(image, member))
        return member

    async def remove(self, caller: Caller, image_id: str, member_id: str) -> None:
        """Share the image no more with a project. No project can withdraw itself.

        Raises NoSuchImage; Forbidden (not shared, not the owner); NotFound (not a member that the caller sees).
        """
        image = await self._require_for(caller, image_id, member_id, "delete_member")
        await self.member_records.remove_member(image_id, member_id)
        self.events.publish(MemberRemoved(image, member_id))

    async def _shared_image(self, caller: Caller, image_id: str, action: str) -> Image:
        image = await self.access.image(caller, image_id, action)
        _require_shared(image)
        return image

    async def _require_for(self, caller: Caller, image_id: str, member_id: str, action: str) -> Image:
        """A shared image, if the caller may do `action` to that member of it; else raises as `check_answer`."""
        image = await self.images.image(image_id)
        try:
            self.access.check(caller, image, action)
            _require_shared(image)
        except Forbidden:
            # Who may look, and sees no such member, is told that.
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
    return NotFound(f"Project {member_id} is no member of image {image_id}.")
