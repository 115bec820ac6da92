"""python-openstackclient: `openstack image ...`."""

from __future__ import annotations

from hashlib import md5, sha512

from tests.clients.rigs import ISO, ClientTestCase, Run


class OpenstackClientTests(ClientTestCase):
    """The address is on the command line, in the environment or in clouds.yaml."""

    def openstack(self, *arguments: str) -> Run:
        """A call that must succeed."""
        return self.command("openstack", "--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint, *arguments)

    def test_life(self) -> None:
        """An image with data, properties, tags and a colon in its name is created, shown, listed, saved and deleted."""
        name = "ubuntu:22.04"
        created = self.openstack(
            *("image", "create", "-f", "json", "--disk-format", "iso", "--file", ISO.file),
            *("--property", "os_distro=ubuntu", "--property", "hw_disk_bus=scsi", "--tag", "lts", "--private", name),
        ).json
        shown = self.openstack("image", "show", "-f", "json", name).json
        self.assertEqual(created["id"], shown["id"])
        data = ISO.bytes()
        self.assertEqual(
            ("active", len(data), md5(data).hexdigest(), "private", ["lts"]),
            tuple(shown[field] for field in ("status", "size", "checksum", "visibility", "tags")),
        )
        properties = shown["properties"]
        self.assertEqual(("ubuntu", "scsi"), (properties["os_distro"], properties["hw_disk_bus"]))
        self.assertEqual(sha512(data).hexdigest(), properties["os_hash_value"])
        options = ["--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint]
        queries = [[], ["--name", name], ["--tag", "lts"], ["--property", "os_distro=ubuntu"], ["--private"]]
        lists = [["image", "list", "-f", "json", *query] for query in (*queries, ["--tag", "other"])]
        *found, others = self.succeed("openstack", options, lists)
        for query, run in zip(queries, found, strict=True):
            self.assertEqual([(shown["id"], name)], [(image["ID"], image["Name"]) for image in run.json], query)
        self.assertEqual([], others.json)
        saved = self.folder / "saved"
        self.openstack("image", "save", "--file", str(saved), name)
        self.assert_iso(saved)
        self.openstack("image", "delete", name)
        self.assertEqual([], self.images())

    def test_set(self) -> None:
        """Fields, properties and tags are set and removed. All others stay."""
        image = self.daemon.image(name="old", tags=["kept"], one="1", two="2")
        self.openstack(
            *("image", "set", "--name", "new", "--min-ram", "512", "--property", "one=3", "--protected"),
            *("--property", "hw_disk_bus=scsi", "--tag", "lts", "--public", "--hidden", "old"),
        )
        self.openstack("image", "unset", "--property", "two", "--tag", "kept", image)
        shown = self.daemon.show(image)
        expected = {
            **{"name": "new", "min_ram": 512, "one": "3", "hw_disk_bus": "scsi", "protected": True},
            **{"visibility": "public", "os_hidden": True, "tags": ["lts"]},
        }
        self.assertEqual({key: shown[key] for key in expected}, expected)
        self.assertNotIn("two", shown)
        self.openstack("image", "set", "--unprotected", "--private", "--unhidden", image)
        shown = self.daemon.show(image)
        self.assertEqual(
            (False, "private", False), tuple(shown[key] for key in ("protected", "visibility", "os_hidden"))
        )

    def test_properties(self) -> None:
        """Every option for a property, and keys that are escaped in a patch, are set and removed."""
        image, other = self.daemon.image(name="used", disk_format="vmdk", container_format="ovf"), self.daemon.image()
        self.openstack(
            *("image", "set", "--container-format", "bare", "--disk-format", "raw", "--min-disk", "7", "--community"),
            *("--architecture", "x86_64", "--os-distro", "debian", "--os-version", "12", "--instance-id", other),
            *("--kernel-id", other, "--ramdisk-id", other),
            *("--property", "a/b=1", "--property", "c~d=", "--property", "e f=2", "--property", "g.h:i=\u00fc", image),
        )
        keys = {"a/b": "1", "c~d": "", "e f": "2", "g.h:i": "\u00fc", "kernel_id": other, "ramdisk_id": other}
        expected = {
            **{"container_format": "bare", "disk_format": "raw", "min_disk": 7, "visibility": "community"},
            **{"architecture": "x86_64", "os_distro": "debian", "os_version": "12", "instance_id": other, **keys},
        }
        shown = self.daemon.show(image)
        self.assertEqual({key: shown.get(key) for key in expected}, expected)
        self.openstack("image", "unset", *(part for key in keys for part in ("--property", key)), image)
        self.assertEqual(self.daemon.show(image).keys() & keys.keys(), set())

    def test_deactivate(self) -> None:
        """An image is deactivated and reactivated."""
        image = self.daemon.image(name="used")
        self.daemon.put(image, b"data")
        for option, status in (("--deactivate", "deactivated"), ("--activate", "active")):
            self.openstack("image", "set", option, "used")
            self.assertEqual(status, self.daemon.show(image)["status"])

    def test_refused(self) -> None:
        """A wrong format is refused, the user sees the reason, and the client deletes the image."""
        run = self.try_command(
            *("openstack", "--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint, "image", "create"),
            *("--disk-format", "qcow2", "--file", ISO.file, "wrong"),
        )
        self.assertNotEqual(0, run.status)
        self.assertIn("is declared as qcow2: its content is iso.", run.error)
        self.assertEqual([], self.images())

    def test_missing(self) -> None:
        """A name that no image has is reported as unknown."""
        run = self.try_command(
            *("openstack", "--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint, "image", "show", "nothing")
        )
        self.assertEqual((1, True), (run.status, "nothing" in run.error), run.error)

    def test_protected(self) -> None:
        """A protected image is not deleted, and the reason is shown."""
        self.openstack("image", "create", "--protected", "kept")
        run = self.try_command(
            *("openstack", "--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint, "image", "delete", "kept")
        )
        self.assertNotEqual(0, run.status)
        self.assertIn("protected", run.error)
        self.assertEqual(["kept"], [image["name"] for image in self.images()])

    def test_environment(self) -> None:
        """The address may be in the environment."""
        self.daemon.image(name="one")
        listed = self.command(
            *("openstack", "image", "list", "-f", "json"), OS_AUTH_TYPE="none", OS_ENDPOINT=self.daemon.endpoint
        ).json
        self.assertEqual(["one"], [image["Name"] for image in listed])

    def test_clouds_file(self) -> None:
        """The address may be in clouds.yaml."""
        self.daemon.image(name="one")
        clouds = self.folder / "clouds.yaml"
        clouds.write_text(
            f"clouds:\n  images:\n    auth_type: none\n    auth:\n      endpoint: {self.daemon.endpoint}\n"
        )
        listed = self.command(
            *("openstack", "--os-cloud", "images", "image", "list", "-f", "json"), OS_CLIENT_CONFIG_FILE=str(clouds)
        ).json
        self.assertEqual(["one"], [image["Name"] for image in listed])

    def test_pages(self) -> None:
        """All images are listed if there are more than a page holds."""
        for number in range(30):
            self.daemon.image(name=f"image {number}")
        listed = self.openstack("image", "list", "-f", "json").json
        self.assertEqual({f"image {number}" for number in range(30)}, {image["Name"] for image in listed})
