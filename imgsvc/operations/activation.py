"""Deactivation and reactivation of images."""

from __future__ import annotations

from attrs import define, evolve

from imgsvc.errors import Forbidden
from imgsvc.model import Caller, Image, Status
from imgsvc.operations.changes import Changes


@define
class Activation:
    """Deactivates and reactivates images. Running downloads go on."""

    changes: Changes

    async def deactivate(self, caller: Caller, image_id: str) -> None:
        """Change an image from active to deactivated. Does nothing if it is deactivated already.

        Raises NoSuchImage. Raises Forbidden: the caller may not, or the image has another status.
        """
        await self._move(caller, image_id, "deactivate", Status.ACTIVE, Status.DEACTIVATED)

    async def reactivate(self, caller: Caller, image_id: str) -> None:
        """Change an image from deactivated to active. Does nothing if it is active already.

        Raises NoSuchImage. Raises Forbidden: the caller may not, or the image has another status.
        """
        await self._move(caller, image_id, "reactivate", Status.DEACTIVATED, Status.ACTIVE)

    async def _move(self, caller: Caller, image_id: str, action: str, source: Status, target: Status) -> None:
        def moved(image: Image) -> Image:
            if image.status not in (source, target):
                raise Forbidden(f"You cannot {action} image {image_id}: it is {image.status}.")
            return evolve(image, status=target)

        await self.changes.change(caller, image_id, moved, action)
