"""Real boot media, and disks of hypervisors, are uploaded and downloaded."""

from __future__ import annotations

import os
import struct
from hashlib import md5, sha512
from pathlib import Path

from tests.images.rigs import DaemonTestCase
from tests.support.real_images import (
    DISKS,
    FIXED_VHDS,
    FORMATS,
    ISOS,
    KERNELS,
    VARIANTS,
    Format,
    convert,
    create,
    create_luks,
    empty_mbr,
    gpt_disk,
    info,
    make_udf,
    qemu_img,
)

INSPECTED = ("qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks")


class RealImageTests(DaemonTestCase):
    """Each file in its format, and in each other one."""

    def test_media(self) -> None:
        """Boot media are accepted as iso and as raw, with a length and in chunks, and refused as any other format."""
        for medium in ISOS:
            data = medium.bytes()
            # ISO 9660 (ECMA-119), 8.4.8 and 8.4.12: the volume's blocks, and bytes of a block
            volume = struct.unpack_from("<L", data, 0x8050)[0] * struct.unpack_from("<H", data, 0x8080)[0]
            for disk_format, virtual_size in (("iso", volume), ("raw", len(data))):
                for chunked in (False, True):
                    image = self.image(disk_format)
                    self.assertEqual(204, self.curl.upload(image, medium.path, chunked).status)
                    self.assert_stored(image, medium.path, virtual_size)
            self.assert_only(medium.path, "iso")

    def test_raw_disks(self) -> None:
        """Bootable disks and kernels are accepted as raw."""
        for medium in DISKS:
            image = self.image("raw")
            self.assertEqual(204, self.curl.upload(image, medium.path).status)
            self.assert_stored(image, medium.path, medium.path.stat().st_size)

    def test_kernels(self) -> None:
        """Kernels are accepted as kernels and as raw, with a boot sector or without."""
        for medium in KERNELS:
            for disk_format, virtual_size in (("aki", None), ("ari", None), ("raw", medium.path.stat().st_size)):
                image = self.image(disk_format)
                self.assertEqual(204, self.curl.upload(image, medium.path).status)
                self.assert_stored(image, medium.path, virtual_size)

    def test_variants(self) -> None:
        """Disks with options, and fixed ones that only have a footer, get the size that qemu-img shows."""
        for format in (*VARIANTS, *FIXED_VHDS):
            path = self.converted(ISOS[0].path, format)
            image = self.image(format.api)
            answer = self.curl.upload(image, path, chunked=True)
            self.assertEqual(204, answer.status, answer.body)
            self.assert_stored(image, path, info(path, format.qemu)["virtual-size"])

    def test_udf(self) -> None:
        """A disc with only UDF is an iso with the size of its bytes."""
        path = make_udf(self.folder / "disc.udf", 4 << 20, 2048)
        for disk_format in ("iso", "raw"):
            image = self.image(disk_format)
            self.assertEqual(204, self.curl.upload(image, path).status)
            self.assert_stored(image, path, 4 << 20)

    def test_disks(self) -> None:
        """A medium that was converted to any format comes back unchanged, and qemu-img finds no fault or difference."""
        medium = ISOS[0]
        for format in FORMATS:
            path = self.converted(medium.path, format)
            for chunked in (False, True):
                image = self.image(format.api)
                answer = self.curl.upload(image, path, chunked)
                self.assertEqual(204, answer.status, answer.body)
                self.assert_stored(image, path, info(path, format.qemu)["virtual-size"])
            copy = self.folder / "copy"
            if format.qemu != "vpc" and "stream" not in format.options:
                qemu_img("check", "-q", "-f", format.qemu, str(copy))
            qemu_img("compare", "-q", "-f", "raw", "-F", format.qemu, str(medium.path), str(copy))
            self.assert_only(path, format.api)

    def test_raw_takes_anything(self) -> None:
        """A disk of any format may be declared raw. Its size is that of its bytes."""
        for format in FORMATS:
            path = self.converted(ISOS[0].path, format)
            image = self.image("raw")
            self.assertEqual(204, self.curl.upload(image, path).status)
            self.assert_stored(image, path, path.stat().st_size)

    def test_partition_tables(self) -> None:
        """A disk with a partition table is accepted as gpt and as raw."""
        path = self.written("disk.gpt", gpt_disk(3 << 20))
        for disk_format in ("gpt", "raw"):
            image = self.image(disk_format)
            self.assertEqual(204, self.curl.upload(image, path).status)
            self.assert_stored(image, path, 3 << 20)

    def test_luks(self) -> None:
        """An encrypted volume gets the size that qemu-img shows."""
        path = create_luks(self.folder / "disk.luks", "3M")
        image = self.image("luks")
        self.assertEqual(204, self.curl.upload(image, path).status)
        self.assert_stored(image, path, 3 << 20)

    def test_unsafe(self) -> None:
        """Disks that refer to other files, cannot be checked or have no partition are refused.

        Those that refer to other files are refused in other containers too.
        """
        backing = self.converted(ISOS[0].path, FORMATS[0])
        backed = create(self.folder / "b.qcow2", "3M", "qcow2", "-b", str(backing), "-F", "qcow2")
        split = create(self.folder / "s.qcow2", "3M", "qcow2", "-o", f"data_file={self.folder / 's.raw'}")
        flat = create(self.folder / "f.vmdk", "3M", "vmdk", "-o", "subformat=monolithicFlat")
        base = self.converted(ISOS[0].path, FORMATS[2])
        delta = create(self.folder / "d.vmdk", "3M", "vmdk", "-b", str(base), "-F", "vmdk")
        mbr = self.written("empty.mbr", empty_mbr(3 << 20))
        qed = create(self.folder / "disk.qed", "3M", "qed")
        for disk_format, path, reason in (
            ("qcow2", backed, "backing file"),
            ("qcow2", split, "data_file"),
            ("vmdk", flat, "Unsupported subformat"),
            ("vmdk", delta, "Image has a parent"),
            ("gpt", mbr, "no partitions"),
            ("raw", qed, "its content is qed"),
        ):
            self.assert_refused(self.image(disk_format), path, reason)
            if disk_format in ("qcow2", "vmdk"):
                self.assert_refused(self.image(disk_format, container_format="ovf"), path, reason)

    def test_empty_partition_table(self) -> None:
        """A disk with the signature of a partition table, but without partitions, is raw."""
        path = self.written("empty.mbr", empty_mbr(3 << 20))
        image = self.image("raw")
        self.assertEqual(204, self.curl.upload(image, path).status)
        self.assert_stored(image, path, 3 << 20)

    def test_other_containers(self) -> None:
        """A format that differs from the declared one is refused only in a bare container."""
        path = self.written("some", b"QED\0".ljust(1000, b"x"))
        image = self.image("qcow2", container_format="ovf")
        self.assertEqual(204, self.curl.upload(image, path).status)
        self.assert_stored(image, path, None)

    def test_next_try(self) -> None:
        """After a refusal the image takes the right data, and nothing of the wrong data is left."""
        wrong, right = ISOS[0].path, self.converted(ISOS[0].path, FORMATS[0])
        image = self.image("qcow2")
        for _ in range(3):
            self.assert_refused(image, wrong, "its content is iso")
        self.assertEqual(204, self.curl.upload(image, right).status)
        self.assert_stored(image, right, ISOS[0].path.stat().st_size)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({image}, set(os.listdir(self.daemon.data / "images")) - {".imgsvc-lock"})

    def test_tiny(self) -> None:
        """Files of 0 and 1 bytes, with a length and in chunks."""
        for content in (b"", b"x"):
            path = self.written("tiny", content)
            for body in (content, iter([content] if content else [])):  # http.client sends an iterator in chunks
                image = self.image("raw")
                self.assertEqual(204, self.daemon.put(image, body))
                self.assert_stored(image, path, len(content))
                shown = self.daemon.show(image)
                self.assertEqual(md5(content).hexdigest(), shown["checksum"])
                self.assertEqual(sha512(content).hexdigest(), shown["os_hash_value"])
        for disk_format in INSPECTED:
            image = self.image(disk_format)
            self.assertEqual(204, self.curl.upload(image, self.written("empty", b"")).status)
            self.assert_stored(image, self.folder / "empty", None)
            self.assert_refused(self.image(disk_format), self.written("one", b"x"), "its content is raw")

    # ---

    def assert_only(self, path: Path, own: str) -> None:
        """No other inspected format accepts the file. Then the image takes it in its own format."""
        for disk_format in INSPECTED:
            if disk_format != own:
                image = self.image(disk_format)
                self.assert_refused(image, path, f"its content is {own}")
                self.assertEqual(204, self.curl.upload(image, self.written("nothing", b"")).status)

    def converted(self, source: Path, format: Format) -> Path:
        """The medium as a disk of this format; it is converted once."""
        path = self.folder / f"{source.name}.{format}".replace(" ", ".")
        return path if path.exists() else convert(source, format, path)

    def written(self, name: str, data: bytes) -> Path:
        """A file with these bytes."""
        path = self.folder / name
        path.write_bytes(data)
        return path


class LargeImageTests(DaemonTestCase):
    """Sizes of more than 32 bits."""

    toml = "[stores.local]\nkind = 'file'\nfsync = false\nthin_provisioning = true\n"

    def test_five_gib(self) -> None:
        """A sparse disk of 5 GiB is accepted with constant memory, takes no space, and is returned unchanged."""
        size = 5 << 30
        path = self.folder / "large.raw"
        with path.open("wb") as file:
            file.write(b"begin")
            file.seek(size // 2)
            file.write(b"middle")
            file.truncate(size)
            file.seek(-3, os.SEEK_END)
            file.write(b"end")
        image = self.image("raw")
        self.assertEqual(204, self.curl.upload(image, path).status)
        shown = self.daemon.show(image)
        self.assertEqual(("active", size, size), (shown["status"], shown["size"], shown["virtual_size"]))
        stored = self.daemon.data / "images" / image
        self.assertEqual(size, stored.stat().st_size)
        self.assertLess(stored.stat().st_blocks * 512, 1 << 20)
        for start, content in ((0, b"begin\0"), (size // 2 - 1, b"\0middle\0"), (size - 4, b"\0end")):
            span = f"{start}-{start + len(content) - 1}"
            answer = self.curl.run(f"/v2/images/{image}/file", "-r", span)
            self.assertEqual((206, content), (answer.status, answer.body))
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        [peak] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        self.assertLess(peak, 250 << 10, "KiB")
