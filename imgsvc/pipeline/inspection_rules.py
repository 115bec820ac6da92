"""Decides which images are inspected during their transfer, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from imgsvc.interfaces import IThreads
from imgsvc.model import Image

if TYPE_CHECKING:
    from imgsvc.pipeline.inspection import Inspection

NOT_LOOKED_AT: Final = frozenset({"ova", "compressed"})
"""Container formats whose first byte is not the first byte of a disk: tar archives, and compressed data."""


@frozen
class InspectionRules:
    """The rules of inspections.

    enforce: whether anything is refused. vmdk_types: `createType` values that are accepted. nonfatal_gpt: names of GPT
    safety checks whose failure is only logged. refuse_disguised: whether to refuse plain bytes that look like another
    format.
    """

    enforce: bool = True
    vmdk_types: tuple[str, ...] = ()
    nonfatal_gpt: tuple[str, ...] = ()
    refuse_disguised: bool = False

    async def inspection(self, image: Image, threads: IThreads) -> Inspection | None:
        """Make the inspection of an image; None if the image is not inspected.

        threads: where the inspection is made.
        """
        if image.disk_format is None or image.container_format in {None} | NOT_LOOKED_AT:
            return None
        return await threads.run(self._make, image.id, image.disk_format, image.container_format == "bare")

    def _make(self, image_id: str, disk_format: str, bare: bool) -> Inspection:
        # This imports oslo.utils, which takes longer than a turn of the reactor may. A server without uploads does not
        # need it.
        from imgsvc.pipeline.inspection import Inspection

        return Inspection(image_id, disk_format, self, bare=bare)
