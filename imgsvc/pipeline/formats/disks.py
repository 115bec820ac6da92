"""Disk formats of QEMU (qcow2) and VirtualBox (VDI)."""

from __future__ import annotations

import struct
from typing import Final

from oslo_utils.imageutils.format_inspector import QcowInspector, SafetyCheck, SafetyViolation, VDIInspector

DYNAMIC: Final = 1
STATIC: Final = 2


class Qcow2(QcowInspector):
    """Knows all features of QEMU's docs/interop/qcow2: dirty, corrupt, data file, compression type, extended L2
    entries.
    """

    I_FEATURES_MAX_BIT = 5

    def check_data_file(self) -> None:
        """See oslo.utils. Version 2 has no feature bits: other data may be at that offset."""
        if self.qemu_header_info.get("version") != 2:
            super().check_data_file()


class Vdi(VDIInspector):
    """Accepts dynamic and static images only. The other types hold the differences to a parent."""

    def _initialize(self) -> None:
        super()._initialize()
        self.add_safety_check(SafetyCheck("parent", self._check_kind))

    def _check_kind(self) -> None:
        (kind,) = struct.unpack_from("<I", self.region("header").data, 0x4C)
        if kind not in (DYNAMIC, STATIC):
            raise SafetyViolation(f"Image is of type {kind}, which depends on another image")
