"""Begins the inspection of an image's data, if they are inspected at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgsvc.interfaces import IThreads
from imgsvc.model import Image
from imgsvc.pipeline.inspection_rules import InspectionRules

if TYPE_CHECKING:
    from imgsvc.pipeline.inspection import Inspection

NOT_LOOKED_AT: Final = frozenset({"ova", "compressed"})
"""Container formats whose first byte is not the first byte of a disk: tar archives, and compressed data."""


async def start_inspection(rules: InspectionRules, image: Image, threads: IThreads) -> Inspection | None:
    """The inspection of an image; None if the image is not inspected. threads: where the inspection is made."""
    if image.disk_format is None or image.container_format in {None} | NOT_LOOKED_AT:
        return None
    return await threads.run(_make, rules, image.id, image.disk_format, image.container_format == "bare")


def _make(rules: InspectionRules, image_id: str, disk_format: str, bare: bool) -> Inspection:
    # This imports oslo.utils, which takes longer than a turn of the reactor may. A server without uploads does not need
    # it.
    from imgsvc.pipeline.inspection import Inspection

    return Inspection(image_id, disk_format, rules, bare=bare)
