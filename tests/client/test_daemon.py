"""The command and the examples against the real daemon."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.scenarios import ROOT, ClientScenarios
from tests.support.daemon import Daemon


class DaemonScenarioTests(ClientScenarios, SynchronousTestCase):
    """All scenarios, and what only a server with bytes on a disk can show."""

    def setUp(self) -> None:
        self.prepare()
        daemon = Daemon(Path(self.mktemp()).absolute(), environment={"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        self.endpoint = daemon.start().endpoint

    def test_wrong_format(self) -> None:
        """Bytes that are not what they are said to be are refused, and the new image is deleted again."""
        source = self.file("source", os.urandom(1_000_000))
        done = self.imgsvc("upload", source, "--disk-format", "qcow2", code=1)
        self.assertIn("The server refused (415)", done.stderr)
        self.assertIn("was deleted again", done.stderr)
        self.assertEqual(self.imgsvc("list", "--json").stdout, "[]\n")

    def test_formats(self) -> None:
        """The formats of an image are changed as long as it has no data."""
        image_id = str(uuid.uuid4())
        self.imgsvc("upload", self.file("source", b"x"), "--disk-format", "qcow2", "--id", image_id, code=1)
        self.imgsvc("update", image_id, "--disk-format", "raw", "--container-format", "docker")
        self.assertEqual(self.upload(b"x", "--id", image_id), image_id)
        document = self.document(image_id)
        self.assertEqual((document["disk_format"], document["container_format"]), ("raw", "docker"))
        self.assertIn("403", self.imgsvc("update", image_id, "--disk-format", "iso", code=1).stderr)

    def test_wrong_path(self) -> None:
        """A path that the server does not know is no Image API."""
        done = self.imgsvc("--endpoint", f"{self.endpoint}/elsewhere", "list", code=3)
        self.assertIn(f"There is no Image API at {self.endpoint}/elsewhere", done.stderr)

    def test_early_refusal(self) -> None:
        """A refusal is heard although most of a large file was not sent."""
        image_id = self.upload(b"x")
        source = self.file("large", b"")
        os.truncate(source, 1_000_000_000)
        self.assertIn("(409)", self.imgsvc("upload", source, "--id", image_id, code=1).stderr)

    def test_wrong_format_of_a_large_file(self) -> None:
        """The daemon need not get all of a file to refuse it."""
        source = self.file("large", b"")
        os.truncate(source, 1_000_000_000)
        done = self.imgsvc("upload", source, "--disk-format", "qcow2", code=1)
        self.assertIn("(415)", done.stderr)
