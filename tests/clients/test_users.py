"""openstackclient and openstacksdk with users of the server (`http_basic`)."""

from __future__ import annotations

from pathlib import Path

import openstack

from tests.clients.rigs import ISO, ClientTestCase
from tests.support.daemon import Daemon
from tests.support.users import PASSWORD, a_user, write_users


class UsersTests(ClientTestCase):
    """Members of two projects, and an administrator."""

    toml = '[stores.local]\nkind = "file"\nfsync = false\n[identity]\nmode = "users"\n'

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.daemon = Daemon(self.folder, self.toml)
        users = a_user("alice", blue="member"), a_user("b\u00f6b", red="member"), a_user("root", ops="admin")
        write_users(self.daemon.data / "users.json", *users)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def variables(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        """The environment of a user."""
        return {
            "OS_AUTH_TYPE": "http_basic",
            "OS_ENDPOINT": f"{self.daemon.endpoint}/v2",  # used as it is: keystoneauth asks for no versions here
            "OS_USERNAME": name,
            "OS_PASSWORD": password,
        }

    def test_life(self) -> None:
        """An image is created, shown, saved and deleted with the variables alone; others do not see it."""
        mine = self.variables("alice")
        created = self.command(
            *("openstack", "image", "create", "-f", "json", "--disk-format", "iso", "--file", ISO.file, "disk"), **mine
        ).json
        self.assertEqual((created["owner"], created["status"]), ("blue", "active"))
        saved = self.folder / "saved"
        self.command("openstack", "image", "save", "--file", str(saved), "disk", **mine)
        self.assert_iso(saved)
        self.assertEqual(
            self.command("openstack", "image", "list", "-f", "json", **self.variables("b\u00f6b")).json, []
        )
        self.command("openstack", "image", "delete", created["id"], **self.variables("root"))
        refused = self.try_command("openstack", "image", "list", **self.variables("alice", "wrong"))
        self.assertNotEqual(refused.status, 0)
        self.assertIn("401", refused.error)

    def test_options(self) -> None:
        """The same on the command line, where the image is changed, and others may see it when it is public."""

        def options(name: str) -> list[str]:
            address = ["--os-auth-type", "http_basic", "--os-endpoint", f"{self.daemon.endpoint}/v2"]
            return [*address, "--os-username", name, "--os-password", PASSWORD]

        created = ["image", "create", "-f", "json", "--private", "--disk-format", "raw", "disk"]
        renamed = ["image", "set", "--name", "renamed", "--property", "os_distro=debian", "disk"]
        self.succeed("openstack", options("alice"), [created, renamed])
        listed = ["image", "list", "-f", "json"]
        [nothing] = self.succeed("openstack", options("b\u00f6b"), [listed])
        published = ["image", "set", "--public", "renamed"]
        [refused] = self.many("openstack", options("alice"), [published])
        self.assertIn("403", refused.error)
        _, everything = self.succeed("openstack", options("root"), [published, listed])
        [something] = self.succeed("openstack", options("b\u00f6b"), [listed])
        names = [[image["Name"] for image in run.json] for run in (nothing, everything, something)]
        self.assertEqual(names, [[], ["renamed"], ["renamed"]])

    def test_openstacksdk(self) -> None:
        """openstacksdk makes an image and reads it."""
        cloud = openstack.connect(
            auth_type="http_basic",
            auth={"endpoint": f"{self.daemon.endpoint}/v2", "username": "alice", "password": PASSWORD},
            load_yaml_config=False,
            load_envvars=False,
        )
        self.addCleanup(cloud.close)
        data = ISO.bytes()
        image = cloud.image.create_image(
            "disk", data=data, disk_format="iso", container_format="bare", validate_checksum=True
        )
        self.assertEqual(cloud.image.get_image(image.id).owner_id, "blue")
        self.assertEqual(cloud.image.download_image(image.id).content, data)
