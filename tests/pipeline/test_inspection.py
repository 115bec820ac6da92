"""The verdicts about real, broken and hostile images."""

from __future__ import annotations

import logging
import struct
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import FormatMismatch
from imgsvc.pipeline.inspection import INSPECTABLE, UNIT, Inspection
from tests.pipeline.inspecting import RULES, SIZE, VMDK_TYPES, folder, image, inspect, luks_volume, verdict
from tests.pipeline.inspecting import clean_up as tearDownModule  # noqa: F401 - called by trial
from tests.support.real_images import (
    DISKS,
    FORMATS,
    ISOS,
    Format,
    create,
    empty_mbr,
    gpt_disk,
    info,
    qemu_img,
)


def with_footer(vmdk: bytes) -> bytes:
    """A stream-optimised VMDK as VMware's tools write it. Its header says that the true header is at the end."""
    marker = struct.pack("<QII496x", 1, 0, 3)
    return vmdk[:56] + b"\xff" * 8 + vmdk[64:] + marker + vmdk[:512] + bytes(512)


def unprotected(disk: bytes) -> bytes:
    """A GPT whose protective partition begins elsewhere."""
    return disk[:448] + b"\x03" + disk[449:]


class FormatTests(SynchronousTestCase):
    """The recognition of each format."""

    def test_each_format(self) -> None:
        """Images of qemu-img are accepted in their format, with the virtual size that qemu-img shows."""
        for format in FORMATS:
            path = image(format)
            self.assertEqual(
                info(path, format.qemu)["virtual-size"], inspect(path.read_bytes(), format.api), str(format)
            )

    def test_each_other_format(self) -> None:
        """Images of qemu-img are refused in any other format, except raw. The size of raw is that of the bytes."""
        for format in FORMATS:
            data = image(format).read_bytes()
            for other in INSPECTABLE - {format.api, "raw"} | {"ami", "aki", "ari", "ploop"}:
                self.assertIn(f"declared as {other}: its content is {format.api}", str(verdict(data, other)))
            self.assertEqual(len(data), inspect(data, "raw"))

    def test_iso(self) -> None:
        """Boot media are ISO images with the size of their volume, although they have a partition table too."""
        for medium in ISOS:
            data = medium.bytes()
            blocks, size = struct.unpack_from("<L", data, 0x8050)[0], struct.unpack_from("<H", data, 0x8080)[0]
            self.assertEqual(blocks * size, inspect(data, "iso"), medium.file)
            self.assertEqual(len(data), inspect(data, "raw"), medium.file)
            self.assertIn("its content is iso", str(verdict(data, "gpt")), medium.file)

    def test_bootable_disks(self) -> None:
        """Bootable disks and kernels are accepted as raw."""
        for medium in DISKS:
            data = medium.bytes()
            self.assertEqual(len(data), inspect(data, "raw"), medium.file)
            self.assertIn("declared as qcow2", str(verdict(data, "qcow2")), medium.file)

    def test_gpt(self) -> None:
        """A disk with a protective MBR is gpt or raw, with the size of its bytes."""
        data = gpt_disk(SIZE)
        self.assertEqual((SIZE, SIZE), (inspect(data, "gpt"), inspect(data, "raw")))
        self.assertIn("its content is gpt", str(verdict(data, "vhd")))
        self.assertIn("its content is raw", str(verdict(bytes(SIZE), "gpt")))

    def test_luks(self) -> None:
        """The size of a LUKS volume is that of the data after its header. Version 2 is not accepted."""
        data = luks_volume()
        self.assertEqual(2 << 20, inspect(data, "luks"))
        second = data[:6] + b"\0\2" + data[8:]
        self.assertIn("LUKS version 2 is not supported", str(verdict(second, "luks")))

    def test_fat(self) -> None:
        """A FAT file system on a disk without partitions is not taken for a partition table."""
        sector = bytearray(empty_mbr(512))
        sector[0x10], sector[0x15] = 2, 0xF8
        self.assertEqual(SIZE, inspect(bytes(sector).ljust(SIZE, b"\0"), "raw"))

    def test_nothing(self) -> None:
        """An empty file is accepted in every format."""
        self.assertEqual(0, inspect(b"", "raw"))
        for disk_format in (INSPECTABLE | {"ami", "ploop"}) - {"raw"}:
            self.assertIsNone(inspect(b"", disk_format), disk_format)

    def test_few_bytes(self) -> None:
        """One byte, or a sector of zeros, is raw and nothing else."""
        for size in (1, 63, 64, 511, 512):
            self.assertEqual(size, inspect(bytes(size), "raw"))
            self.assertIsNone(inspect(bytes(size), "aki"))
            for disk_format in INSPECTABLE - {"raw"}:
                self.assertIn("its content is raw", str(verdict(bytes(size), disk_format)))

    def test_uninspectable(self) -> None:
        """Formats that cannot be inspected accept unrecognised data, without a virtual size."""
        for disk_format in ("ami", "aki", "ari", "ploop"):
            self.assertIsNone(inspect(b"\x7fELF" + bytes(SIZE), disk_format))

    def test_qed(self) -> None:
        """A QED image is refused, also as raw."""
        path = create(folder() / "qed.img", "3M", "qed")
        for disk_format in ("raw", "qcow2", "ploop"):
            self.assertIn("its content is qed", str(verdict(path.read_bytes(), disk_format)))

    def test_two_formats(self) -> None:
        """Data that is two formats at once is refused as both, and accepted as raw."""
        data = bytearray(image(Format("qcow2", "qcow2")).read_bytes())
        data[0x8001:0x8006] = b"CD001"
        for disk_format in ("qcow2", "iso", "ami"):
            self.assertIn("several formats at once: iso, qcow2", str(verdict(bytes(data), disk_format)))
        self.assertEqual(len(data), inspect(bytes(data), "raw"))

    def test_not_enforced(self) -> None:
        """Without enforcement nothing is refused. Only a correct declaration gives a virtual size."""
        data = image(Format("qcow2", "qcow2")).read_bytes()
        self.assertEqual(SIZE, inspect(data, "qcow2", enforce=False))
        self.assertIsNone(inspect(data, "vmdk", enforce=False))
        self.assertIsNone(inspect(data, "ploop", enforce=False))
        self.assertEqual(512, inspect(empty_mbr(512), "raw", enforce=False))
        self.assertEqual(512, inspect(b"QED\0".ljust(512, b"\0"), "raw", enforce=False))

    def test_early(self) -> None:
        """A wrong format is refused after the first unit, an unsafe one after the second."""
        inspection = Inspection("an-image", "qcow2", RULES)
        inspection.feed(bytes(UNIT - 1))
        with self.assertRaises(FormatMismatch):
            inspection.feed(b"\0")
        inspection = Inspection("an-image", "raw", RULES)
        inspection.feed(unprotected(gpt_disk(UNIT)))
        with self.assertRaises(FormatMismatch):
            inspection.feed(bytes(UNIT))


class SafetyTests(SynchronousTestCase):
    """Images that would read other files of a host, or that cannot be checked."""

    def test_backing_file(self) -> None:
        """A qcow2 with a backing file is refused."""
        options = ("-b", str(image(FORMATS[0])), "-F", "qcow2")
        path = create(folder() / "backed.qcow2", "3M", "qcow2", *options)
        self.assertIn("backing_file: Image has a backing file", str(verdict(path.read_bytes(), "qcow2")))

    def test_data_file(self) -> None:
        """A qcow2 with an external data file is refused."""
        data_file = folder() / "data.raw"
        path = create(folder() / "split.qcow2", "3M", "qcow2", "-o", f"data_file={data_file},data_file_raw=on")
        self.assertIn("data_file: Image has data_file set", str(verdict(path.read_bytes(), "qcow2")))

    def test_unknown_features(self) -> None:
        """A qcow2 with an unknown feature is refused."""
        data = bytearray(image(FORMATS[0]).read_bytes())
        for bit in (5, 17, 63):
            data[72:80] = struct.pack(">Q", 1 << bit)
            self.assertIn("unknown_features", str(verdict(bytes(data), "qcow2")), f"bit {bit}")

    def test_vmdk_extents(self) -> None:
        """A VMDK whose data is in other files, or in files with a path, is refused."""
        flat = create(folder() / "flat.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat")
        self.assertIn("Unsupported subformat", str(verdict(flat.read_bytes(), "vmdk")))
        sparse = image(Format("vmdk", "vmdk", "subformat=monolithicSparse"))
        data = sparse.read_bytes().replace(b'SPARSE "vmdk', b'SPARSE "/etc', 1)
        self.assertIn("Invalid extent filenames found", str(verdict(data, "vmdk")))

    def test_vmdk_types(self) -> None:
        """A VMDK of a type that the operator did not list is refused."""
        for kind in VMDK_TYPES:
            data = image(Format("vmdk", "vmdk", f"subformat={kind}")).read_bytes()
            self.assertEqual(SIZE, inspect(data, "vmdk", vmdk_types=(kind,)))
            others = [other for other in VMDK_TYPES if other != kind]
            refusal = verdict(data, "vmdk", vmdk_types=others)
            self.assertIn(f"a vmdk of type {kind.lower()} is not accepted", str(refusal))

    def test_vmdk_footer(self) -> None:
        """A streamOptimized VMDK without its footer is refused."""
        data = with_footer(image(Format("vmdk", "vmdk", "subformat=streamOptimized")).read_bytes())
        for pieces in (len(data), UNIT, 1000):
            self.assertEqual(SIZE, inspect(data, "vmdk", pieces))
            self.assertIn("(footer: ", str(verdict(data[:-512], "vmdk", pieces)))

    def test_vmdk_descriptor(self) -> None:
        """A VMDK whose descriptor would take much memory is refused at once."""
        data = bytearray(image(Format("vmdk", "vmdk", "subformat=monolithicSparse")).read_bytes())
        data[36:44] = struct.pack("<Q", 2000)
        self.assertIn("its descriptor does not end", str(verdict(bytes(data), "vmdk")))
        self.assertIsNone(inspect(bytes(data), "vmdk", enforce=False))

    def test_partition_table(self) -> None:
        """A partition table without partitions is refused as gpt, and accepted as raw."""
        self.assertIn("no partitions defined", str(verdict(empty_mbr(SIZE), "gpt")))
        self.assertEqual(SIZE, inspect(empty_mbr(SIZE), "raw"))

    def test_unprotected_gpt(self) -> None:
        """A GPT without the required protective MBR is refused, also as raw."""
        for data in (unprotected(gpt_disk(SIZE)), unprotected(gpt_disk(SIZE)).replace(b"EFI PART", bytes(8))):
            for disk_format in ("gpt", "raw"):
                self.assertIn("GPT MBR has invalid start CHS", str(verdict(data, disk_format)))
        header_only = empty_mbr(512) + b"EFI PART".ljust(SIZE - 512, b"\0")
        self.assertIn("no partitions defined", str(verdict(header_only, "raw")))
        large_sectors = empty_mbr(4096) + b"EFI PART".ljust(SIZE - 4096, b"\0")
        self.assertIn("no partitions defined", str(verdict(large_sectors, "raw")))

    def test_nonfatal_partition_table(self) -> None:
        """The operator may have a failed check of the partition table only logged."""
        for disk_format in ("gpt", "raw"):
            for data in (empty_mbr(SIZE), unprotected(gpt_disk(SIZE))):
                self.assertEqual(SIZE, inspect(data, disk_format, nonfatal_gpt=("mbr",)))


class ChunkingTests(SynchronousTestCase):
    """Equal data gets equal verdicts, however it is split."""

    def test_sizes(self) -> None:
        """Whole, in units, in larger or in odd pieces, every image gets the same verdict in every format."""
        images = {str(format): image(format).read_bytes() for format in FORMATS}
        images["flat"] = create(folder() / "f.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat").read_bytes()
        images["iso"] = ISOS[0].bytes()
        images["gpt"] = gpt_disk(1 << 20)
        for name, data in images.items():
            for disk_format in sorted(INSPECTABLE):
                expected = verdict(data, disk_format)
                for pieces in (len(data), UNIT - 1, UNIT + 1, 256 << 10, 4097):
                    self.assertEqual(expected, verdict(data, disk_format, pieces), f"{name} as {disk_format}")

    def test_bytes(self) -> None:
        """A text that describes a VMDK is also recognised byte by byte."""
        data = create(folder() / "b.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat").read_bytes()
        self.assertIn("Unsupported subformat", str(verdict(data, "vmdk", 1)))

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.sampled_from(FORMATS), st.lists(st.integers(1, 400_000), min_size=1, max_size=12), st.booleans())
    def test_any_pieces(self, format: Format, sizes: list[int], copied: bool) -> None:
        """Any split gives the same verdict as the whole."""
        data = image(format).read_bytes()
        inspection = Inspection("an-image", format.api, RULES)
        start = 0
        for size in (*sizes, *[300_001] * (len(data) // 300_000 + 1)):
            piece = data[start : start + size]
            inspection.feed(bytearray(piece) if copied else piece)
            start += len(piece)
        self.assertEqual(inspect(data, format.api), inspection.finish())


class HostileTests(SynchronousTestCase):
    """Headers that are made to cost memory or time, or to cause a crash."""

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.sampled_from(FORMATS),
        st.lists(st.tuples(st.integers(0, 1100), st.binary(min_size=1, max_size=16)), min_size=1, max_size=6),
    )
    def test_any_damage(self, format: Format, damage: list[tuple[int, bytes]]) -> None:
        """For any damage to a header, the verdict is a size that a catalogue can keep, None or a refusal."""
        data = bytearray(image(format).read_bytes()[: 5 * UNIT])
        for offset, what in damage:
            data[offset : offset + len(what)] = what
        for disk_format in (format.api, "raw", "ploop"):
            result = verdict(bytes(data), disk_format)
            if isinstance(result, int):
                self.assertTrue(0 < result < 1 << 63)
            self.assertEqual(result, verdict(bytes(data), disk_format, 7777))

    def test_sizes_that_are_none(self) -> None:
        """A virtual size that no database can keep counts as unknown."""
        data = bytearray(image(FORMATS[0]).read_bytes())
        data[24:32] = b"\xff" * 8
        self.assertIsNone(inspect(bytes(data), "qcow2"))
        luks = luks_volume()
        self.assertIsNone(inspect(luks[:104] + b"\xff" * 4 + luks[108:], "luks"))

    def test_region_table(self) -> None:
        """A VHDX with the longest possible region table is parsed once, not for every piece."""
        head = bytearray(4 * UNIT)
        head[:8] = b"vhdxfile"
        struct.pack_into("<IIII", head, 3 * UNIT, 0x69676572, 0, 2047, 0)
        inspection = Inspection("an-image", "vhdx", RULES)
        inspection.feed(bytes(head))
        inspection.feed(bytes(4 * UNIT))
        started = time.process_time()
        for _ in range(1024):
            inspection.feed(bytes(4 * UNIT))
        self.assertLess(time.process_time() - started, 0.2)  # an earlier version took 6 s of the reactor's time
        self.assertIsNone(inspection.finish())

    def test_metadata_far_away(self) -> None:
        """A VHDX whose metadata never comes is refused in the end."""
        head = bytearray(4 * UNIT)
        head[:8] = b"vhdxfile"
        struct.pack_into("<IIII", head, 3 * UNIT, 0x69676572, 0, 1, 0)
        region = struct.pack("<IHH8sQII", 0x8B7CA206, 0x4790, 0x4B9A, bytes.fromhex("b8fe575f050f886e"), 1 << 60, 1, 1)
        head[3 * UNIT + 16 : 3 * UNIT + 16 + len(region)] = region
        self.assertIn("cannot be checked", str(verdict(bytes(head) + bytes(SIZE), "vhdx")))

    def test_broken_vhdx(self) -> None:
        """A VHDX without a region table is refused at the place of the table."""
        inspection = Inspection("an-image", "vhdx", RULES)
        with self.assertRaisesRegex(FormatMismatch, "it is broken"):
            inspection.feed(b"vhdxfile".ljust(4 * UNIT, b"\0"))

    def test_memory(self) -> None:
        """No format makes an inspection keep more than a few units."""
        for format in FORMATS:
            inspection = Inspection("an-image", format.api, RULES)
            data = image(format).read_bytes()
            for start in range(0, len(data), 256 << 10):
                inspection.feed(data[start : start + (256 << 10)])
                inspector = inspection._inspector
                kept = sum(inspector.context_info.values()) if inspector else 0
                self.assertLess(kept + len(inspection._unit), 5 * UNIT, str(format))

    def test_cost(self) -> None:
        """After the verdict, 1 GiB costs less than a fiftieth of a second."""
        for disk_format, data in (("raw", bytes(512)), ("qcow2", image(FORMATS[0]).read_bytes())):
            inspection = Inspection("an-image", disk_format, RULES)
            inspection.feed(data.ljust(4 * UNIT, b"\0"))
            piece, costs = bytes(256 << 10), []
            for _ in range(5):
                started = time.process_time()
                for _ in range(4096):
                    inspection.feed(piece)
                costs.append(time.process_time() - started)
            self.assertLess(min(costs), 0.02)

    def test_no_word_of_the_library(self) -> None:
        """Log messages of the library about a hostile image are not written to standard error."""
        self.assertTrue(logging.getLogger("oslo_utils.imageutils.format_inspector").hasHandlers())


class CheckTests(SynchronousTestCase):
    """The images of the tests above are valid."""

    def test_images(self) -> None:
        """qemu-img finds no fault in the images of this module."""
        for format in FORMATS:
            if format.qemu in ("qcow2", "vdi", "vhdx", "vmdk") and "stream" not in format.options:
                qemu_img("check", "-q", "-f", format.qemu, str(image(format)))
