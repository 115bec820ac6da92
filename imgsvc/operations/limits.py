"""Limits of the storage of a project, and of the size of an image."""

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
"""The names of the limits of projects in Keystone and `/v2/info/usage`, with the attribute of ProjectLimits."""

SIZES: Final = frozenset({"image_size_total", "image_stage_total"})
"""The limits whose unit is MiB."""


@frozen
class Allowance:
    """The bytes that one upload may have. cap: the limit of every image. left: the rest of the owner's quota; None: no
    quota.
    """

    cap: int
    left: int | None = None

    def check(self, image_id: str, size: int) -> None:
        """Raises TooLarge: an image of `size` bytes is not allowed."""
        if size > self.cap:
            raise TooLarge(f"Image {image_id}: more than the size cap of {self.cap} bytes.")
        if self.left is not None and size > self.left:
            raise TooLarge(f"Image {image_id}: more than the {self.left} bytes that are left of the owner's quota.")


@frozen
class Quotas:
    """The limits of the configuration. Limits that an operator has set for a project replace them.

    size_cap: bytes of an image. user_storage: bytes that every owner may use; None: unlimited; ignored if `unified`.
    unified: whether projects have the four limits of ProjectLimits. defaults: the limits of projects without own
    limits.
    """

    catalogue: IProjectCatalogue
    size_cap: int
    user_storage: int | None = None
    unified: bool = False
    defaults: ProjectLimits = field(factory=lambda: ProjectLimits(""))

    async def limits(self, owner: str | None) -> ProjectLimits | None:
        """The limits for the images of an owner; None: no limits."""
        if owner is None:
            return None
        if not self.unified:
            return None if self.user_storage is None else ProjectLimits(owner, size_total=self.user_storage)
        own = await self.catalogue.project_limits(owner)
        changes = {LIMITS[name]: value if value >= 0 else None for name, value in own.items() if name in LIMITS}
        return evolve(self.defaults, project_id=owner, **changes)

    async def before_lookup(self, project_id: str | None, expected_size: int | None) -> None:
        """Check the limits of a project that Glance checks before it looks up the image.

        expected_size: bytes of the upload; None: unknown. Raises TooLarge: a limit is reached.
        """
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
        """The bytes that one more upload of the owner may have."""
        limits = await self.limits(owner)
        if limits is None or limits.size_total is None:
            return Allowance(self.size_cap)
        used = await self.catalogue.usage(limits.project_id)
        return Allowance(self.size_cap, max(0, limits.size_total - used))

    async def usage(self, project_id: str | None) -> dict[str, dict[str, int]]:
        """The limit and the usage of each limit of a project, by its name in LIMITS; empty if projects have no such
        limits.

        The values are MiB for SIZES, else numbers. -1 means no limit.
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
