"""Guesses the disk format of a file from its first bytes.

The server inspects every byte again, and refuses what is not in the format that was declared. So the client looks at
signatures only, and needs no library for it.
"""

from __future__ import annotations

import os
from typing import Final

from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import open_for_reading

INSPECTED: Final = 1024 * 1024
"""Bytes. The signatures are in the first 33 KiB; the text of a VMDK descriptor may be longer."""

SIGNATURES: Final = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"KDMV", "vmdk"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (32769, b"CD001", "iso"),
    (32769, b"NSR02", "iso"),
    (32769, b"NSR03", "iso"),
    (510, b"\x55\xaa", "partition table"),
    (0, b"LUKS\xba\xbe", "encrypted volume"),
)
"""Offset in bytes, signature, and what has it. The format vmdk has a form without one: see `_is_vmdk_descriptor`."""

DISK_FORMATS: Final = {name: name for name in ("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso")} | {
    "partition table": "raw",
    "encrypted volume": "raw",
}
"""What the Image API calls a disk format. A partition table or an encrypted volume is the content of a raw disk."""

DESCRIPTOR_LOOK: Final = 512
"""Bytes at the beginning of a VMDK descriptor that must be text."""


def guess_disk_format(path: str) -> str:
    """Guess the disk format of a file. Blocks while it reads the first bytes.

    path: of a file or a block device.

    Returns a name of the Image API, as `qcow2`; `raw` when nothing is recognised. Raises LocalFileError when the file
    cannot be read, is in a format that the Image API has no name for, or looks like several formats at once.
    """
    fd, _ = open_for_reading(path)
    try:
        with open(fd, "rb") as file:
            file.seek(0, os.SEEK_SET)
            first = file.read(INSPECTED)
    except OSError as error:
        raise LocalFileError(path, error.strerror or str(error)) from error
    return guess_format_of_bytes(first, path)


def guess_format_of_bytes(first: bytes, name: str) -> str:
    """Guess the disk format of a stream.

    first: its first INSPECTED bytes, or all of them if there are fewer. name: of the stream, for error messages.

    Returns and raises the same as `guess_disk_format`.
    """
    found = {kind for offset, signature, kind in SIGNATURES if first.startswith(signature, offset)}
    if _is_vmdk_descriptor(first):
        found.add("vmdk")
    # An installation medium that also boots from USB is an ISO with a partition table around it.
    if found == {"iso", "partition table"}:
        return "iso"
    if len(found) > 1:
        raise LocalFileError(name, f"looks like several formats at once: {', '.join(sorted(found))}")
    known = found.pop() if found else "raw"
    if known not in DISK_FORMATS:
        raise LocalFileError(name, f"is in the format {known}, which the Image API does not know")
    return DISK_FORMATS[known]


def _is_vmdk_descriptor(first: bytes) -> bool:
    """Whether the bytes are the text that describes a VMDK disk, whose data are in other files."""
    try:
        beginning = first[:DESCRIPTOR_LOOK].decode("ascii")
    except UnicodeDecodeError:
        return False
    is_text = all(character.isprintable() or character.isspace() for character in beginning)
    return is_text and b'createtype="' in first.lower()
