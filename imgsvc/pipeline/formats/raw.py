"""Contents of raw disks and discs that the Image API names as disk formats: partition tables, ISO 9660 and UDF.

Sources: UEFI 2.10 chapter 5; ECMA-119; ECMA-167 part 2, and OSTA UDF 2.60; Linux, Documentation/arch/x86/boot.rst.
"""

from __future__ import annotations

import struct
from typing import Final

from oslo_utils.imageutils.format_inspector import CaptureRegion, GPTInspector, ISOInspector, SafetyViolation

PROTECTIVE: Final = 0xEE
"""The partition type that marks a disk with a GPT."""
_ENTRIES: Final = (446, 462, 478, 494)
_HEADERS: Final = (512, 4096)
"""Offsets of the header of a GPT, for sectors of 512 and of 4096 bytes."""

VOLUME_DESCRIPTORS: Final = 32 << 10
"""The offset of the volume descriptors. Each takes a sector, or a larger block of the file system."""
SECTOR: Final = 2048
_ISO: Final = b"CD001"
_UDF: Final = (b"NSR02", b"NSR03")
_BEGINS_UDF: Final = b"BEA01"


class Gpt(GPTInspector):
    """A disk whose first sector ends in 55 AA. Boot sectors of file systems and kernels end so too, and so may any
    bytes.
    """

    def _initialize(self) -> None:
        super()._initialize()
        self._seen = False
        self._has_header = False
        self._is_kernel = False

    def eat_chunk(self, chunk: bytes) -> None:
        """See FileInspector. The first chunk contains all that this class looks at."""
        if not self._seen:
            self._seen = True
            self._has_header = any(chunk[start : start + 8] == b"EFI PART" for start in _HEADERS)
            self._is_kernel = chunk[514:518] == b"HdrS"
        super().eat_chunk(chunk)

    @property
    def is_partitioned(self) -> bool:
        """Whether there is a valid partition table, or a GPT, even one without a correct protective MBR."""
        if not self.format_match or self._is_kernel:
            return False
        sector = self.region("mbr").data
        flags, kinds = [sector[start] for start in _ENTRIES], [sector[start + 4] for start in _ENTRIES]
        if self._has_header or (set(flags) <= {0x00, 0x80} and PROTECTIVE in kinds):
            return True
        try:
            self.check_mbr_partitions()
        except SafetyViolation:
            return False
        return True


class Iso(ISOInspector):
    """A disc with ISO 9660, UDF or both.

    UDF may use the whole disc, so the size of such a disc is that of the image.
    """

    def _initialize(self) -> None:
        super()._initialize()
        self.delete_region("header")
        self.new_region("header", CaptureRegion(VOLUME_DESCRIPTORS, 16 * SECTOR, min_length=SECTOR))

    @property
    def format_match(self) -> bool:
        """See FileInspector."""
        if not self.complete:
            return False
        first = self._sectors()[0][1:6]
        return first == _ISO or first in _UDF or (first == _BEGINS_UDF and self.is_udf)

    @property
    def is_udf(self) -> bool:
        """Whether the disc has UDF, with or without ISO 9660."""
        return any(sector[1:6] in _UDF for sector in self._sectors())

    @property
    def virtual_size(self) -> int:
        """Bytes; for a disc with UDF the number of bytes that were fed."""
        if self.is_udf:
            return self.actual_size
        for sector in self._sectors():
            if sector[:6] == b"\x01" + _ISO:  # the primary volume descriptor
                blocks, block = struct.unpack_from("<L", sector, 80)[0], struct.unpack_from("<H", sector, 128)[0]
                return int(blocks * block)
        return 0

    def _sectors(self) -> list[bytes]:
        data = bytes(self.region("header").data)
        return [data[start : start + SECTOR] for start in range(0, len(data) - SECTOR + 1, SECTOR)]
