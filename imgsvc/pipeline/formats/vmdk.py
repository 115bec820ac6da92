"""Disk format of VMware: VMDK.

Source: VMware's "Virtual Disk Format 5.0". The file is a text descriptor, or has one at its second sector, that names
the files of the disk. An image is one file, so only kinds whose descriptor names that one file are accepted.
"""

from __future__ import annotations

from typing import Final

from oslo_utils.imageutils.format_inspector import SafetyCheck, SafetyViolation, VMDKInspector

LONGEST_TEXT: Final = 64 << 10
"""Bytes of a descriptor. Programs read up to 1 MiB; real descriptors have some hundred bytes."""

MOST_LINES: Final = 1000
"""Lines of a descriptor. Real ones have about twenty. Checking more lines would take too long."""

_ACCESS: Final = ([b"rw"], [b"rdonly"], [b"noaccess"])
_TO_ASCII: Final = bytes(range(128)) + b"?" * 128


class Vmdk(VMDKInspector):
    """Adds checks to those of oslo.utils: there must be one type, one extent, which is sparse, and no parent.

    Programs read the text up to the first NUL, whatever length the header states. Its file names need not be ASCII.
    Overrides `_parse_descriptor`, which is not part of the public API of oslo.utils.
    """

    def _initialize(self) -> None:
        super()._initialize()
        self._text: bytes | None = None
        self.add_safety_check(SafetyCheck("single_file", self._check_single_file))

    def eat_chunk(self, chunk: bytes) -> None:
        """See FileInspector. The first chunk contains the whole text."""
        if self._text is None:
            self._text = _text(chunk[self.DESC_OFFSET :])
        super().eat_chunk(chunk)

    def _parse_descriptor(self) -> None:
        region = self.region("descriptor")
        region.data = bytes(region.data).translate(_TO_ASCII)
        super()._parse_descriptor()

    def check_descriptor(self) -> None:
        """See oslo.utils. Raises SafetyViolation."""
        if self.desc_text is not None and self.desc_text.count("\n") > MOST_LINES:
            raise SafetyViolation(f"Descriptor has more than {MOST_LINES} lines")
        super().check_descriptor()

    def _check_single_file(self) -> None:
        text = self._text or b""
        if text.count(b"\n") > MOST_LINES:
            raise SafetyViolation(f"Descriptor has more than {MOST_LINES} lines")
        if not self.has_region("header"):
            raise SafetyViolation("Image is a descriptor without a disk")
        if b"parentfilenamehint" in text:
            raise SafetyViolation("Image has a parent")
        if text.count(b"createtype") != 1:
            raise SafetyViolation("Image has not one createType")
        words = [line.split(maxsplit=3) for line in text.split(b"\n")]
        if [line[2:3] for line in words if line[:1] in _ACCESS] != [[b"sparse"]]:
            raise SafetyViolation("Image has not one sparse extent")


def may_be_descriptor(unit: bytes) -> bool:
    """Whether a program that expects a VMDK might read these bytes as a text descriptor.

    unit: the first 64 KiB of the image, or all bytes if there are fewer.
    """
    text = _text(unit)
    return b"createtype" in text or len(text) == LONGEST_TEXT


def _text(data: bytes) -> bytes:
    """The data up to the first NUL, in lower case."""
    return data.split(b"\0", 1)[0].lower()
