"""Which images are inspected as their bytes come, and what of them is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from imgsvc.interfaces import IThreads
from imgsvc.model import Image

if TYPE_CHECKING:
    from imgsvc.pipeline.inspection import Inspection

NOT_LOOKED_AT: Final = frozenset({"ova", "compressed"})
"""Container formats in which no disk begins with the first byte: a tar archive, and what a compressor makes."""


@frozen
class InspectionRules:
    """What is refused.

    enforce: whether anything is. vmdk_types: `createType` values that are accepted. nonfatal_gpt: names of GPT safety
    checks whose failure is only logged. refuse_disguised: whether plain bytes must not look like another format.
    """

    enforce: bool = True
    vmdk_types: tuple[str, ...] = ()
    nonfatal_gpt: tuple[str, ...] = ()
    refuse_disguised: bool = False

    async def inspection(self, image: Image, threads: IThreads) -> Inspection | None:
        """That of an image's bytes; None if they are not looked at. threads: the first one is made in one of them."""
        if image.disk_format is None or image.container_format in {None} | NOT_LOOKED_AT:
            return None
        return await threads.run(self._make, image.id, image.disk_format, image.container_format == "bare")

    def _make(self, image_id: str, disk_format: str, bare: bool) -> Inspection:
        # The formats come with oslo.utils, which takes longer to import than a turn of the reactor may, and which a
        # server without uploads does not need.
        from imgsvc.pipeline.inspection import Inspection

        return Inspection(image_id, disk_format, self, bare=bare)
