"""Clients of other projects that register images by their location, and change locations."""

from __future__ import annotations

import json
from hashlib import md5, sha256, sha512
from typing import Any

import openstack
from glanceclient import Client, exc

from tests.clients.rigs import ISO, ClientTestCase, Run
from tests.support.waiting import wait_for
from tests.support.website import RealSite


class LocationTestCase(ClientTestCase):
    """A daemon with a file store and a store that reads from a site."""

    def setUp(self) -> None:
        self.site = RealSite()
        self.addCleanup(self.site.stop)
        self.site.objects.update({"/disk": ISO.bytes(), "/copy": ISO.bytes()})
        self.url, self.copy = self.site.url("/disk"), self.site.url("/copy")
        self.toml = (
            "[stores]\ndefault = 'local'\n[stores.local]\nkind = 'file'\nfsync = false\n"
            f"[stores.web]\n{self.site.store}[images]\nshow_locations = true\nshow_direct_url = true\n"
        )
        super().setUp()

    def show(self, image_id: str) -> dict[str, Any]:
        """The image as the daemon shows it."""
        return self.daemon.show(image_id)

    def assert_hashed(self, image_id: str) -> None:
        """The image soon has the digests of the medium."""
        wait_for(lambda: self.show(image_id)["checksum"], f"{image_id} hashed")
        shown = self.show(image_id)
        self.assertEqual(("active", md5(ISO.bytes()).hexdigest()), (shown["status"], shown["checksum"]))


class GlanceTests(LocationTestCase):
    """glanceclient"""

    def glance(self, *arguments: str) -> Run:
        """A call of the command that must succeed."""
        return self.command("glance", "--os-image-url", self.daemon.endpoint, "--os-auth-token", "any", *arguments)

    def urls(self, image_id: str) -> list[str]:
        """The URLs of the image's locations."""
        return [location["url"] for location in self.show(image_id)["locations"]]

    def files(self, image_id: str) -> list[str]:
        """The files of an image in the store."""
        return [path.name for path in (self.daemon.data / "images").iterdir() if image_id in path.name]

    def test_old_commands(self) -> None:
        """location-add, location-update and location-delete work."""
        image = self.daemon.image(disk_format="iso")
        self.glance("location-add", "--url", self.url, "--metadata", '{"rack": "7"}', image)
        self.glance("location-add", "--url", self.copy, image)
        self.assertEqual(("active", [self.url, self.copy]), (self.show(image)["status"], self.urls(image)))
        self.glance("location-update", "--url", self.url, "--metadata", '{"rack": "8"}', image)
        self.assertEqual({"rack": "8", "store": "web"}, self.show(image)["locations"][0]["metadata"])
        self.glance("location-delete", "--url", self.url, image)
        self.assertEqual([self.copy], self.urls(image))
        saved = self.folder / "saved"
        self.glance("image-download", "--file", str(saved), image)
        self.assert_iso(saved)

    def test_old_command_with_digests(self) -> None:
        """location-add keeps the given digests, and the download is checked by them."""
        image = self.daemon.image(disk_format="iso")
        data = ISO.bytes()
        self.glance(
            *("location-add", "--url", self.url, "--checksum", md5(data).hexdigest()),
            *("--hash-algo", "sha512", "--hash-value", sha512(data).hexdigest(), image),
        )
        self.assertEqual(sha512(data).hexdigest(), self.show(image)["os_hash_value"])
        saved = self.folder / "saved"
        self.glance("image-download", "--file", str(saved), image)
        self.assert_iso(saved)

    def test_new_command(self) -> None:
        """add-location works with a digest and without."""
        image = self.daemon.image(disk_format="iso")
        self.glance("add-location", "--url", self.url, image)
        self.assert_hashed(image)
        image = self.daemon.image(disk_format="iso")
        validation = {"os_hash_algo": "sha256", "os_hash_value": sha256(ISO.bytes()).hexdigest()}
        self.glance("add-location", "--url", self.url, "--validation-data", json.dumps(validation), image)
        self.assert_hashed(image)

    def test_library(self) -> None:
        """add_image_location and get_image_locations work, and raise the library's exceptions."""
        glance = Client("2", endpoint=self.daemon.endpoint, token="any")
        image = self.daemon.image(disk_format="iso")
        glance.images.add_image_location(image, self.url)
        self.assert_hashed(image)
        [location] = glance.images.get_image_locations(image)
        self.assertEqual({"url": self.url, "metadata": {"store": "web"}}, location)
        self.assertEqual(ISO.bytes(), b"".join(glance.images.data(image)))
        with self.assertRaises(exc.HTTPConflict):
            glance.images.add_image_location(image, self.url)
        with self.assertRaisesRegex(exc.HTTPBadRequest, "refused"):
            glance.images.add_location(image, "http://169.254.169.254/latest", {})
        with self.assertRaises(exc.HTTPForbidden):
            glance.images.delete_locations(image, {self.url})

    def test_stores(self) -> None:
        """stores-info works, and stores-delete of one copy."""
        self.assertIn("web", self.glance("stores-info").output)
        self.assertIn("http", self.glance("stores-info", "--detail").output)
        image = self.daemon.image(disk_format="iso")
        self.assertEqual(204, self.daemon.put(image, ISO.bytes()))
        wait_for(lambda: set(self.files(image)) == {image}, "settled")
        self.glance("location-add", "--url", self.url, image)
        self.assertEqual("local,web", self.show(image)["stores"])
        self.glance("stores-delete", "--store", "local", image)
        self.assertEqual("web", self.show(image)["stores"])
        self.assertEqual([], self.files(image))
        self.assertEqual(ISO.bytes(), self.daemon.get(image))


class OpenstackSdkTests(LocationTestCase):
    """openstacksdk"""

    def test_location(self) -> None:
        """add_image_location and image_locations work."""
        connection = openstack.connect(
            auth_type="none", endpoint=self.daemon.endpoint, load_envvars=False, load_yaml_config=False
        )
        self.addCleanup(connection.close)
        image = connection.image.get_image(self.daemon.image(disk_format="iso"))
        connection.image.add_image_location(image, url=self.url)
        self.assert_hashed(image.id)
        [location] = connection.image.image_locations(image)
        self.assertEqual((self.url, {"store": "web"}), (location.url, location.metadata))
        self.assertEqual(ISO.bytes(), connection.image.download_image(image).content)
        self.assertEqual(["local", "web"], [store.id for store in connection.image.stores()])
