"""Inspects the bytes of an image during its transfer: their disk format, the size of the disk, and its safety."""

from __future__ import annotations

from typing import Final

from oslo_utils.imageutils.format_inspector import FileInspector, ImageFormatError, SafetyCheckFailed

from imgsvc.errors import FormatMismatch
from imgsvc.logger import make_logger
from imgsvc.pipeline.formats import INSPECTORS, eats, looks_like, recognise
from imgsvc.pipeline.formats.raw import Gpt, Iso
from imgsvc.pipeline.formats.vhd import DIFFERENCING, FOOTER_SIZE, read_footer
from imgsvc.pipeline.formats.vmdk import Vmdk
from imgsvc.pipeline.inspection_rules import InspectionRules

log = make_logger()

UNIT: Final = 64 << 10
"""Inspectors are always fed this many bytes at a time, so that their result does not depend on how the bytes arrive.

The first unit contains the signature of every format that has one: those of UDF come last, within 64 KiB. The fixed VHD
is the exception, because it has a footer instead.
"""

INSPECTABLE: Final = frozenset({"raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks"})
"""Disk formats that content can be checked against. For any other format only unrecognised bytes are accepted."""

ALWAYS_REFUSED: Final = frozenset({"qed"})
"""Formats that are recognised and always refused."""

CONTENTS: Final = frozenset({"gpt", "iso", "luks"})
"""Formats that may be the content of a raw disk. A program reads the same disk whether it recognises them or not."""

PLAIN: Final = frozenset({"raw", "ami", "aki", "ari"})
"""Disk formats without structure: any bytes are valid."""

DISGUISES: Final = ("qcow2", "qed", "vmdk", "vhd", "vhdx", "vdi", "ploop")
"""Formats that a program may recognise in plain bytes that begin with their signature."""

LARGEST_DISK: Final = (1 << 63) - 1
"""Bytes. A header that states a larger size is wrong."""


class Inspection:
    """Inspects the bytes of one image, which are fed piece by piece.

    disk_format: the declared format. bare: whether the image has the container format `bare`: then bytes of another
    format are refused. Otherwise only bytes that are unsafe in the declared format are refused. A refusal is raised as
    soon as it is certain, which may be before the last byte.
    """

    def __init__(self, image_id: str, disk_format: str, rules: InspectionRules, *, bare: bool = True) -> None:
        self._image_id = image_id
        self._declared = disk_format
        self._rules = rules
        self._bare = bare
        self._vmdk_types = frozenset(kind.lower() for kind in rules.vmdk_types)
        self._size = 0
        self._unit = bytearray()
        self._tail = b""
        self._keeps_tail = disk_format == "vhd" or (rules.refuse_disguised and disk_format in PLAIN)
        self._recognised = False
        self._needs_footer = ""
        """The format of the content if no footer makes it a fixed VHD; empty: no footer is needed."""
        self._fixed_size: int | None = None
        self._inspector: FileInspector | None = None
        """The inspector that must see the rest of the bytes; None: no inspector needs them."""
        self._inspecting = True

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Inspect the next piece. Raises FormatMismatch: the bytes are refused for certain."""
        self._size += len(piece)
        rest = memoryview(piece)
        if self._keeps_tail:
            self._tail = (self._tail + bytes(rest[-FOOTER_SIZE:]))[-FOOTER_SIZE:]
        while rest and self._inspecting:
            part = rest[: UNIT - len(self._unit)]
            rest = rest[len(part) :]
            self._unit += part
            if len(self._unit) == UNIT:
                self._eat_unit()

    def finish(self) -> int | None:
        """End the inspection after the last byte. Returns the virtual size in bytes; None if it is unknown.

        Raises FormatMismatch, if the rules are enforced. Empty data is accepted in every format.
        """
        if self._size == 0:
            return 0 if self._declared == "raw" and self._bare else None
        if self._unit:
            self._eat_unit()
        if self._inspecting:
            self._judge()
        if self._keeps_tail:
            self._judge_tail()
        if not self._bare:
            return None
        return self._size if self._declared == "raw" else self._virtual_size()

    def _eat_unit(self) -> None:
        unit = bytes(self._unit)
        self._unit.clear()
        if not self._recognised:
            self._recognised = True
            self._recognise(unit)
            return
        assert self._inspector is not None
        was_complete = self._inspector.complete
        if not eats(self._inspector, unit):
            self._inspector = None
            self._inspecting = False
            self._refuse("it is broken")
        # Some inspectors find out only with the next unit that they need more bytes.
        elif was_complete and self._inspector.complete:
            self._judge()

    def _recognise(self, unit: bytes) -> None:
        """Find the format of the bytes from the first unit, and keep the inspector that must see the rest."""
        found = recognise(unit)
        if isinstance(gpt := found.get("gpt"), Gpt) and self._declared != "gpt" and not gpt.is_partitioned:
            del found["gpt"]
        if self._rules.refuse_disguised and self._declared in PLAIN:
            self._check_disguise([name for name in DISGUISES if name in found or looks_like(name, unit)])
        if self._bare:
            self._check_match(found)
        elif self._declared in INSPECTORS.keys() - found.keys() and looks_like(self._declared, unit):
            self._refuse("what it refers to cannot be checked")
        # A raw disk may contain any data, but a GPT on it must be valid.
        wanted = "gpt" if self._declared == "raw" and self._bare else self._declared
        self._inspector = found.get(wanted)
        if isinstance(self._inspector, Vmdk) and not self._inspector.region("descriptor").complete:
            # QEMU reads up to 1 MiB of it, which is too much to hold for each upload.
            self._inspector = None
            self._refuse(f"its descriptor does not end within the first {UNIT} bytes")
        self._inspecting = self._inspector is not None

    def _check_match(self, found: dict[str, FileInspector]) -> None:
        refused = ALWAYS_REFUSED & found.keys()
        expected = {self._declared} & INSPECTABLE - {"raw"}
        content = ", ".join(sorted(found)) or "raw"
        if refused:
            self._refuse(f"its content is {', '.join(sorted(refused))}, which is not accepted")
        elif self._declared == "raw":
            return
        elif self._declared == "vhd" and found.keys() <= CONTENTS:
            self._needs_footer = content
        elif len(found) > 1:
            self._refuse(f"its content is several formats at once: {content}")
        elif found.keys() != expected:
            self._refuse(f"its content is {content}")

    def _check_disguise(self, names: list[str]) -> None:
        if names:
            self._refuse(f"it can be read as {' or '.join(names)}, which images.refuse_disguised refuses")

    def _judge(self) -> None:
        """Check that the image is safe. The inspector has seen all bytes that it needs."""
        inspector = self._inspector
        assert inspector is not None
        self._inspecting = False
        inspector.finish()
        try:
            inspector.safety_check()
        except SafetyCheckFailed as failed:
            self._refuse_unsafe(inspector.NAME, failed)
        except ImageFormatError as error:
            self._refuse(f"it cannot be checked as {inspector.NAME} ({error})")
        else:
            if isinstance(inspector, Vmdk) and inspector.vmdktype not in self._vmdk_types:
                self._refuse(f"a vmdk of type {inspector.vmdktype} is not accepted")

    def _refuse_unsafe(self, name: str, failed: SafetyCheckFailed) -> None:
        failures = dict(failed.failures)
        if name == "gpt":
            for check in failures.keys() & set(self._rules.nonfatal_gpt):
                log.warn(
                    "Image {image}: gpt check {check} failed: {failure}",
                    image=self._image_id,
                    check=check,
                    failure=failures.pop(check),
                )
        if failures:
            reasons = "; ".join(f"{check}: {failure}" for check, failure in sorted(failures.items()))
            self._refuse(f"it fails the safety checks of {name} ({reasons})")

    def _judge_tail(self) -> None:
        """Check the last bytes, which may be the footer of a VHD."""
        footer = read_footer(self._tail)
        is_fixed = footer is not None and footer.is_of_fixed(self._size)
        if self._declared != "vhd":
            self._check_disguise(["vhd"] if is_fixed else [])
        elif footer is not None and footer.kind == DIFFERENCING:
            self._refuse("it fails the safety checks of vhd (parent: Image has a parent)")
        elif self._needs_footer and footer is not None and is_fixed:
            self._fixed_size = footer.size
        elif self._needs_footer:
            self._refuse(f"its content is {self._needs_footer}")

    def _virtual_size(self) -> int | None:
        inspector = self._inspector
        if inspector is None:
            return self._fixed_size
        try:
            size = inspector.virtual_size
        except Exception as error:  # the header is wrong
            log.debug("Image {image}: no virtual size: {error}", image=self._image_id, error=error)
            return None
        if inspector.NAME in ("gpt", "luks") or (isinstance(inspector, Iso) and inspector.is_udf):
            size += self._size - inspector.actual_size  # these count only the bytes that they were fed
        return size if 0 < size <= LARGEST_DISK else None

    def _refuse(self, reason: str) -> None:
        if self._rules.enforce:
            raise FormatMismatch(f"Image {self._image_id} is declared as {self._declared}: {reason}.")
