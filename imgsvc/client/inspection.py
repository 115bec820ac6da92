"""What disk format some bytes are in."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO, Final

from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import open_for_reading

# Every format that has a signature shows it within the first 64 KiB; the rest is room for descriptors.
INSPECTED: Final = 1024 * 1024
CHUNK: Final = 64 * 1024
# What the Image API calls a disk format; a partition table or an encrypted volume is the content of a raw disk.
DISK_FORMATS: Final = {name: name for name in ("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso")} | {
    "gpt": "raw",
    "luks": "raw",
}


def guess_disk_format(path: str) -> str:
    """The `disk_format` of the file at `path`, `raw` when nothing is recognised. Blocks.

    Raises LocalFileError when the file cannot be read, is in a format that the Image API has no name for, or
    looks like several formats at once.
    """
    fd, _ = open_for_reading(path)
    try:
        with open(fd, "rb") as file:
            file.seek(0)
            return _guess(file, path)
    except OSError as error:
        raise LocalFileError(path, error.strerror or str(error)) from error


def guess_format_of_bytes(first: bytes, name: str) -> str:
    """As guess_disk_format, of a stream that begins with these bytes. first: INSPECTED of them, or all. name: its."""
    return _guess(BytesIO(first), name)


def _guess(file: BinaryIO, name: str) -> str:
    from oslo_utils.imageutils import format_inspector  # a tenth of a second that only uploads need

    inspected = format_inspector.InspectWrapper(file)
    for _ in range(INSPECTED // CHUNK):
        if not inspected.read(CHUNK):
            break
    inspected.close()
    found = {str(inspector) for inspector in inspected.formats or ()}
    # An installation medium that also boots from USB is an ISO with a partition table around it.
    if found == {"iso", "gpt"}:
        return "iso"
    if len(found) > 1:
        raise LocalFileError(name, f"looks like several formats at once: {', '.join(sorted(found))}")
    known = found.pop() if found else "raw"
    if known not in DISK_FORMATS:
        raise LocalFileError(name, f"is in the format {known}, which the Image API does not know")
    return DISK_FORMATS[known]
