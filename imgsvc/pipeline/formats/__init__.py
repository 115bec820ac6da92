"""Disk formats: how each is recognised, and what makes an image in it unsafe.

The formats and most of their checks come from oslo.utils, which Glance, Nova and Cinder use too. The modules of this
package correct wrong recognitions, and add missing checks.
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
# Clients get the findings of the inspectors. Without a handler, logging would also write them to standard error.
logging.getLogger(format_inspector.__name__).addHandler(logging.NullHandler())

INSPECTORS: Final[Mapping[str, type[FileInspector]]] = {
    **{name: kind for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw"},
    **{kind.NAME: kind for kind in (Qcow2, Vdi, Vhd, Vhdx, Vmdk, Iso, Gpt)},
}
"""The inspectors, by the Image API's name of the format."""

SIGNATURES: Final = {
    "qcow2": (b"QFI\xfb",),
    "qed": (b"QED\0",),
    "vhd": (b"conectix",),
    "vhdx": (b"vhdxfile",),
    "vmdk": (b"KDMV", b"COWD"),
    "ploop": (b"WithoutFreeSpace", b"WithouFreSpacExt"),
}
"""The first bytes of files of these formats, including variants that no inspector understands."""

_VDI_SIGNATURE: Final = b"\x7f\x10\xda\xbe"


def recognise(unit: bytes) -> dict[str, FileInspector]:
    """The inspectors of the formats that the bytes match, by name.

    unit: the first 64 KiB of the image, or all bytes if there are fewer.
    """
    found = {}
    for name, kind in INSPECTORS.items():
        inspector = kind()
        if eats(inspector, unit) and _matches(inspector):
            found[name] = inspector
    if "iso" in found:
        found.pop("gpt", None)  # a bootable ISO has a partition table too
    return found


def looks_like(name: str, unit: bytes) -> bool:
    """Whether a program might read the bytes as this format, even if no inspector recognises it.

    unit: see `recognise`.
    """
    if name == "vdi":
        return unit[64:68] == _VDI_SIGNATURE
    return unit.startswith(SIGNATURES.get(name, ())) or (name == "vmdk" and may_be_descriptor(unit))


def eats(inspector: FileInspector, unit: bytes) -> bool:
    """Feed bytes to an inspector. Returns whether they are valid in its format."""
    try:
        inspector.eat_chunk(unit)
    except Exception as error:  # the bytes may be hostile; any failure means "not this format"
        log.debug("not {format}: {error}", format=inspector.NAME, error=error)
        return False
    return True


def _matches(inspector: FileInspector) -> bool:
    try:
        return bool(inspector.format_match)
    except AttributeError:  # an incomplete text descriptor of VMDK
        return False
