"""How much an owner may keep and how large an image may be."""

from __future__ import annotations

from attrs import frozen

from imgsvc.errors import TooLarge
from imgsvc.interfaces import ICatalogue


@frozen
class Allowance:
    """Bytes that one upload may have. cap: of any image. left: of the owner's quota; None: unlimited."""

    cap: int
    left: int | None = None

    def check(self, image_id: str, size: int) -> None:
        """Raises TooLarge if an image of `size` bytes is not allowed."""
        if size > self.cap:
            raise TooLarge(f"Image {image_id}: more than the size cap of {self.cap} bytes.")
        if self.left is not None and size > self.left:
            raise TooLarge(f"Image {image_id}: more than the {self.left} bytes that are left of the owner's quota.")


@frozen
class Quotas:
    """The limits of the configuration, in bytes and numbers; 0 is unlimited."""

    catalogue: ICatalogue
    size_cap: int
    user_storage: int = 0
    image_size_total: int = 0
    image_count_uploading: int = 0

    async def before_lookup(self, owner: str | None, expected_size: int | None) -> None:
        """The limits of a project, which Glance checks before it looks at the image. Raises TooLarge."""
        if owner is None:
            return
        if self.image_size_total:
            used = await self.catalogue.usage(owner)
            if used >= self.image_size_total or used + (expected_size or 0) > self.image_size_total:
                raise TooLarge(f"Project {owner} has used {used} of its {self.image_size_total} bytes of images.")
        if self.image_count_uploading:
            uploading = await self.catalogue.uploading(owner)
            if uploading >= self.image_count_uploading:
                raise TooLarge(f"Project {owner} has {uploading} uploads under way, and may not have more.")

    async def allowance(self, owner: str | None) -> Allowance:
        """What one more upload of the owner may have."""
        if owner is None or not self.user_storage:
            return Allowance(self.size_cap)
        used = await self.catalogue.usage(owner)
        return Allowance(self.size_cap, max(0, self.user_storage - used))
