"""Disk formats of Virtual PC and Hyper-V: VHD and VHDX.

Sources: Microsoft's "Virtual Hard Disk Image Format Specification" 1.0, and [MS-VHDX].
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from attrs import frozen
from oslo_utils.imageutils.format_inspector import SafetyCheck, SafetyViolation, VHDInspector, VHDXInspector

FOOTER_SIZE: Final = 512
FIXED: Final = 2
DIFFERENCING: Final = 4
_PARENT_LOCATOR: Final = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le


@frozen
class Footer:
    """The last 512 bytes of a VHD. A VHD that is not fixed begins with a copy of them.

    size: of the disk, in bytes. is_sound: whether the checksum is right.
    """

    kind: int
    size: int
    is_sound: bool

    def is_of_fixed(self, file_size: int) -> bool:
        """Whether a file of `file_size` bytes with this footer is a fixed VHD, which is a raw disk followed by a
        footer.
        """
        return self.is_sound and self.kind == FIXED and 0 < self.size <= file_size - FOOTER_SIZE


def read_footer(sector: bytes | bytearray) -> Footer | None:
    """Parse 512 bytes as a footer; None if they are not one."""
    if len(sector) != FOOTER_SIZE or not sector.startswith(b"conectix"):
        return None
    size, _, kind, checksum = struct.unpack_from(">QIII", sector, 48)
    total = sum(sector) - sum(sector[64:68])
    return Footer(kind, size, checksum == ~total & 0xFFFFFFFF)


class Vhd(VHDInspector):
    """A VHD that begins with a copy of its footer. Its size is the current one, not the one at its creation."""

    def _initialize(self) -> None:
        super()._initialize()
        self.add_safety_check(SafetyCheck("parent", self._check_kind))

    @property
    def virtual_size(self) -> int:
        """Bytes; 0 if unknown."""
        footer = self._footer
        return 0 if footer is None else footer.size

    @property
    def _footer(self) -> Footer | None:
        return read_footer(self.region("header").data)

    def _check_kind(self) -> None:
        footer = self._footer
        if footer is not None and footer.kind == DIFFERENCING:
            raise SafetyViolation("Image has a parent")


class Vhdx(VHDXInspector):
    """A VHDX whose metadata may name a parent."""

    def _initialize(self) -> None:
        super()._initialize()
        self.add_safety_check(SafetyCheck("parent", self._check_parent))

    def _check_parent(self) -> None:
        table = self.region("metadata").data if self.has_region("metadata") else b""
        if any(table[start : start + 16] == _PARENT_LOCATOR for start in range(32, len(table), 32)):
            raise SafetyViolation("Image has a parent")
