"""A daemon behind a real Keystone, used by the clients of others as OpenStack's users use them."""

from __future__ import annotations

import http.client
import json
import signal
from typing import Any

from glanceclient import Client
from glanceclient.exc import HTTPForbidden, HTTPNotFound
from keystoneauth1.identity.v3 import ApplicationCredential
from keystoneauth1.session import Session
from twisted.trial.unittest import SynchronousTestCase

from tests.clients.rigs import ISO, ClientTestCase, Run
from tests.support.real_keystone import PASSWORD, RealKeystone, real_keystone
from tests.support.waiting import wait_for

TOML = """
[stores.local]
kind = "file"
fsync = false
[policy]
file = "{policy}"
[identity]
mode = "keystone"
[identity.keystone]
auth_url = "{url}"
username = "imgsvc"
password = "{password}"
timeout = {timeout}
"""
SHORT = 10
"""Seconds that tokens are valid in some tests."""


class KeystoneTestCase(ClientTestCase):
    """A daemon that the catalogue of Keystone names."""

    keystone: RealKeystone
    timeout_of_keystone = 20.0

    def setUp(self) -> None:
        self.keystone = real_keystone()
        self.toml = self.configuration()
        super().setUp()
        self.keystone.announce(self.daemon.endpoint)

    def configuration(self, policy: str = "") -> str:
        """The text of the daemon's configuration."""
        return TOML.format(
            url=self.keystone.auth_url, password=PASSWORD, policy=policy, timeout=self.timeout_of_keystone
        )

    def openstack(self, user: str, *arguments: str) -> Run:
        """A call of a user, which must succeed."""
        return self.command("openstack", *arguments, **self.keystone.environment(user))

    def refused(self, user: str, *arguments: str) -> str:
        """What a user is told whose call fails."""
        run = self.try_command("openstack", *arguments, **self.keystone.environment(user))
        self.assertNotEqual(run.status, 0, run.output)
        return run.error

    def ask(self, token: str, method: str = "GET", path: str = "/v2/images", **headers: str) -> int:
        """The status of the answer to a request with a token."""
        return self.daemon.request(method, path, {"X-Auth-Token": token, **headers})[0]

    def restart(self, life: int = 3600) -> None:
        """Start Keystone again."""
        self.keystone.stop()
        self.keystone.start(life)


class ClientTests(KeystoneTestCase):
    """The life of an image, by those who may and by those who may not."""

    def test_openstackclient(self) -> None:
        """An administrator and a member make an image, and share it. A reader only looks."""
        project = self.keystone.projects["red"]
        for user in ("admin", "blue-member"):
            made = self.openstack(
                user, "image", "create", "-f", "json", "--disk-format", "iso", "--file", ISO.file, f"disk of {user}"
            ).json
            self.assertEqual(made["status"], "active")
            self.openstack(user, "image", "set", "--property", "os_distro=ipxe", "--shared", made["id"])
            saved = self.folder / "saved"
            self.openstack(user, "image", "save", "--file", str(saved), made["id"])
            self.assert_iso(saved)
        blue = made["id"]
        self.openstack("blue-member", "image", "add", "project", blue, project)
        self.openstack("red-member", "image", "set", "--accept", "--project", project, blue)
        self.assertEqual(self.openstack("red-reader", "image", "show", "-f", "json", blue).json["id"], blue)
        listed = self.openstack("blue-reader", "image", "list", "-f", "json").json
        self.assertEqual([image["ID"] for image in listed], [blue])
        self.assertIn("403", self.refused("blue-reader", "image", "create", "another"))
        self.assertIn("403", self.refused("red-member", "image", "delete", blue))
        self.refused("blue-nobody", "image", "list")
        self.openstack("blue-member", "image", "delete", blue)
        self.assertIn("No Image found", self.refused("red-reader", "image", "show", blue))

    def test_openstacksdk(self) -> None:
        """The service is found in the catalogue; what is made belongs to the project of who made it."""
        with self.keystone.connection("red-member") as red, self.keystone.connection("blue-reader") as blue:
            image = red.create_image("disk", filename=ISO.file, disk_format="iso", wait=True)
            self.assertEqual(image.owner, self.keystone.projects["red"])
            self.assertIsNone(blue.image.find_image("disk"))
            red.image.add_member(image, member_id=self.keystone.projects["blue"])
            self.assertEqual(blue.image.get_image(image.id).name, "disk")
            self.assertEqual(red.image.download_image(image).content, ISO.bytes())
            red.delete_image(image.id, wait=True)
            self.assertEqual(list(red.image.images()), [])

    def test_glanceclient(self) -> None:
        """By its command, and by its library with an administrator, who sees all."""
        made = self.command("glance", "image-create", "--name", "disk", **self.keystone.environment("blue-member"))
        self.assertIn("queued", made.output)
        with self.keystone.connection("admin") as admin, self.keystone.connection("red-member") as red:
            [image] = Client("2", session=admin.session).images.list()
            self.assertEqual(image.owner, self.keystone.projects["blue"])
            others = Client("2", session=red.session).images
            self.assertRaises(HTTPNotFound, others.get, image.id)
            self.assertRaises(HTTPForbidden, others.update, others.create(name="own").id, visibility="public")
        self.command("glance", "image-delete", image.id, **self.keystone.environment("blue-member"))

    def test_challenge(self) -> None:
        """Who has no token is told where to get one."""
        status, headers, _ = self.daemon.request("GET", "/v2/images")
        self.assertEqual((status, headers["www-authenticate"]), (401, f'Keystone uri="{self.keystone.auth_url}"'))
        self.assertEqual(self.ask("no-token"), 401)


class TokenTests(KeystoneTestCase):
    """Kinds of tokens, and their end."""

    def test_short_life(self) -> None:
        """Transfers outlive their token. What begins after its end is 401, but not if a service brings it."""
        lines = {"X-Auth-Token": self.keystone.token("blue-member"), "Content-Type": "application/octet-stream"}
        document = json.dumps({"disk_format": "raw", "container_format": "bare"}).encode()
        made = [self.daemon.request("POST", "/v2/images", lines, document)[2] for _ in range(2)]
        full, slow = (json.loads(body)["id"] for body in made)
        data = bytes(1 << 20) * 64  # more than the buffers of the sockets hold
        self.assertEqual(self.daemon.request("PUT", f"/v2/images/{full}/file", lines, data)[0], 204)
        self.addCleanup(self.restart)
        self.restart(SHORT)
        lines["X-Auth-Token"] = token = self.keystone.token("blue-member")
        upload = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60)
        self.addCleanup(upload.close)
        upload.putrequest("PUT", f"/v2/images/{slow}/file")
        for name, value in {**lines, "Content-Length": str(len(data))}.items():
            upload.putheader(name, value)
        upload.endheaders(data[: 1 << 20])
        download = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60)
        self.addCleanup(download.close)
        download.request("GET", f"/v2/images/{full}/file", headers=lines)
        answer = download.getresponse()
        self.assertEqual(answer.status, 200)
        wait_for(lambda: self.ask(token) == 401, "the end of the token", SHORT * 3)
        upload.send(data[1 << 20 :])
        self.assertEqual(upload.getresponse().status, 204)
        self.assertEqual(len(answer.read()), len(data))
        self.assertEqual(self.ask(token), 401)
        service = self.keystone.token("imgsvc")
        self.assertEqual(self.ask(token, **{"X-Service-Token": service}), 200)
        self.assertEqual(self.ask(token, **{"X-Service-Token": self.keystone.token("red-member")}), 401)

    def test_access_rules(self) -> None:
        """An application credential with access rules is good for these requests only."""
        with self.keystone.connection("blue-member") as blue:
            rules = [{"path": "/v2/images", "method": "GET", "service": "image"}]
            user = blue.current_user_id
            credential = blue.identity.create_application_credential(user, "limited", access_rules=rules)
            self.addCleanup(self.forget, user, credential.id)
        auth = ApplicationCredential(
            self.keystone.auth_url,
            application_credential_id=credential.id,
            application_credential_secret=credential.secret,
        )
        token = Session(auth).get_token()
        assert token is not None
        self.assertEqual(self.ask(token), 200)
        self.assertEqual(self.ask(token, "POST"), 401)
        self.assertEqual(self.ask(token, "GET", "/v2/schemas/image"), 401)
        service = self.keystone.token("imgsvc")
        self.assertEqual(self.ask(token, "GET", "/v2/schemas/image", **{"X-Service-Token": service}), 200)

    def forget(self, user: str, credential: str) -> None:
        """Delete an application credential."""
        with self.keystone.connection("blue-member") as blue:
            blue.identity.delete_application_credential(user, credential)

    def test_scopes(self) -> None:
        """Tokens without a scope are refused. Those for the system or a domain may do nothing."""
        auth: dict[str, Any] = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}},
            }
        }
        for scope, status in (("unscoped", 401), ({"system": {"all": True}}, 403)):
            body = json.dumps({"auth": {**auth, "scope": scope}}).encode()
            connection = http.client.HTTPConnection("127.0.0.1", self.keystone.port, timeout=30)
            connection.request("POST", "/v3/auth/tokens", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            self.assertEqual(self.ask(answer.headers["X-Subject-Token"]), status, scope)


class OutageTests(KeystoneTestCase):
    """Keystone goes away, and comes back."""

    timeout_of_keystone = 2.0

    def setUp(self) -> None:
        super().setUp()
        self.kept, self.new = (self.keystone.token("blue-member") for _ in range(2))
        self.assertEqual(self.ask(self.kept), 200)

    def assert_away(self) -> None:
        """New tokens cannot be checked, kept ones go on."""
        status, headers, body = self.daemon.request("GET", "/v2/images", {"X-Auth-Token": self.new})
        self.assertEqual(status, 503, body)
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        self.assertNotIn(self.new.encode(), body)
        self.assertEqual(self.ask(self.kept), 200)

    def assert_back(self) -> None:
        """New tokens are checked again."""
        wait_for(lambda: self.ask(self.new) == 200, "checks after the outage", 60.0)
        log = self.daemon.log()
        for secret in (self.new, self.kept, PASSWORD):
            self.assertNotIn(secret, log)

    def test_frozen(self) -> None:
        """It does not answer."""
        self.addCleanup(self.keystone.freeze, False)
        self.keystone.freeze(True)
        self.assert_away()
        self.keystone.freeze(False)
        self.assert_back()

    def test_killed(self) -> None:
        """It is killed, and starts again, with the same keys, and then with others."""
        self.addCleanup(self.restart)
        self.keystone.kill()
        self.assert_away()
        self.keystone.start()
        self.assert_back()
        self.keystone.stop()
        self.keystone.change_keys()
        self.keystone.start()
        self.assertEqual(self.ask(self.kept), 200)
        newer = self.keystone.token("blue-member")
        wait_for(lambda: self.ask(newer) == 200, "a new token of the server", 60.0)

    def test_reload(self) -> None:
        """Rules of a new policy hold from SIGHUP on. Neither connections nor kept tokens are lost."""
        document = json.dumps({"name": "disk"}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60)
        self.addCleanup(connection.close)
        reader = self.keystone.token("blue-reader")

        def make() -> int:
            connection.request("POST", "/v2/images", document, {"X-Auth-Token": reader})
            answer = connection.getresponse()
            answer.read()
            return answer.status

        self.assertEqual(make(), 403)
        self.keystone.kill()
        self.addCleanup(self.restart)
        (self.daemon.data / "policy.yaml").write_text('"add_image": "role:reader and project_id:%(project_id)s"\n')
        self.daemon.config.write_text(self.configuration("policy.yaml"))
        socket = connection.sock
        self.daemon.signal(signal.SIGHUP)
        wait_for(lambda: make() == 201, "the new rules")
        self.assertIs(connection.sock, socket)
        self.assertEqual(self.ask(self.kept), 200)


class RigTests(SynchronousTestCase):
    """What the tests rely on."""

    def test_roles(self) -> None:
        """Keystone gives a member the role of readers, too, and an administrator all roles."""
        keystone = real_keystone()
        for user, roles in (
            ("admin", {"admin", "manager", "member", "reader"}),
            ("blue-member", {"member", "reader"}),
            ("blue-reader", {"reader"}),
        ):
            with keystone.connection(user) as connection:
                access = connection.session.auth.get_access(connection.session)
                self.assertEqual(set(access.role_names), roles)
