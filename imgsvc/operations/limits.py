"""How much an owner may keep and how large an image may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from imgsvc.errors import TooLarge
from imgsvc.interfaces import IProjectCatalogue
from imgsvc.model import ProjectLimits

MIB: Final = 1024**2

LIMITS: Final[Mapping[str, str]] = {
    "image_size_total": "size_total",
    "image_stage_total": "stage_total",
    "image_count_total": "count_total",
    "image_count_uploading": "count_uploading",
}
"""The names of limits of projects, as Keystone and `/v2/info/usage` have them, and those of ProjectLimits."""

SIZES: Final = frozenset({"image_size_total", "image_stage_total"})
"""Those that are said in MiB."""


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
    """The limits of the configuration and, in their place, those that an operator has set for a project.

    size_cap: bytes. user_storage: bytes that every owner may use; None: unlimited; without effect when `unified`.
    unified: that projects have the four limits of ProjectLimits. defaults: of those for whom none are set.
    """

    catalogue: IProjectCatalogue
    size_cap: int
    user_storage: int | None = None
    unified: bool = False
    defaults: ProjectLimits = field(factory=lambda: ProjectLimits(""))

    async def limits(self, owner: str | None) -> ProjectLimits | None:
        """Those that hold for the images of an owner; None: no limits at all."""
        if owner is None:
            return None
        if not self.unified:
            return None if self.user_storage is None else ProjectLimits(owner, size_total=self.user_storage)
        own = await self.catalogue.project_limits(owner)
        changes = {LIMITS[name]: value if value >= 0 else None for name, value in own.items() if name in LIMITS}
        return evolve(self.defaults, project_id=owner, **changes)

    async def before_lookup(self, project_id: str | None, expected_size: int | None) -> None:
        """The limits of a project, which Glance checks before it looks at the image. Raises TooLarge."""
        limits = await self.limits(project_id) if self.unified else None
        if limits is None or (limits.size_total is None and limits.count_uploading is None):
            return
        usage = await self.catalogue.project_usage(limits.project_id)
        _check_size(limits.project_id, "images", usage.size_total, limits.size_total, expected_size)
        if limits.count_uploading is not None and usage.count_uploading >= limits.count_uploading:
            raise TooLarge(
                f"Project {project_id} has {usage.count_uploading} uploads under way, and may not have more."
            )

    async def allowance(self, owner: str | None) -> Allowance:
        """What one more upload of the owner may have."""
        limits = await self.limits(owner)
        if limits is None or limits.size_total is None:
            return Allowance(self.size_cap)
        used = await self.catalogue.usage(limits.project_id)
        return Allowance(self.size_cap, max(0, limits.size_total - used))

    async def usage(self, project_id: str | None) -> dict[str, dict[str, int]]:
        """By name the limit of a project and what it uses of it: MiB, or a number; -1 is no limit.

        Nothing when projects have no such limits.
        """
        limits = await self.limits(project_id) if self.unified else None
        if limits is None:
            return {}
        usage = await self.catalogue.project_usage(limits.project_id)
        shown = {}
        for name, attribute in LIMITS.items():
            unit = MIB if name in SIZES else 1
            limit: int | None = getattr(limits, attribute)
            shown[name] = {
                "limit": -1 if limit is None else limit // unit,
                "usage": getattr(usage, attribute) // unit,
            }
        return shown


def _check_size(project_id: str, of_what: str, used: int, limit: int | None, more: int | None) -> None:
    if limit is not None and (used >= limit or used + (more or 0) > limit):
        raise TooLarge(f"Project {project_id} has used {used} of its {limit} bytes of {of_what}.")
