"""Recognition of formats, and unsafe images, beyond the checks of oslo.utils."""

from __future__ import annotations

import random
import struct
import uuid
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.pipeline.formats.vhd import DIFFERENCING
from imgsvc.pipeline.inspection import UNIT
from tests.pipeline.inspecting import SIZE, folder, image, inspect, luks_volume, verdict
from tests.pipeline.inspecting import clean_up as tearDownModule
from tests.support.real_images import (
    FIXED_VHDS,
    FORMATS,
    ISOS,
    KERNELS,
    VARIANTS,
    Format,
    convert,
    create,
    empty_mbr,
    encrypted,
    gpt_disk,
    info,
    make_iso,
    make_udf,
)

__all__ = ["tearDownModule"]

PIECES = (UNIT, 1000, 511, 1 << 20)
SPARSE_VMDK = Format("vmdk", "vmdk", "subformat=monolithicSparse")


def with_text(vmdk: bytes, text: str, sectors: int = 20) -> bytes:
    """A VMDK with another descriptor, and its length in the header."""
    written = text.encode("latin-1").ljust(20 * 512, b"\0")
    return vmdk[:36] + struct.pack("<Q", sectors) + vmdk[44:512] + written + vmdk[512 + 20 * 512 :]


def text_of(vmdk: bytes) -> str:
    """The descriptor of a VMDK."""
    return vmdk[512 : 512 + 20 * 512].rstrip(b"\0").decode()


def with_footer(footer: bytes, kind: int, size: int | None = None) -> bytes:
    """The footer of a VHD with another kind and size, and the right checksum."""
    changed = bytearray(footer)
    struct.pack_into(">I", changed, 60, kind)
    if size is not None:
        struct.pack_into(">Q", changed, 48, size)
    changed[64:68] = bytes(4)
    struct.pack_into(">I", changed, 64, ~sum(changed) & 0xFFFFFFFF)
    return bytes(changed)


class VariantTests(SynchronousTestCase):
    """Images of qemu-img with options."""

    def test_each(self) -> None:
        """Each is accepted, with the size that qemu-img shows."""
        for format in VARIANTS:
            path = image(format)
            size = info(path, format.qemu)["virtual-size"]
            self.assertEqual(size, inspect(path.read_bytes(), format.api), str(format))


class Qcow2Tests(SynchronousTestCase):
    """qcow2"""

    def test_encrypted(self) -> None:
        """Encrypted images of both versions are refused."""
        for options in ("encrypt.format=luks,encrypt.iter-time=10", "encrypt.format=luks,compat=0.10"):
            path = encrypted(folder() / "secret.qcow2", "3M", "qcow2", f"{options},encrypt.key-secret=s")
            self.assertEqual(SIZE, inspect(path.read_bytes(), "qcow2"), options)

    def test_version_two(self) -> None:
        """Version 2 has no features; the field has other contents."""
        data = bytearray(image(Format("qcow2", "qcow2", "compat=0.10")).read_bytes())
        data[72:80] = struct.pack(">II", 0x6803F857, 0x44)
        self.assertEqual(SIZE, inspect(bytes(data), "qcow2"))

    def test_features(self) -> None:
        """Five features of version 3 are known, and one of them is an external data file."""
        data = bytearray(image(FORMATS[0]).read_bytes())
        for bit in range(64):
            data[72:80] = struct.pack(">Q", 1 << bit)
            result = str(verdict(bytes(data), "qcow2"))
            if bit == 2:
                self.assertIn("data_file", result)
            elif bit <= 4:
                self.assertEqual(str(SIZE), result, f"bit {bit}")
            else:
                self.assertIn("unknown_features", result, f"bit {bit}")


class VmdkTests(SynchronousTestCase):
    """VMDK"""

    def setUp(self) -> None:
        self.data = image(SPARSE_VMDK).read_bytes()
        self.text = text_of(self.data)

    def refused(self, text: str, sectors: int = 20) -> str:
        """The reason why a VMDK with such a descriptor is refused."""
        return str(verdict(with_text(self.data, text, sectors), "vmdk"))

    def test_parent(self) -> None:
        """A VMDK that depends on another file is refused."""
        base = image(SPARSE_VMDK)
        path = create(folder() / "delta.vmdk", "3M", "vmdk", "-b", str(base), "-F", "vmdk")
        self.assertIn("Image has a parent", str(verdict(path.read_bytes(), "vmdk")))

    def test_parent_behind_the_text(self) -> None:
        """Programs look for a parent in the whole descriptor, also beyond the length in the header."""
        long = self.text + "# " + "x" * (512 - len(self.text) - 2)
        self.assertEqual(SIZE, inspect(with_text(self.data, long, 1), "vmdk"))
        self.assertIn("Image has a parent", self.refused(f'{long}\nPARENTFileNameHint="/etc/x"\n', 1))
        self.assertIn("Image has a parent", self.refused(f'# parentFileNameHint="/etc/x"\n{self.text}'))

    def test_other_types(self) -> None:
        """Programs differ in which of two types counts."""
        self.assertIn("not one createType", self.refused(f'createType="streamOptimized"\n{self.text}'))

    def test_other_extents(self) -> None:
        """Several extents, or one in another file, are refused."""
        extent = next(line for line in self.text.splitlines() if line.startswith("RW"))
        for other in (f"{extent}\n{extent}", f"{extent}\nRW 1 FLAT secret 0", 'RW 6144 FLAT "secret" 0', "RW 6144"):
            self.assertIn("not one sparse extent", self.refused(self.text.replace(extent, other)), other)
        self.assertEqual(SIZE, inspect(with_text(self.data, self.text.replace(extent, f"  {extent}\r")), "vmdk"))

    def test_text_alone(self) -> None:
        """A descriptor alone, of an allowed type, that refers to another file is refused."""
        self.assertIn("descriptor without a disk", str(verdict(self.text.encode(), "vmdk")))

    def test_names(self) -> None:
        """Names of files may be in any language."""
        text = self.text.replace("vmdk-", "")
        for name in ("d\xefsk", "\xe3\x83\x87\xe3\x82\xa3"):
            self.assertEqual(SIZE, inspect(with_text(self.data, text.replace('SPARSE "', f'SPARSE "{name}')), "vmdk"))

    def test_lines(self) -> None:
        """A descriptor with very many lines is checked quickly."""
        data = bytearray(self.data)
        data[36:44] = struct.pack("<Q", 100)
        data[512 : 512 + 100 * 512] = (self.text + "\n" * 2000).encode().ljust(100 * 512, b"\0")
        self.assertIn("more than 1000 lines", str(verdict(bytes(data), "vmdk")))


class VhdTests(SynchronousTestCase):
    """VHD and VHDX"""

    def test_fixed(self) -> None:
        """A fixed VHD has only a footer, which has its size, in whatever pieces it comes."""
        for format in FIXED_VHDS:
            data = image(format).read_bytes()
            for pieces in PIECES:
                self.assertEqual(info(image(format), "vpc")["virtual-size"], inspect(data, "vhd", pieces), str(format))
            self.assertEqual(len(data), inspect(data, "raw"))

    def test_contents_of_fixed(self) -> None:
        """It may contain a disk with partitions, an encrypted volume, or a disc."""
        for content in (gpt_disk(SIZE), luks_volume(), ISOS[0].bytes(), b"\xeb" * 510 + b"\x55\xaa"):
            raw = folder() / "content.raw"
            raw.write_bytes(content)
            path = convert(raw, FIXED_VHDS[1], folder() / "content.vhd")
            self.assertEqual(len(content), inspect(path.read_bytes(), "vhd"))

    def test_no_fixed(self) -> None:
        """A footer that is damaged, of another kind, of a larger disk, or not at the end is not a VHD."""
        data = image(FIXED_VHDS[1]).read_bytes()
        disk, footer = data[:-512], data[-512:]
        for wrong in (
            disk + footer[:-1] + b"\1",
            disk + with_footer(footer, 3),
            disk + with_footer(footer, 2, SIZE + 1),
            disk + with_footer(footer, 2, 0),
            disk + footer + b"\0",
            disk[:-1] + footer,
            disk,
            gpt_disk(SIZE),
            ISOS[0].bytes(),
        ):
            for pieces in PIECES:
                self.assertIn("its content is ", str(verdict(wrong, "vhd", pieces)))
        self.assertIn("cannot be checked", str(verdict(footer[:511], "vhd")))
        smaller = disk + with_footer(footer, 2, SIZE - 512)
        self.assertEqual(SIZE - 512, inspect(smaller, "vhd"))

    def test_footer_behind_another_format(self) -> None:
        """A footer does not make a disk of another format a VHD."""
        footer = image(FIXED_VHDS[1]).read_bytes()[-512:]
        for format in FORMATS:
            if format.api != "vhd":
                data = image(format).read_bytes() + footer
                self.assertIn(f"its content is {format.api}", str(verdict(data, "vhd")))

    def test_parent(self) -> None:
        """A differencing VHD is refused, whether its first or its last bytes show it."""
        data = image(Format("vhd", "vpc")).read_bytes()
        changed = with_footer(data[:512], DIFFERENCING)
        for wrong in (changed + data[512:], data[:-512] + changed, changed + data[512:-512] + changed):
            self.assertIn("Image has a parent", str(verdict(wrong, "vhd")))
        self.assertIn("Image has a parent", str(verdict(bytes(SIZE) + changed, "vhd")))

    def test_resized(self) -> None:
        """Its size is the current one, not the original one."""
        data = image(Format("vhd", "vpc")).read_bytes()
        footer = with_footer(data[:512], 3, 5 << 20)
        self.assertEqual(5 << 20, inspect(footer + data[512:-512] + footer, "vhd"))

    def test_vhdx_parent(self) -> None:
        """A VHDX whose metadata names a parent is refused."""
        data = bytearray(image(Format("vhdx", "vhdx")).read_bytes())
        start = data.index(b"metadata")
        (count,) = struct.unpack_from("<H", data, start + 10)
        struct.pack_into("<H", data, start + 10, count + 1)
        locator = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le
        data[start + 32 + 32 * count : start + 48 + 32 * count] = locator
        self.assertIn("Image has a parent", str(verdict(bytes(data), "vhdx")))

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(1, 700), max_size=20))
    def test_any_footer(self, data: bytes, sizes: list[int]) -> None:
        """The last 512 bytes are found however the data is split."""
        footer = image(FIXED_VHDS[1]).read_bytes()[-512:]
        whole = data + with_footer(footer, 2, len(data))
        for size in sizes or [1]:
            self.assertEqual(len(data), inspect(whole, "vhd", size))


class VdiTests(SynchronousTestCase):
    """VDI"""

    def test_parent(self) -> None:
        """Undo and differencing images are refused, because they depend on another image."""
        data = bytearray(image(Format("vdi", "vdi")).read_bytes())
        for kind, is_taken in ((1, True), (2, True), (3, False), (4, False), (0, False)):
            struct.pack_into("<I", data, 0x4C, kind)
            result = str(verdict(bytes(data), "vdi"))
            self.assertEqual(is_taken, result == str(SIZE), result)


class DiscTests(SynchronousTestCase):
    """ISO 9660 and UDF"""

    def tree(self) -> Path:
        """A folder with files."""
        tree = folder() / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "boot").write_bytes(bytes(2048))
        (tree / "a long name, as Joliet has them \xfc.txt").write_text("x")
        return tree

    def test_udf(self) -> None:
        """The size of a disc with only UDF is that of its bytes, whatever its blocks are."""
        for block in (512, 2048, 4096):
            data = make_udf(folder() / f"{block}.udf", 4 << 20, block).read_bytes()
            for pieces in PIECES:
                self.assertEqual(len(data), inspect(data, "iso", pieces), block)
            self.assertEqual(len(data), inspect(data, "raw"))
            self.assertIn("its content is iso", str(verdict(data, "qcow2")))

    def test_no_udf(self) -> None:
        """Data that only begins like UDF is not a disc."""
        data = make_udf(folder() / "2048.udf", 4 << 20, 2048).read_bytes()
        self.assertIn("its content is raw", str(verdict(data.replace(b"NSR03", b"NSR99"), "iso")))
        self.assertIn("its content is raw", str(verdict(data.replace(b"BEA01", b"BEA99"), "iso")))
        self.assertIn("its content is raw", str(verdict(data[: 34 << 10], "iso")))

    def test_variants(self) -> None:
        """Joliet, Rock Ridge, El Torito, and UDF beside ISO 9660 are recognised."""
        boot = ("-b", "boot", "-no-emul-boot")
        for options in ((), ("-J", "-R"), boot, ("-udf", "-J"), ("-udf", *boot)):
            data = make_iso(folder() / "made.iso", self.tree(), *options).read_bytes()
            self.assertEqual(len(data), inspect(data, "iso"), options)

    def test_small_iso_in_a_large_udf(self) -> None:
        """If the files are in UDF, the size in ISO 9660 is not enough."""
        data = bytearray(make_iso(folder() / "bridge.iso", self.tree(), "-udf").read_bytes())
        struct.pack_into("<L", data, 0x8050, 20)
        self.assertEqual(len(data), inspect(bytes(data), "iso"))

    def test_order(self) -> None:
        """The descriptor of a boot record may come before that of the volume."""
        data = bytearray(make_iso(folder() / "boot.iso", self.tree(), "-b", "boot", "-no-emul-boot").read_bytes())
        first, second = data[0x8000:0x8800], data[0x8800:0x9000]
        data[0x8000:0x9000] = second + first
        self.assertEqual(len(data), inspect(bytes(data), "iso"))


class BootSectorTests(SynchronousTestCase):
    """Data whose first sector ends in 55 AA."""

    def test_kernels(self) -> None:
        """Kernels and ramdisks are not partitioned disks, nor is other data with such a sector."""
        for medium in KERNELS:
            for disk_format in ("aki", "ari", "ami"):
                self.assertIsNone(inspect(medium.bytes(), disk_format), medium.file)
            self.assertEqual(len(medium.bytes()), inspect(medium.bytes(), "raw"), medium.file)

    def test_partitions(self) -> None:
        """A partitioned disk is not a kernel."""
        mbr = bytearray(empty_mbr(SIZE))
        struct.pack_into("<B3BB3BII", mbr, 446, 0x80, 0, 1, 1, 0x83, 9, 9, 9, 2048, 4096)
        for data in (bytes(mbr), gpt_disk(SIZE)):
            for disk_format in ("aki", "ari", "ami", "qcow2"):
                self.assertIn("its content is gpt", str(verdict(data, disk_format)))
            self.assertEqual(SIZE, inspect(data, "raw"))

    def test_file_systems(self) -> None:
        """NTFS, exFAT and FAT on a floppy disk have code and text in the place of a partition table."""
        for begin in (
            b"\xeb\x52\x90NTFS    ",
            b"\xeb\x76\x90EXFAT   ",
            b"\xeb\x3c\x90mkfs.fat\x00\x02\x01\x01\x00\x02",
        ):
            sector = begin + b"A disk read error occurred\r\n" * 20
            data = (sector[:510] + b"\x55\xaa").ljust(SIZE, b"\0")
            self.assertEqual(SIZE, inspect(data, "raw"))
            self.assertIsNone(inspect(data, "ami"))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(min_size=510, max_size=510), st.integers(0, 2000))
    def test_any_bytes(self, sector: bytes, more: int) -> None:
        """Data with any first sector is raw, unless it has a GPT."""
        assume(0xEE not in [sector[start] for start in (450, 466, 482, 498)])
        data = sector + b"\x55\xaa" + bytes(more)
        self.assertEqual(len(data), inspect(data, "raw"))

    def test_random_bytes(self) -> None:
        """Random and encrypted data is raw."""
        source = random.Random(1)
        for _ in range(300):
            data = source.randbytes(510) + b"\x55\xaa" + source.randbytes(2000)
            self.assertEqual(len(data), inspect(data, "raw"))
