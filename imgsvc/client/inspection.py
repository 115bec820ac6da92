"""What disk format a local file is in."""

from __future__ import annotations

from typing import Final

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
    from oslo_utils.imageutils import format_inspector  # a tenth of a second that only uploads need

    fd, _ = open_for_reading(path)
    try:
        with open(fd, "rb") as file:
            file.seek(0)
            inspected = format_inspector.InspectWrapper(file)
            for _ in range(INSPECTED // CHUNK):
                if not inspected.read(CHUNK):
                    break
            inspected.close()
    except OSError as error:
        raise LocalFileError(path, error.strerror or str(error)) from error
    found = {str(inspector) for inspector in inspected.formats or ()}
    # An installation medium that also boots from USB is an ISO with a partition table around it.
    if found == {"iso", "gpt"}:
        return "iso"
    if len(found) > 1:
        raise LocalFileError(path, f"looks like several formats at once: {', '.join(sorted(found))}")
    name = found.pop() if found else "raw"
    if name not in DISK_FORMATS:
        raise LocalFileError(path, f"is in the format {name}, which the Image API does not know")
    return DISK_FORMATS[name]
