"""openstacksdk, which openstackclient, Ansible and Nodepool use."""

from __future__ import annotations

from hashlib import md5

import openstack
from openstack import exceptions

from tests.clients.rigs import ISO, ClientTestCase


class OpenstackSdkTests(ClientTestCase):
    """The image proxy of a connection without authentication."""

    def setUp(self) -> None:
        super().setUp()
        self.connection = openstack.connect(
            auth_type="none", endpoint=self.daemon.endpoint, load_envvars=False, load_yaml_config=False
        )
        self.addCleanup(self.connection.close)
        self.image = self.connection.image

    def test_life(self) -> None:
        """An image with a colon in its name is created with its data, found, downloaded with its digest
        checked, and deleted.
        """
        made = self.image.create_image(
            *("fedora:40",),
            filename=ISO.file,
            disk_format="iso",
            container_format="bare",
            os_distro="fedora",
            tags=["x"],
        )
        found = self.image.find_image("fedora:40", ignore_missing=False)
        self.assertEqual(
            (made.id, "active", md5(ISO.bytes()).hexdigest(), "fedora", ["x"]),
            (found.id, found.status, found.checksum, found.os_distro, found.tags),
        )
        self.assertEqual(ISO.bytes(), self.image.download_image(found).content)
        saved = self.folder / "saved"
        self.image.download_image(found, output=str(saved))
        self.assert_iso(saved)
        self.assertEqual([made.id], [image.id for image in self.image.images(name="fedora:40")])
        self.image.delete_image(made.id, ignore_missing=False)
        self.assertIsNone(self.image.find_image("fedora:40"))

    def test_deletes_what_it_lists(self) -> None:
        """Images are listed page by page, and each is deleted before the next page is requested."""
        for number in range(12):
            self.image.create_image(f"old {number}")
        names = []
        for image in self.image.images(limit=5):
            self.image.delete_image(image, ignore_missing=False)
            names.append(image.name)
        self.assertEqual([f"old {number}" for number in reversed(range(12))], names)
        self.assertEqual([], list(self.image.images()))

    def test_update(self) -> None:
        """Fields and properties are set, tags added and removed, and images deactivated and reactivated."""
        made = self.image.create_image("old", data=b"data", disk_format="raw", container_format="bare", one="1")
        updated = self.image.update_image(made.id, name="new", visibility="community", min_ram=512, one="3", two="2")
        self.assertEqual(
            ("new", "community", 512, "3", "2"),
            (updated.name, updated.visibility, updated.min_ram, updated.properties["one"], updated.properties["two"]),
        )
        self.image.add_tag(made.id, "lts")
        self.image.add_tag(made.id, "old")
        self.image.remove_tag(made.id, "old")
        self.assertEqual(["lts"], self.image.get_image(made.id).tags)
        self.image.deactivate_image(made.id)
        self.assertEqual("deactivated", self.image.get_image(made.id).status)
        self.image.reactivate_image(made.id)
        self.assertEqual("active", self.image.get_image(made.id).status)
        with self.assertRaisesRegex(exceptions.ForbiddenException, "cannot be changed: it is active") as caught:
            self.image.update_image(made.id, disk_format="qcow2")
        self.assertEqual(403, caught.exception.status_code)

    def test_validate_checksum(self) -> None:
        """The client compares its own digest with the server's, and deletes the image after a wrong one."""
        data = ISO.bytes()
        options = {"filename": ISO.file, "disk_format": "iso", "container_format": "bare", "validate_checksum": True}
        self.image.create_image("right", md5=md5(data).hexdigest(), **options)
        with self.assertRaisesRegex(exceptions.SDKException, "checksum verification failed"):
            self.image.create_image("wrong", md5=md5(b"other").hexdigest(), **options)
        self.assertEqual(["right"], [image["name"] for image in self.images()])

    def test_refused(self) -> None:
        """The exception has the reason of a refusal, and the image is deleted."""
        with self.assertRaisesRegex(exceptions.HttpException, "its content is iso") as caught:
            self.image.create_image("wrong", filename=ISO.file, disk_format="vmdk", container_format="bare")
        self.assertEqual(415, caught.exception.status_code)
        self.assertEqual([], self.images())

    def test_refused_early(self) -> None:
        """The exception has the reason too if most of a large body was not read."""
        large = self.folder / "large"
        large.write_bytes(bytes(32 << 20))
        with self.assertRaisesRegex(exceptions.HttpException, "its content is raw"):
            self.image.create_image("wrong", filename=str(large), disk_format="vmdk", container_format="bare")
        self.assertEqual([], self.images())

    def test_bytes(self) -> None:
        """Bytes in memory can be uploaded. An image without data can be filled later."""
        made = self.image.create_image("memory", data=b"some bytes", disk_format="raw", container_format="bare")
        self.assertEqual(b"some bytes", self.daemon.get(made.id))
        later = self.image.create_image("later", disk_format="raw", container_format="bare")
        later.data = b"more"
        later.upload(self.image)
        self.assertEqual(b"more", self.daemon.get(later.id))

    def test_stream(self) -> None:
        """A download can be read piece by piece."""
        made = self.image.create_image("disk", filename=ISO.file, disk_format="iso", container_format="bare")
        answer = self.image.download_image(made, stream=True)
        self.assertEqual(ISO.bytes(), b"".join(answer.iter_content(64 << 10)))
