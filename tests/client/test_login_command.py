"""The command logs in, by variables, by a cloud, and without Keystone at real daemons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.memory_api import MemoryImageApi
from tests.client.scenarios import LIMIT, ROOT, environment
from tests.support.daemon import Daemon
from tests.support.identity_service import IdentityService
from tests.support.users import a_user, with_token, write_users

SECRET = "alice's secret"


class CommandTestCase(SynchronousTestCase):
    """Runs the command in a folder of its own, which is its home too."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def imgsvc(self, *arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command with these variables; it must end with `code`, and show no secret."""
        done = subprocess.run(
            [sys.executable, "-m", "imgsvc.client", *arguments],
            cwd=self.folder,
            env={**environment(), "HOME": str(self.folder), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn(SECRET, done.stdout + done.stderr)
        return done


class KeystoneTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.api, self.keystone = MemoryImageApi(), IdentityService()
        for server in (self.api, self.keystone):
            server.start()
            self.addCleanup(server.stop)
        self.api.accepts = self.keystone.accepts
        self.keystone.offer(self.api.endpoint)
        self.variables = {"OS_AUTH_URL": self.keystone.url, "OS_USERNAME": "alice", "OS_PASSWORD": SECRET}

    def write_clouds(self) -> None:
        """Write a clouds.yaml with the cloud `mine`, and a secure.yaml with its password."""
        auth = {"auth_url": self.keystone.url, "username": "alice", "project_name": "blue"}
        for name, part in (("clouds", auth), ("secure", {"password": SECRET})):
            (self.folder / f"{name}.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": part}}}))

    def test_variables(self) -> None:
        """An image is uploaded and downloaded with nothing but OS_* variables, by one login for each command."""
        source = self.folder / "source"
        source.write_bytes(os.urandom(2_000_000))
        image_id = self.imgsvc("upload", "source", **self.variables).stdout.strip()
        self.imgsvc("download", image_id, "-o", "copy", **self.variables)
        self.assertTrue((self.folder / "copy").read_bytes() == source.read_bytes())
        self.assertEqual(len(self.keystone.asked), 2)

    def test_cloud(self) -> None:
        """--os-cloud and OS_CLOUD take an entry of clouds.yaml, with the password of secure.yaml."""
        self.write_clouds()
        for arguments, variables in ((["--os-cloud", "mine"], {"OS_CLOUD": "other"}), ([], {"OS_CLOUD": "mine"})):
            self.assertEqual(self.imgsvc(*arguments, "list", "--json", **variables).stdout, "[]\n")
        self.assertEqual(self.keystone.asked[-1]["auth"]["scope"]["project"]["name"], "blue")
        done = self.imgsvc("list", code=2, OS_CLOUD="other")
        self.assertIn("clouds.yaml: cloud 'other': no such cloud; there are mine.", done.stderr)
        self.assertIn("leave out --token", self.imgsvc("--os-cloud", "mine", "--token", "x", "list", code=2).stderr)
        (self.folder / "clouds.yaml").write_text("clouds: [")
        self.assertIn("clouds.yaml: is not YAML", self.imgsvc("list", code=6, OS_CLOUD="mine").stderr)

    def test_completion(self) -> None:
        """The shell completes the names of clouds, and none if there is no usable file."""
        complete = {"_IMGSVC_COMPLETE": "bash_complete", "COMP_WORDS": "imgsvc --os-cloud m", "COMP_CWORD": "2"}
        self.assertEqual(self.completed(**complete), "\n")
        self.write_clouds()
        self.assertEqual(self.completed(**complete), "plain,mine\n")

    def completed(self, **variables: str) -> str:
        command = Path(sys.executable).parent / "imgsvc"
        return subprocess.run(
            [command],
            cwd=self.folder,
            env={**environment(), "HOME": str(self.folder), **variables},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout

    def test_token_instead(self) -> None:
        """--token is sent as it is, to the endpoint of the option, whatever the variables say of Keystone."""
        self.keystone.good.add("mine")
        self.imgsvc("--token", "mine", "--endpoint", self.api.endpoint, "list", **self.variables)
        self.imgsvc("list", OS_TOKEN="mine", OS_ENDPOINT=self.api.endpoint)
        self.assertEqual(self.keystone.asked, [])

    def test_failures(self) -> None:
        """A login that fails is told in one line, and the exit code says of which kind the failure is."""
        wrong = {**self.variables, "OS_PASSWORD": "wrong"}
        told = self.imgsvc("list", code=1, **wrong).stderr
        self.assertRegex(told, r"\AKeystone at \S+ refuses to log in the user 'alice' \(401\): [^\n]*\n\Z")
        told = self.imgsvc("list", code=3, OS_REGION_NAME="R9", **self.variables).stderr
        self.assertRegex(told, r"\AKeystone at \S+ knows no endpoint of the service 'image' [^\n]*\n\Z")
        self.keystone.stop()
        told = self.imgsvc("list", code=3, **self.variables).stderr
        self.assertRegex(told, r"\ACannot reach Keystone at [^\n]*\n\Z")
        told = self.imgsvc("list", code=6, OS_CACERT="missing.pem", **self.variables).stderr
        self.assertEqual(told, "missing.pem: No such file or directory\n")
        del self.variables["OS_PASSWORD"]
        self.assertIn("OS_PASSWORD is missing", self.imgsvc("list", code=2, **self.variables).stderr)


class DaemonTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        daemon = Daemon(self.folder / "daemon", environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def test_none(self) -> None:
        """OS_AUTH_TYPE=none uses a server that asks nobody who he is, at OS_ENDPOINT or by a cloud."""
        done = self.imgsvc("list", "--json", OS_AUTH_TYPE="none", OS_ENDPOINT=self.endpoint)
        self.assertEqual(done.stdout, "[]\n")
        entry = {"auth_type": "none", "auth": {"endpoint": self.endpoint}}
        (self.folder / "clouds.yaml").write_text(json.dumps({"clouds": {"local": entry}}))
        self.assertEqual(self.imgsvc("--os-cloud", "local", "list", "--json").stdout, "[]\n")


class UsersTests(CommandTestCase):
    """A real daemon with users of its own."""

    def setUp(self) -> None:
        super().setUp()
        daemon = Daemon(self.folder / "daemon", '[identity]\nmode = "users"\n', environment={"PYTHONPATH": str(ROOT)})
        alice, token = with_token(a_user("alice", SECRET, blue="member"), "blue")
        self.token = token.text
        write_users(daemon.data / "users.json", alice)
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def test_http_basic(self) -> None:
        """OS_AUTH_TYPE=http_basic, or an entry of clouds.yaml with it, does the life of an image as its user."""
        variables = {"OS_USERNAME": "alice", "OS_PASSWORD": SECRET, "OS_ENDPOINT": f"{self.endpoint}/v2"}
        variables["OS_AUTH_TYPE"] = "http_basic"
        (self.folder / "source").write_bytes(b"some bytes")
        image_id = self.imgsvc("upload", "source", **variables).stdout.strip()
        auth = {"endpoint": self.endpoint, "username": "alice", "password": SECRET}
        entry = {"auth_type": "http_basic", "auth": auth}
        (self.folder / "clouds.yaml").write_text(json.dumps({"clouds": {"local": entry}}))
        shown = json.loads(self.imgsvc("--os-cloud", "local", "show", image_id, "--json").stdout)
        self.assertEqual((shown["owner"], shown["status"]), ("blue", "active"))
        self.assertIn("(401)", self.imgsvc("list", code=1, **{**variables, "OS_PASSWORD": "wrong"}).stderr)
        self.imgsvc("delete", image_id, **variables)

    def test_token(self) -> None:
        """A personal token is sent as it is, by OS_TOKEN and OS_ENDPOINT or by the type `admin_token`."""
        variables = {"OS_TOKEN": self.token, "OS_ENDPOINT": self.endpoint}
        self.assertEqual(self.imgsvc("list", "--json", **variables).stdout, "[]\n")
        self.assertEqual(self.imgsvc("list", "--json", OS_AUTH_TYPE="admin_token", **variables).stdout, "[]\n")
