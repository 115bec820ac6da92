"""Looks at the bytes of an upload as they pass: which disk format they are, how large the disk, whether it is safe.

The formats and their safety checks are those of oslo.utils, which Glance, Nova and Cinder use too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import txaio
from oslo_utils.imageutils import format_inspector

from imgsvc.errors import FormatMismatch

log = txaio.make_logger()
# What the inspectors find is told to the client; without a handler, logging would write it to standard error too.
logging.getLogger(format_inspector.__name__).addHandler(logging.NullHandler())

UNIT: Final = 64 << 10
"""Bytes that inspectors are fed at once, whatever came at once, so that equal bytes get equal verdicts.

The first unit tells every format: of all signatures the one that comes last, that of ISO 9660, ends at 34 KiB.
"""

INSPECTABLE: Final = frozenset({"raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks"})
"""Disk formats that content can be checked against; of any other, unrecognised bytes are accepted only."""

ALWAYS_REFUSED: Final = frozenset({"qed"})
"""Formats that are recognised in order to be refused."""

LARGEST_DISK: Final = (1 << 63) - 1
"""Bytes. What a header tells beyond that is no size."""


class Inspection:
    """What one upload's bytes are, fed piece by piece and judged at the end.

    disk_format: as declared. enforce: whether a mismatch is an error; a mismatch that is certain is raised while
    the bytes still come. vmdk_types: `createType` values that are accepted. nonfatal_gpt: names of GPT safety
    checks whose failure is only logged.
    """

    def __init__(
        self,
        image_id: str,
        disk_format: str,
        *,
        enforce: bool = True,
        vmdk_types: Iterable[str] = (),
        nonfatal_gpt: Iterable[str] = (),
    ) -> None:
        self._image_id = image_id
        self._declared = disk_format
        self._enforce = enforce
        self._vmdk_types = frozenset(kind.lower() for kind in vmdk_types)
        self._nonfatal_gpt = frozenset(nonfatal_gpt)
        self._size = 0
        self._unit = bytearray()
        self._recognised = False
        self._inspector: Any = None
        """Of the format that the bytes turned out to have, if it has anything to tell."""
        self._inspecting = True

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Look at the next piece. Raises FormatMismatch when it is certain that the declared format is not there."""
        self._size += len(piece)
        rest = memoryview(piece)
        while rest and self._inspecting:
            part = rest[: UNIT - len(self._unit)]
            rest = rest[len(part) :]
            self._unit += part
            if len(self._unit) == UNIT:
                self._eat_unit()

    def finish(self) -> int | None:
        """All bytes were fed: the virtual size in bytes, None if unknown.

        Raises FormatMismatch if enforced. No bytes at all are accepted in every format.
        """
        if self._size == 0:
            return 0 if self._declared == "raw" else None
        if self._unit:
            self._eat_unit()
        if self._inspecting:
            self._judge()
        return self._size if self._declared == "raw" else self._virtual_size()

    def _eat_unit(self) -> None:
        unit = bytes(self._unit)
        self._unit.clear()
        if not self._recognised:
            self._recognised = True
            self._recognise(unit)
            return
        was_complete = self._inspector.complete
        if not self._eats(self._inspector, unit):
            self._inspector = None
            self._inspecting = False
            self._refuse("it is broken")
        # Some inspectors find only with the unit after that they want to know more.
        elif was_complete and self._inspector.complete:
            self._judge()

    def _recognise(self, unit: bytes) -> None:
        """Find out from the first unit what the bytes are, and keep the inspector that must see the rest."""
        found = {}
        for name, inspector_class in format_inspector.ALL_FORMATS.items():
            inspector = inspector_class()
            if name != "raw" and self._eats(inspector, unit) and _matches(inspector):
                found[name] = inspector
        if "iso" in found:
            found.pop("gpt", None)  # a bootable ISO carries a partition table too
        self._check_match(found)
        # A raw disk may hold anything, but its partition table must be sound.
        self._inspector = found.get("gpt" if self._declared == "raw" else self._declared)
        if self._declared in found.keys() & {"vmdk"} and not found["vmdk"].region("descriptor").complete:
            # Real ones have some hundred bytes. As many as QEMU takes, 1 MiB, would be held for each upload.
            self._inspector = None
            self._refuse(f"its descriptor does not end within the first {UNIT} bytes")
        self._inspecting = self._inspector is not None

    def _check_match(self, found: dict[str, Any]) -> None:
        refused = ALWAYS_REFUSED & found.keys()
        expected = {self._declared} & INSPECTABLE - {"raw"}
        if refused:
            self._refuse(f"its content is {', '.join(sorted(refused))}, which is not accepted")
        elif self._declared == "raw":
            return
        elif len(found) > 1:
            self._refuse(f"its content is several formats at once: {', '.join(sorted(found))}")
        elif found.keys() != expected:
            self._refuse(f"its content is {next(iter(found), 'raw')}")

    def _judge(self) -> None:
        """The inspector has seen all that it wants: check that the image is safe."""
        inspector = self._inspector
        self._inspecting = False
        inspector.finish()
        try:
            inspector.safety_check()
        except format_inspector.SafetyCheckFailed as failed:
            failures = dict(failed.failures)
            if inspector.NAME == "gpt":
                for check in self._nonfatal_gpt & failures.keys():
                    log.warn(
                        "Image {image}: gpt check {check} failed: {failure}",
                        image=self._image_id,
                        check=check,
                        failure=failures.pop(check),
                    )
            if failures:
                reasons = "; ".join(f"{check}: {failure}" for check, failure in sorted(failures.items()))
                self._refuse(f"it fails the safety checks of {inspector.NAME} ({reasons})")
        except format_inspector.ImageFormatError as error:
            self._refuse(f"it cannot be checked as {inspector.NAME} ({error})")
        else:
            if inspector.NAME == "vmdk" and inspector.vmdktype not in self._vmdk_types:
                self._refuse(f"a vmdk of type {inspector.vmdktype} is not accepted")

    def _virtual_size(self) -> int | None:
        inspector = self._inspector
        if inspector is None:
            return None
        try:
            size: int = inspector.virtual_size
        except Exception as error:  # a header that lies about itself
            log.debug("Image {image}: no virtual size: {error}", image=self._image_id, error=error)
            return None
        if inspector.NAME in ("gpt", "luks"):  # these count the bytes that they see, which were not all
            size += self._size - inspector.actual_size
        return size if 0 < size <= LARGEST_DISK else None

    def _eats(self, inspector: Any, unit: bytes) -> bool:
        """Feed an inspector. Whether it found nothing that its format does not allow."""
        try:
            inspector.eat_chunk(unit)
        except Exception as error:  # the inspectors parse hostile bytes; any failure means "not this format"
            log.debug("Image {image}: not {format}: {error}", image=self._image_id, format=inspector.NAME, error=error)
            return False
        return True

    def _refuse(self, reason: str) -> None:
        if self._enforce:
            raise FormatMismatch(f"Image {self._image_id} is declared as {self._declared}: {reason}.")


def _matches(inspector: Any) -> bool:
    try:
        return bool(inspector.format_match)
    except AttributeError:  # a text descriptor of VMDK that was never complete
        return False
