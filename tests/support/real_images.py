"""Real disk images: media that Debian packages carry, and what qemu-img makes of them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = [
    "DISKS",
    "FORMATS",
    "ISOS",
    "Format",
    "Medium",
    "convert",
    "create",
    "create_luks",
    "empty_mbr",
    "gpt_disk",
    "info",
    "qemu_img",
]


@frozen
class Medium:
    """A bootable medium as its Debian package installs it."""

    package: str
    file: str

    @property
    def path(self) -> Path:
        """Where it is. Raises AssertionError with the package to install when it is not there."""
        path = Path(self.file)
        if not path.is_file():
            raise AssertionError(f"{path} is missing: install the Debian package {self.package} (tests/run does)")
        return path

    def bytes(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()


ISOS = (
    Medium("ipxe", "/usr/lib/ipxe/ipxe.iso"),
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"),
    Medium("memtest86+", "/usr/lib/memtest86+/memtest86+x64.iso"),
)
DISKS = (
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-floppy.img"),
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-usb.img"),
    Medium("ipxe", "/usr/lib/ipxe/ipxe.lkrn"),
)


@frozen
class Format:
    """A disk format. api: as the Image API calls it; qemu: as qemu-img does; options: what `-o` takes."""

    api: str
    qemu: str
    options: str = ""

    def __str__(self) -> str:
        return f"{self.api} {self.options}".strip()


FORMATS = (
    Format("qcow2", "qcow2"),
    Format("qcow2", "qcow2", "compat=0.10"),
    Format("vmdk", "vmdk", "subformat=monolithicSparse"),
    Format("vmdk", "vmdk", "subformat=streamOptimized"),
    Format("vdi", "vdi"),
    Format("vhdx", "vhdx"),
    Format("vhd", "vpc"),
)


def qemu_img(*arguments: str) -> str:
    """What qemu-img prints. Raises AssertionError with its complaint, or with the package to install."""
    if shutil.which("qemu-img") is None:
        raise AssertionError("qemu-img is missing: install the Debian package qemu-utils (tests/run does)")
    done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"qemu-img {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def convert(source: Path, format: Format, target: Path) -> Path:
    """Turn a raw disk into another format."""
    options = ("-o", format.options) if format.options else ()
    qemu_img("convert", "-f", "raw", "-O", format.qemu, *options, str(source), str(target))
    return target


def create(target: Path, size: str, format: str, *options: str) -> Path:
    """Make an empty image."""
    qemu_img("create", "-q", "-f", format, *options, str(target), size)
    return target


def create_luks(target: Path, size: str) -> Path:
    """Make an empty encrypted volume. qemu-img times the processor for that, and gives up on a busy one: try again."""
    secret = ("--object", "secret,id=s,data=passphrase", "-o", "key-secret=s,iter-time=10")
    for _ in range(9):
        try:
            return create(target, size, "luks", *secret)
        except AssertionError as error:
            if "Unable to get accurate CPU usage" not in str(error):
                raise
    return create(target, size, "luks", *secret)


def info(path: Path, format: str) -> dict[str, Any]:
    """What qemu-img tells of an image."""
    document: dict[str, Any] = json.loads(qemu_img("info", "--output=json", "-f", format, str(path)))
    return document


def gpt_disk(size: int) -> bytes:
    """The first bytes and the zeros of a disk with a protective MBR (UEFI 2.10, section 5.2.3)."""
    protective = struct.pack("<B3BB3BII", 0, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF, 1, size // 512 - 1)
    mbr = bytes(446) + protective + bytes(48) + b"\x55\xaa"
    return (mbr + b"EFI PART").ljust(size, b"\0")


def empty_mbr(size: int) -> bytes:
    """A disk whose partition table has its signature and no partition."""
    return (bytes(510) + b"\x55\xaa").ljust(size, b"\0")
