"""Looks up images for a caller."""

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
"""The action that a caller needs for each visibility, in addition to the one for creating or changing the image."""


@define
class Access:
    """Finds images, and checks what the caller may do with them."""

    catalogue: IImageCatalogue
    policy: IPolicy

    async def image(self, caller: Caller, image_id: str, *actions: str) -> Image:
        """Find an image that the caller may do all of `actions` to. Without actions the caller must be allowed
        `get_image`.

        Raises NoSuchImage and Forbidden as `check` does.
        """
        image = await self.catalogue.image(image_id)
        self.check(caller, image, *actions or ("get_image",))
        return image

    def check(self, caller: Caller, image: Image, *actions: str) -> None:
        """Check that the caller may do all of `actions` to an existing image. Each action is granted by its own rule.

        Raises Forbidden: an action is not allowed, and `get_image` is. Raises NoSuchImage: neither is allowed.
        """
        for action in actions:
            if not self.policy.allows(action, caller, image):
                if not self.policy.allows("get_image", caller, image):
                    raise NoSuchImage(image.id)
                raise NotPermitted(action)

    def require(self, action: str, caller: Caller, image: Image | None = None) -> None:
        """Check that the caller may do `action`. image: the image that the caller is about to create, if any.

        Raises Forbidden: the action is not allowed.
        """
        if not self.policy.allows(action, caller, image):
            raise NotPermitted(action)
