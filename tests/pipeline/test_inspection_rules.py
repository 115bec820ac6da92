"""Refusals that depend on an image's container, and on the operator's rules."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import FormatMismatch
from imgsvc.model import Image
from imgsvc.pipeline.inspection import DISGUISES, INSPECTABLE, UNIT, Inspection, InspectionRules
from imgsvc.pipeline.start_inspection import start_inspection
from tests.pipeline.inspecting import RULES, SIZE, folder, image, inspect, luks_volume, verdict
from tests.pipeline.inspecting import clean_up as tearDownModule
from tests.support.real_images import FIXED_VHDS, FORMATS, ISOS, Format, convert, create, gpt_disk
from tests.support.threads import ImmediateThreads

__all__ = ["tearDownModule"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER_CONTAINERS = ("ami", "ari", "aki", "ovf", "docker", "something")


def backed() -> bytes:
    """A qcow2 with a backing file."""
    options = ("-b", str(image(FORMATS[0])), "-F", "qcow2")
    return create(folder() / "backed.qcow2", "3M", "qcow2", *options).read_bytes()


class RulesTests(SynchronousTestCase):
    """Which images are inspected, and how."""

    def refused(self, container_format: str | None, disk_format: str | None, data: bytes) -> str:
        """The reason why the data is refused; empty if it is not."""
        shown = Image(
            id="an-image",
            created_at=NOW,
            updated_at=NOW,
            container_format=container_format,
            disk_format=disk_format,
        )
        inspection = self.successResultOf(Deferred.fromCoroutine(start_inspection(RULES, shown, ImmediateThreads())))
        if inspection is None:
            return ""
        try:
            inspection.feed(data)
            inspection.finish()
        except FormatMismatch as refusal:
            return str(refusal)
        return ""

    def test_unsafe(self) -> None:
        """Data that is unsafe in the declared format is refused in every container for disks."""
        for container in ("bare", *OTHER_CONTAINERS):
            self.assertIn("backing_file", self.refused(container, "qcow2", backed()), container)
        for container in ("ova", "compressed", None):
            self.assertEqual("", self.refused(container, "qcow2", backed()), container)
        self.assertEqual("", self.refused("ovf", None, backed()))

    def test_mismatch(self) -> None:
        """Data of another format is refused only in `bare`."""
        for data in (bytes(SIZE), image(FORMATS[0]).read_bytes(), ISOS[0].bytes()):
            self.assertIn("its content is ", self.refused("bare", "vdi", data))
            for container in (*OTHER_CONTAINERS, "ova"):
                self.assertEqual("", self.refused(container, "vdi", data), container)

    def test_raw(self) -> None:
        """Raw data refers to nothing, whatever it looks like."""
        for container in ("bare", *OTHER_CONTAINERS):
            self.assertEqual("", self.refused(container, "raw", backed()))

    def test_not_enforced(self) -> None:
        """Without enforcement nothing is refused."""
        rules = evolve(RULES, enforce=False, refuse_disguised=True)
        for disk_format in ("qcow2", "raw", "vmdk", "vhd"):
            for bare in (True, False):
                inspection = Inspection("an-image", disk_format, rules, bare=bare)
                inspection.feed(backed())
                inspection.finish()


class OtherContainerTests(SynchronousTestCase):
    """Disks in a container that is not `bare`."""

    def test_each_format(self) -> None:
        """A disk in the declared format is accepted, without a virtual size."""
        for format in (*FORMATS, *FIXED_VHDS):
            self.assertIsNone(inspect(image(format).read_bytes(), format.api, bare=False), str(format))
        for data, disk_format in ((ISOS[0].bytes(), "iso"), (luks_volume(), "luks"), (gpt_disk(SIZE), "gpt")):
            self.assertIsNone(inspect(data, disk_format, bare=False))

    def test_each_other_format(self) -> None:
        """A disk in another format is accepted too."""
        for format in FORMATS:
            data = image(format).read_bytes()
            for other in INSPECTABLE | {"ami", "aki", "ari", "ploop"}:
                self.assertIsNone(inspect(data, other, bare=False), f"{format} as {other}")
        for data in (b"", b"x", b"text\n" * 3000, bytes(range(256)) * 1000, gpt_disk(SIZE)):
            for other in INSPECTABLE:
                self.assertIsNone(inspect(data, other, bare=False))

    def test_unsafe(self) -> None:
        """The unsafe references of each format are refused."""
        flat = create(folder() / "flat.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat").read_bytes()
        vhd = bytearray(image(Format("vhd", "vpc")).read_bytes())
        struct.pack_into(">I", vhd, 60, 4)
        vdi = bytearray(image(Format("vdi", "vdi")).read_bytes())
        struct.pack_into("<I", vdi, 0x4C, 4)
        split = create(folder() / "s.qcow2", "3M", "qcow2", "-o", f"data_file={folder() / 'data.raw'}").read_bytes()
        for data, disk_format in (
            (flat, "vmdk"),
            (bytes(vhd), "vhd"),
            (bytes(SIZE) + bytes(vhd[:512]), "vhd"),
            (bytes(vdi), "vdi"),
            (split, "qcow2"),
        ):
            for pieces in (UNIT, 999):
                self.assertIn("fails the safety checks", str(verdict(data, disk_format, pieces, bare=False)))

    def test_what_cannot_be_checked(self) -> None:
        """Data that programs read as the declared format, but the inspectors cannot parse, is refused."""
        vmdk = image(Format("vmdk", "vmdk", "subformat=monolithicSparse")).read_bytes()
        elsewhere = vmdk[:28] + struct.pack("<Q", 9) + vmdk[36:]
        padded = create(folder() / "flat.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat").read_bytes() + bytes(9)
        for data, disk_format in (
            (backed()[:400], "qcow2"),
            (elsewhere, "vmdk"),
            (b"COWD" + bytes(2048), "vmdk"),
            (padded, "vmdk"),
            (b"\x01" + padded, "vmdk"),
            (b"# a comment\n" * UNIT + padded, "vmdk"),
        ):
            self.assertIn("cannot be checked", str(verdict(data, disk_format, bare=False)), data[:20])

    def test_vmdk_types(self) -> None:
        """The operator's allowed types of VMDK hold in every container."""
        data = image(Format("vmdk", "vmdk", "subformat=streamOptimized")).read_bytes()
        refusal = verdict(data, "vmdk", bare=False, vmdk_types=("monolithicSparse",))
        self.assertIn("a vmdk of type streamoptimized is not accepted", str(refusal))


class DisguiseTests(SynchronousTestCase):
    """`refuse_disguised`"""

    def disguised(self, data: bytes, disk_format: str, pieces: int = UNIT, bare: bool = True) -> str:
        """The reason why data is refused, with the option."""
        return str(verdict(data, disk_format, pieces, bare, refuse_disguised=True))

    def test_each_format(self) -> None:
        """Disks of other formats are refused as raw, in any container. Without the option they are accepted."""
        for format in (*FORMATS, *FIXED_VHDS):
            data = image(format).read_bytes()
            for bare in (True, False):
                for disk_format in ("raw", "ami", "aki", "ari") if not bare else ("raw",):
                    for pieces in (UNIT, 1001):
                        refusal = self.disguised(data, disk_format, pieces, bare)
                        self.assertIn(f"it can be read as {format.api}, ", refusal, str(format))
                    self.assertEqual(None if not bare else len(data), inspect(data, disk_format, bare=bare))

    def test_others(self) -> None:
        """The same holds for formats that cannot be inspected."""
        raw = folder() / "some.raw"
        raw.write_bytes(bytes(SIZE))
        for format, name in ((Format("ploop", "parallels"), "ploop"), (Format("", "qed"), "qed")):
            data = convert(raw, format, folder() / "other").read_bytes()
            self.assertIn(name, DISGUISES)
            for bare in (True, False):
                self.assertIn(f"read as {name}", self.disguised(data, "raw", bare=bare))
        flat = create(folder() / "f.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat").read_bytes()
        for data in (flat, flat + bytes(512), b"COWD" + bytes(100), b"#" * UNIT + flat):
            self.assertIn("read as vmdk", self.disguised(data, "raw"))
        two = bytearray(image(FORMATS[0]).read_bytes())
        two[64:68] = b"\x7f\x10\xda\xbe"
        self.assertIn("read as qcow2 or vdi", self.disguised(bytes(two), "raw"))

    def test_contents(self) -> None:
        """A raw disk may have partitions, be encrypted, be a disc, or anything else."""
        for data in (gpt_disk(SIZE), luks_volume(), ISOS[0].bytes(), bytes(SIZE), b"x", b"", b"text\n" * 3000):
            self.assertEqual(len(data), inspect(data, "raw", refuse_disguised=True))
            self.assertIsNone(inspect(data, "aki", bare=False, refuse_disguised=True))

    def test_declared(self) -> None:
        """A disk in its declared format is accepted."""
        for format in (*FORMATS, *FIXED_VHDS):
            data = image(format).read_bytes()
            self.assertEqual(inspect(data, format.api), inspect(data, format.api, refuse_disguised=True))

    def test_default(self) -> None:
        """The option is off by default."""
        self.assertFalse(InspectionRules().refuse_disguised)
