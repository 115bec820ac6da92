"""Looking an image up on behalf of a caller."""

from __future__ import annotations

from attrs import define

from imgsvc.errors import Forbidden, NoSuchImage
from imgsvc.interfaces import ICatalogue, IPolicy
from imgsvc.model import Caller, Image, Visibility


@define
class Access:
    """Finds images and says what the caller may do with them."""

    catalogue: ICatalogue
    policy: IPolicy

    async def image(self, caller: Caller, image_id: str, action: str = "get_image") -> Image:
        """The image, if the caller may do `action` to it.

        Raises NoSuchImage if the caller may not even see it, Forbidden if it may see it only.
        """
        image: Image = await self.catalogue.image(image_id)
        if not self.policy.allows("get_image", caller, image):
            raise NoSuchImage(image_id)
        if action != "get_image":
            self.require(action, caller, image)
        return image

    def require(self, action: str, caller: Caller, image: Image | None = None) -> None:
        """Raises Forbidden unless the caller may do `action`."""
        if not self.policy.allows(action, caller, image):
            raise Forbidden(f"You are not permitted to {action.replace('_', ' ')}.")

    def require_visibility(self, caller: Caller, image: Image, visibility: Visibility) -> None:
        """Raises Forbidden unless the caller may give the image this visibility."""
        if visibility is Visibility.PUBLIC:
            self.require("publicize_image", caller, image)
        elif visibility is Visibility.COMMUNITY:
            self.require("communitize_image", caller, image)
