"""Disk formats: what each is told by, and what makes an image in it unsafe.

The formats and most of their checks are those of oslo.utils, which Glance, Nova and Cinder use too. The modules of this
package change what those take for another format, or do not look at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from oslo_utils.imageutils import format_inspector
from oslo_utils.imageutils.format_inspector import FileInspector

from imgsvc.logger import make_logger
from imgsvc.pipeline.formats.disks import Qcow2, Vdi
from imgsvc.pipeline.formats.raw import Gpt, Iso
from imgsvc.pipeline.formats.vhd import Vhd, Vhdx
from imgsvc.pipeline.formats.vmdk import Vmdk, may_be_descriptor

log = make_logger()
# What the inspectors find is told to the client; without a handler, logging would write it to standard error too.
logging.getLogger(format_inspector.__name__).addHandler(logging.NullHandler())

INSPECTORS: Final[Mapping[str, type[FileInspector]]] = {
    **{name: kind for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw"},
    **{kind.NAME: kind for kind in (Qcow2, Vdi, Vhd, Vhdx, Vmdk, Iso, Gpt)},
}
"""By the names that the Image API has for formats."""

SIGNATURES: Final = {
    "qcow2": (b"QFI\xfb",),
    "qed": (b"QED\0",),
    "vhd": (b"conectix",),
    "vhdx": (b"vhdxfile",),
    "vmdk": (b"KDMV", b"COWD"),
    "ploop": (b"WithoutFreeSpace", b"WithouFreSpacExt"),
}
"""What files of these formats begin with, also those that no inspector understands."""

_VDI_SIGNATURE: Final = b"\x7f\x10\xda\xbe"


def recognise(unit: bytes) -> dict[str, FileInspector]:
    """The inspectors, by name, of the formats that bytes are in. unit: the first 64 KiB, or all that there are."""
    found = {}
    for name, kind in INSPECTORS.items():
        inspector = kind()
        if eats(inspector, unit) and _matches(inspector):
            found[name] = inspector
    if "iso" in found:
        found.pop("gpt", None)  # a bootable ISO carries a partition table too
    return found


def looks_like(name: str, unit: bytes) -> bool:
    """Whether programs might read bytes as this format, although no inspector need recognise it. unit: as above."""
    if name == "vdi":
        return unit[64:68] == _VDI_SIGNATURE
    return unit.startswith(SIGNATURES.get(name, ())) or (name == "vmdk" and may_be_descriptor(unit))


def eats(inspector: FileInspector, unit: bytes) -> bool:
    """Feed an inspector. Whether it found nothing that its format does not allow."""
    try:
        inspector.eat_chunk(unit)
    except Exception as error:  # the inspectors parse hostile bytes; any failure means "not this format"
        log.debug("not {format}: {error}", format=inspector.NAME, error=error)
        return False
    return True


def _matches(inspector: FileInspector) -> bool:
    try:
        return bool(inspector.format_match)
    except AttributeError:  # a text descriptor of VMDK that was never complete
        return False
