"""Looking an image up on behalf of a caller."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import define

from imgsvc.errors import NoSuchImage, NotPermitted
from imgsvc.interfaces import IImageCatalogue, IPolicy
from imgsvc.model import Caller, Image, Visibility

VISIBILITY_ACTIONS: Final[Mapping[Visibility, str]] = MappingProxyType(
    {Visibility.PUBLIC: "publicize_image", Visibility.COMMUNITY: "communitize_image"}
)
"""What it takes to give an image these visibilities, beside what it takes to make or to change it."""


@define
class Access:
    """Finds images and says what the caller may do with them."""

    catalogue: IImageCatalogue
    policy: IPolicy

    async def image(self, caller: Caller, image_id: str, *actions: str) -> Image:
        """The image, if the caller may do all of `actions` to it; none of them: if it may see it (`get_image`).

        Raises NoSuchImage, Forbidden, as `check` does.
        """
        image = await self.catalogue.image(image_id)
        self.check(caller, image, *actions or ("get_image",))
        return image

    def check(self, caller: Caller, image: Image, *actions: str) -> None:
        """Raises unless the caller may do all of `actions` to an image that is there. Each is granted by its own rule.

        Only a refusal depends on `get_image`: Forbidden where that is granted, NoSuchImage where it is not.
        """
        for action in actions:
            if not self.policy.allows(action, caller, image):
                if not self.policy.allows("get_image", caller, image):
                    raise NoSuchImage(image.id)
                raise NotPermitted(action)

    def require(self, action: str, caller: Caller, image: Image | None = None) -> None:
        """Raises Forbidden unless the caller may do `action`. image: one that it is about to make, if it does."""
        if not self.policy.allows(action, caller, image):
            raise NotPermitted(action)
