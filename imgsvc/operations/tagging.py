"""Adds and removes single tags of images."""

from __future__ import annotations

from attrs import define, evolve

from imgsvc.errors import NotFound
from imgsvc.model import Caller, Image
from imgsvc.operations.changes import Changes
from imgsvc.operations.images import RecordLimits


@define
class Tagging:
    """Adds and removes tags, for those who may change the image."""

    changes: Changes
    limits: RecordLimits

    async def add(self, caller: Caller, image_id: str, tag: str) -> None:
        """Add a tag, unless the image has it already. Raises NoSuchImage, Forbidden, QuotaExceeded."""

        def tagged(image: Image) -> Image:
            if tag in image.tags:
                return image
            changed = evolve(image, tags=tuple(sorted((*image.tags, tag))))
            self.limits.check_tags(changed.tags)
            self.limits.check_sizes(changed, image)
            return changed

        await self.changes.change(caller, image_id, tagged, "modify_image")

    async def remove(self, caller: Caller, image_id: str, tag: str) -> None:
        """Remove a tag. Raises NoSuchImage, Forbidden. Raises NotFound: the image does not have it."""

        def untagged(image: Image) -> Image:
            if tag not in image.tags:
                raise NotFound(f"Image {image_id} has no tag {tag!r}.")
            return evolve(image, tags=tuple(each for each in image.tags if each != tag))

        await self.changes.change(caller, image_id, untagged, "modify_image")
