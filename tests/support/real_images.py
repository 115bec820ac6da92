"""Real disk images: media of Debian packages, and images that qemu-img makes."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = [
    "DISKS",
    "FIXED_VHDS",
    "FORMATS",
    "ISOS",
    "KERNELS",
    "VARIANTS",
    "Format",
    "Medium",
    "convert",
    "create",
    "create_luks",
    "empty_mbr",
    "encrypted",
    "gpt_disk",
    "info",
    "make_iso",
    "make_udf",
    "qemu_img",
]


@frozen
class Medium:
    """A bootable medium as its Debian package installs it."""

    package: str
    file: str

    @property
    def path(self) -> Path:
        """The path of the medium. Raises AssertionError with the package to install if it is missing."""
        path = Path(self.file)
        if not path.is_file():
            raise AssertionError(f"{path} is missing: install the Debian package {self.package} (tests/run does)")
        return path

    def bytes(self) -> bytes:
        """All its bytes."""
        return self.path.read_bytes()


ISOS = (
    Medium("ipxe", "/usr/lib/ipxe/ipxe.iso"),
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"),
    Medium("memtest86+", "/usr/lib/memtest86+/memtest86+x64.iso"),
)
KERNELS = (
    Medium("memtest86+", "/boot/memtest86+x64.bin"),
    Medium("memtest86+", "/boot/memtest86+x64.efi"),
    Medium("memtest86+", "/boot/memtest86+ia32.bin"),
    Medium("memtest86+", "/boot/memtest86+ia32.efi"),
    Medium("ipxe", "/usr/lib/ipxe/ipxe.lkrn"),
)
"""Files that boot loaders load as a Linux kernel."""
DISKS = (
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-floppy.img"),
    Medium("grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-usb.img"),
    Medium("ipxe", "/usr/lib/ipxe/ipxe.lkrn"),
)


@frozen
class Format:
    """A disk format. api: its name in the Image API; qemu: its name in qemu-img; options: for `-o`."""

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
VARIANTS = (
    Format("qcow2", "qcow2", "extended_l2=on"),
    Format("qcow2", "qcow2", "extended_l2=on,cluster_size=128k,compression_type=zstd,lazy_refcounts=on"),
    Format("qcow2", "qcow2", "cluster_size=512,refcount_bits=1"),
    Format("qcow2", "qcow2", "preallocation=full"),
    Format("vmdk", "vmdk", "compat6=on"),
    Format("vmdk", "vmdk", "zeroed_grain=on"),
    Format("vmdk", "vmdk", "adapter_type=lsilogic,subformat=streamOptimized"),
    Format("vdi", "vdi", "static=on"),
    Format("vhdx", "vhdx", "subformat=fixed"),
    Format("vhdx", "vhdx", "log_size=8M,block_size=1M"),
    Format("vhd", "vpc", "subformat=dynamic,force_size=on"),
)
"""Other formats of qemu-img that the first bytes show."""
FIXED_VHDS = (
    Format("vhd", "vpc", "subformat=fixed"),
    Format("vhd", "vpc", "subformat=fixed,force_size=on"),
)


def qemu_img(*arguments: str) -> str:
    """The output of qemu-img. Raises AssertionError with its error message, or with the package to install."""
    return _run("qemu-utils", "qemu-img", *arguments)


def _run(package: str, program: str, *arguments: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{program} is missing: install the Debian package {package} (tests/run does)")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def make_udf(target: Path, size: int, block: int) -> Path:
    """A disc with UDF and nothing else, with blocks of so many bytes."""
    with target.open("wb") as file:
        file.truncate(size)
    _run("udftools", "mkudffs", "--media-type=hd", f"--blocksize={block}", str(target))
    return target


def make_iso(target: Path, tree: Path, *options: str) -> Path:
    """A disc with the files of a folder."""
    _run("genisoimage", "genisoimage", "-quiet", *options, "-o", str(target), str(tree))
    return target


def convert(source: Path, format: Format, target: Path) -> Path:
    """Convert a raw disk into another format."""
    options = ("-o", format.options) if format.options else ()
    qemu_img("convert", "-f", "raw", "-O", format.qemu, *options, str(source), str(target))
    return target


def create(target: Path, size: str, format: str, *options: str) -> Path:
    """Make an empty image."""
    qemu_img("create", "-q", "-f", format, *options, str(target), size)
    return target


def create_luks(target: Path, size: str) -> Path:
    """Make an empty encrypted volume."""
    return encrypted(target, size, "luks", "key-secret=s,iter-time=10")


def encrypted(target: Path, size: str, format: str, options: str) -> Path:
    """Create an empty image with the secret `s`. For LUKS, qemu-img measures the processor, and gives up on a
    busy one.
    """
    secret = ("--object", "secret,id=s,data=passphrase", "-o", options)
    for _ in range(9):
        try:
            return create(target, size, format, *secret)
        except AssertionError as error:
            if "Unable to get accurate CPU usage" not in str(error):
                raise
    return create(target, size, format, *secret)


def info(path: Path, format: str) -> dict[str, Any]:
    """The facts that qemu-img reports about an image."""
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
