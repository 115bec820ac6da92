"""The command and the examples with the real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.relay import Relay
from tests.client.scenarios import LIMIT, ROOT, ClientProcesses, ClientScenarios, environment
from tests.support.daemon import Daemon

SHORT_LEASE = "[server]\nupload_lease = '1 s'\nreaper_interval = '1 s'\n"
TWO_STORES = "[stores]\ndefault = 'local'\n" + "".join(
    f"[stores.{name}]\nkind = 'file'\npath = '{name}'\n" for name in ("local", "other")
)
PROXIED = "[identity]\nmode = 'proxy'\n"


class DaemonScenarioTests(ClientScenarios, SynchronousTestCase):
    """All scenarios, and tests that need a server with data on a disk."""

    def setUp(self) -> None:
        self.prepare()
        daemon = Daemon(Path(self.mktemp()).absolute(), environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def test_wrong_format(self) -> None:
        """Data in another format than declared is refused, and the new image is deleted."""
        source = self.file("source", os.urandom(1_000_000))
        done = self.imgsvc("upload", source, "--disk-format", "qcow2", code=1)
        self.assertIn("The server refused (415)", done.stderr)
        self.assertIn("was deleted again", done.stderr)
        self.assertEqual(self.imgsvc("list", "--json").stdout, "[]\n")

    def test_formats(self) -> None:
        """The formats of an image can be changed as long as it has no data."""
        image_id = str(uuid.uuid4())
        self.imgsvc("upload", self.file("source", b"x"), "--disk-format", "qcow2", "--id", image_id, code=1)
        self.imgsvc("update", image_id, "--disk-format", "raw", "--container-format", "docker")
        self.assertEqual(self.upload(b"x", "--id", image_id), image_id)
        document = self.document(image_id)
        self.assertEqual((document["disk_format"], document["container_format"]), ("raw", "docker"))
        self.assertIn("403", self.imgsvc("update", image_id, "--disk-format", "iso", code=1).stderr)

    def test_wrong_path(self) -> None:
        """A path that the server does not know is not an Image API."""
        done = self.imgsvc("--endpoint", f"{self.endpoint}/elsewhere", "list", code=3)
        self.assertIn(f"There is no Image API at {self.endpoint}/elsewhere", done.stderr)

    def test_early_refusal(self) -> None:
        """The client reads a refusal although most of a large file was not sent."""
        image_id = self.upload(b"x")
        source = self.file("large", b"")
        os.truncate(source, 1_000_000_000)
        self.assertIn("(409)", self.imgsvc("upload", source, "--id", image_id, code=1).stderr)

    def test_wrong_format_of_a_large_file(self) -> None:
        """The daemon refuses a file without reading all of it."""
        source = self.file("large", b"")
        os.truncate(source, 1_000_000_000)
        done = self.imgsvc("upload", source, "--disk-format", "qcow2", code=1)
        self.assertIn("(415)", done.stderr)


class RestartTests(ClientProcesses, SynchronousTestCase):
    """The daemon is killed and started again while the command uploads."""

    def setUp(self) -> None:
        self.prepare()
        self.daemon = Daemon(Path(self.mktemp()).absolute(), SHORT_LEASE, environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def upload_over_restart(self, content: bytes, relay: Relay, *options: str) -> subprocess.Popen[str]:
        """Begin an upload, kill the daemon when the relay holds it, and start the daemon again."""
        self.addCleanup(relay.stop)
        arguments = ["upload", str(self.file("source", content)), *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "imgsvc.client", "--endpoint", relay.endpoint, *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(relay.held.wait(LIMIT))
        self.daemon.kill()
        relay.port = self.daemon.start().port
        return process

    def assert_uploaded(self, process: subprocess.Popen[str], content: bytes) -> str:
        """The upload succeeds, and the image has this data. Returns the messages."""
        output, said = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("verified", said)
        self.assertEqual(self.daemon.get(output.strip()) == content, True)
        return said

    def test_in_the_middle(self) -> None:
        """An upload whose server restarts in the middle is repeated."""
        content = os.urandom(8_000_000)
        process = self.upload_over_restart(content, Relay(self.daemon.port, hold_data_after=3_000_000))
        self.assertIn("Trying again", self.assert_uploaded(process, content))

    def test_at_the_end(self) -> None:
        """An upload whose response was lost in a restart is recognised as done. It is neither repeated nor deleted."""
        content = os.urandom(3_000_000)
        relay = Relay(self.daemon.port, hold_answer=True)
        said = self.assert_uploaded(self.upload_over_restart(content, relay, "--retries", "0"), content)
        self.assertNotIn("deleted", said)
        _, _, listed = self.daemon.request("GET", "/v2/images")
        self.assertEqual([image["status"] for image in json.loads(listed)["images"]], ["active"])


class SeveralStoresTests(ClientProcesses, SynchronousTestCase):
    def setUp(self) -> None:
        self.prepare()
        daemon = Daemon(Path(self.mktemp()).absolute(), TWO_STORES, environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def test_store(self) -> None:
        """An image is put into the chosen store. An unknown store is refused beforehand."""
        self.assertEqual(self.document(self.upload(b"x", "--store", "other"))["stores"], "other")
        done = self.imgsvc("upload", self.file("source", b"x"), "--store", "another", code=1)
        self.assertIn("there are local, other", done.stderr)


class ProjectsTests(ClientProcesses, SynchronousTestCase):
    """Two projects that share an image."""

    def setUp(self) -> None:
        self.prepare()
        daemon = Daemon(Path(self.mktemp()).absolute(), PROXIED, environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def as_project(self, project: str, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        headers = {"X-Identity-Status": "Confirmed", "X-Project-Id": project, "X-Roles": "member,reader"}
        options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        return self.imgsvc(*options, *arguments, code=code)

    def test_sharing(self) -> None:
        """The other project lists a shared image after it has accepted the image by name."""
        image_id = self.as_project("blue", "upload", self.file("source", b"abc"), "--name", "ours").stdout.strip()
        self.as_project("blue", "share", "ours", "red", "green")
        listed = ["list", "--json", "--visibility", "shared"]
        self.assertEqual(self.as_project("red", *listed).stdout, "[]\n")
        self.assertIn(image_id, self.as_project("red", *listed, "--member-status", "pending").stdout)
        self.assertIn("accepted by red", self.as_project("red", "accept", "ours").stderr)
        self.assertIn(image_id, self.as_project("red", *listed).stdout)
        self.assertIn("rejected by red", self.as_project("red", "reject", "ours").stderr)
        self.assertEqual(self.as_project("red", *listed).stdout, "[]\n")
        self.assertIn("(403)", self.as_project("blue", "accept", "ours", "--project", "green", code=1).stderr)
        self.assertIn("(403)", self.as_project("red", "delete", image_id, code=1).stderr)

    def test_nobody(self) -> None:
        """A caller without credentials is told which options to use."""
        self.assertIn("Say who you are, before the subcommand: --token", self.imgsvc("list", code=1).stderr)
