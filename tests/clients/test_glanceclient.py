"""python-glanceclient: `glance ...`, and its library."""

from __future__ import annotations

from hashlib import md5
from io import BytesIO

from glanceclient import Client, exc

from tests.clients.rigs import ISO, ClientTestCase, Run


class GlanceCommandTests(ClientTestCase):
    """The command, with an address and any token."""

    def glance(self, *arguments: str) -> Run:
        """A call that must succeed."""
        return self.command("glance", "--os-image-url", self.daemon.endpoint, "--os-auth-token", "any", *arguments)

    def test_life(self) -> None:
        """An image is created with its data, shown, listed, downloaded and deleted."""
        self.glance(
            *("image-create", "--name", "debian:12", "--disk-format", "iso", "--container-format", "bare"),
            *("--file", ISO.file, "--property", "os_distro=debian", "--tags", "stable"),
        )
        [image] = self.images()
        self.assertEqual(
            ("debian:12", "active", md5(ISO.bytes()).hexdigest(), "debian", ["stable"]),
            tuple(image[field] for field in ("name", "status", "checksum", "os_distro", "tags")),
        )
        shown, debian, ubuntu = self.succeed(
            "glance",
            ["--os-image-url", self.daemon.endpoint, "--os-auth-token", "any"],
            [
                ["image-show", image["id"]],
                ["image-list", "--property-filter", "os_distro=debian"],
                ["image-list", "--property-filter", "os_distro=ubuntu"],
            ],
        )
        for text in (image["id"], "debian:12", image["checksum"], "os_distro"):
            self.assertIn(text, shown.output)
        self.assertIn("debian:12", debian.output)
        self.assertNotIn("debian:12", ubuntu.output)
        saved = self.folder / "saved"
        self.glance("image-download", "--file", str(saved), image["id"])
        self.assert_iso(saved)
        self.glance("image-delete", image["id"])
        self.assertEqual([], self.images())

    def test_upload(self) -> None:
        """Data may be uploaded later. A wrong format is refused with its reason, and then the image takes the
        right data.
        """
        wrong, right = self.daemon.image(disk_format="qcow2"), self.daemon.image(disk_format="iso")
        run = self.try_command(
            *("glance", "--os-image-url", self.daemon.endpoint, "--os-auth-token", "any"),
            *("image-upload", "--file", ISO.file, wrong),
        )
        self.assertNotEqual(0, run.status)
        self.assertIn("is declared as qcow2: its content is iso.", run.output + run.error)
        self.assertEqual("queued", self.daemon.show(wrong)["status"])
        self.glance("image-upload", "--file", ISO.file, "--size", str(len(ISO.bytes())), right)
        self.assertEqual("active", self.daemon.show(right)["status"])

    def test_update(self) -> None:
        """Fields, properties and tags are set and removed. All others stay."""
        image = self.daemon.image(name="old", tags=["kept"], one="1", two="2")
        self.glance(
            *("image-update", image, "--name", "new", "--min-ram", "512", "--property", "one=3"),
            *("--property", "hw_disk_bus=scsi", "--remove-property", "two", "--protected", "True"),
            *("--visibility", "public", "--architecture", "x86_64"),
        )
        shown = self.daemon.show(image)
        expected = {
            **{"name": "new", "min_ram": 512, "one": "3", "hw_disk_bus": "scsi", "protected": True},
            **{"visibility": "public", "architecture": "x86_64", "tags": ["kept"]},
        }
        self.assertEqual({key: shown[key] for key in expected}, expected)
        self.assertNotIn("two", shown)
        self.glance("image-tag-update", image, "lts")
        self.assertEqual(["kept", "lts"], self.daemon.show(image)["tags"])
        self.glance("image-tag-delete", image, "kept")
        self.assertEqual(["lts"], self.daemon.show(image)["tags"])
        self.assertIn(image, self.glance("image-list", "--tag", "lts").output)

    def test_properties(self) -> None:
        """Every option for a field, and keys that are escaped in a patch, are set and removed."""
        image, other = self.daemon.image(disk_format="vmdk", container_format="ovf"), self.daemon.image()
        self.glance(
            *("image-update", image, "--container-format", "bare", "--disk-format", "raw", "--min-disk", "7"),
            *("--hidden", "true", "--owner", "blue", "--architecture", "x86_64", "--os-distro", "debian"),
            *("--os-version", "12", "--instance-uuid", other, "--kernel-id", other, "--ramdisk-id", other),
            *("--property", "a/b=1", "--property", "c~d=", "--property", "e f=2", "--property", "g.h:i=\u00fc"),
        )
        keys = {"a/b": "1", "c~d": "", "e f": "2", "g.h:i": "\u00fc", "kernel_id": other, "ramdisk_id": other}
        expected = {
            **{"container_format": "bare", "disk_format": "raw", "min_disk": 7, "os_hidden": True, "owner": "blue"},
            **{"architecture": "x86_64", "os_distro": "debian", "os_version": "12", "instance_uuid": other, **keys},
        }
        shown = self.daemon.show(image)
        self.assertEqual({key: shown.get(key) for key in expected}, expected)
        self.glance("image-update", image, *(part for key in keys for part in ("--remove-property", key)))
        self.assertEqual(self.daemon.show(image).keys() & keys.keys(), set())

    def test_deactivate(self) -> None:
        """An image is deactivated and reactivated."""
        image = self.daemon.image()
        self.daemon.put(image, b"data")
        self.glance("image-deactivate", image)
        self.assertEqual("deactivated", self.daemon.show(image)["status"])
        self.glance("image-reactivate", image)
        self.assertEqual("active", self.daemon.show(image)["status"])


class GlanceLibraryTests(ClientTestCase):
    """The calls of Nova, Cinder and Heat."""

    def setUp(self) -> None:
        super().setUp()
        self.glance = Client("2", endpoint=self.daemon.endpoint, token="any")

    def test_life(self) -> None:
        """An image is created, filled in chunks, read with its digest checked, and deleted."""
        image = self.glance.images.create(name="disk", disk_format="iso", container_format="bare", os_distro="debian")
        self.assertEqual("queued", image.status)
        self.assertIsNone(self.glance.images.data(image.id).wrapped)
        with ISO.path.open("rb") as file:
            self.glance.images.upload(image.id, file)
        image = self.glance.images.get(image.id)
        self.assertEqual(("active", len(ISO.bytes())), (image.status, image.size))
        self.assertEqual(ISO.bytes(), b"".join(self.glance.images.data(image.id)))
        self.assertEqual([image.id], [each.id for each in self.glance.images.list(filters={"os_distro": "debian"})])
        self.glance.images.delete(image.id)
        with self.assertRaises(exc.HTTPNotFound):
            self.glance.images.get(image.id)

    def test_update(self) -> None:
        """The library checks changes against the schema, and sends the differences."""
        image = self.daemon.image(name="old", tags=["a"], one="1", two="2")
        updated = self.glance.images.update(
            image, remove_props=["two"], name="new", tags=["b", "c"], one="3", min_disk=7, os_hidden=True
        )
        self.assertEqual(
            ("new", ["b", "c"], "3", 7, True),
            (updated.name, updated.tags, updated.one, updated.min_disk, updated.os_hidden),
        )
        self.assertNotIn("two", updated)
        self.glance.image_tags.update(image, "d")
        self.glance.image_tags.delete(image, "b")
        self.assertEqual(["c", "d"], self.glance.images.get(image).tags)
        with self.assertRaises(exc.HTTPNotFound):
            self.glance.image_tags.delete(image, "b")
        with self.assertRaises(exc.HTTPForbidden):
            self.glance.images.reactivate(image)

    def test_errors(self) -> None:
        """Each refusal is the library's own exception, with our message."""
        with self.assertRaisesRegex(exc.HTTPNotFound, "No image found with ID nothing"):
            self.glance.images.get("nothing")
        image = self.glance.images.create(name="disk", disk_format="raw", container_format="bare")
        with self.assertRaises(exc.HTTPConflict):
            self.glance.images.create(id=image.id, name="again")
        self.glance.images.upload(image.id, BytesIO(b"data"))
        with self.assertRaises(exc.HTTPConflict):
            self.glance.images.upload(image.id, BytesIO(b"data"))

    def test_many(self) -> None:
        """All pages are read, in the requested order."""
        for number in range(30):
            self.daemon.image(name=f"image {number:02}")
        names = [image.name for image in self.glance.images.list(page_size=7, sort="name:asc")]
        self.assertEqual([f"image {number:02}" for number in range(30)], names)
