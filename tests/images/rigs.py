"""A daemon, and curl for uploads and downloads."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon

ALL_FORMATS = ("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks", "ami", "aki", "ari", "ploop")


@frozen
class Answer:
    """Status and body of a response."""

    status: int
    body: bytes


class Curl:
    """curl with one daemon."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self._daemon = daemon
        self._body = folder / "curl.out"

    def run(self, path: str, *arguments: str) -> Answer:
        """Run curl once. Raises AssertionError if curl itself fails, or is missing."""
        if shutil.which("curl") is None:
            raise AssertionError("curl is missing: install the Debian package curl (tests/run does)")
        self._body.unlink(missing_ok=True)
        command = ["curl", "-sS", "-o", str(self._body), "-w", "%{http_code}", *arguments, self._daemon.endpoint + path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return Answer(int(done.stdout), self._body.read_bytes() if self._body.exists() else b"")

    def upload(self, image_id: str, path: Path, chunked: bool = False) -> Answer:
        """PUT a file, with a length or in chunks."""
        headers = ["-H", "Content-Type: application/octet-stream"]
        if chunked:
            headers += ["-H", "Transfer-Encoding: chunked"]
        return self.run(f"/v2/images/{image_id}/file", *headers, "-T", str(path))

    def download(self, image_id: str, path: Path) -> int:
        """GET into a file. Returns the status."""
        answer = self.run(f"/v2/images/{image_id}/file")
        self._body.replace(path)
        return answer.status


class DaemonTestCase(SynchronousTestCase):
    """A test with a daemon. toml: its configuration."""

    toml = f"[images]\ndisk_formats = {json.dumps(ALL_FORMATS)}\n[stores.local]\nkind = 'file'\nfsync = false\n"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.daemon = Daemon(self.folder, self.toml)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.curl = Curl(self.daemon, self.folder)

    def image(self, disk_format: str, **fields: Any) -> str:
        """The id of a new image."""
        return self.daemon.image(disk_format=disk_format, **fields)

    def assert_stored(self, image_id: str, path: Path, virtual_size: int | None) -> None:
        """The image is active, and its fields are those of the file."""
        shown = self.daemon.show(image_id)
        self.assertEqual(
            ("active", path.stat().st_size, virtual_size), (shown["status"], shown["size"], shown["virtual_size"])
        )
        copy = self.folder / "copy"
        self.assertEqual(200, self.curl.download(image_id, copy))
        done = subprocess.run(["cmp", str(path), str(copy)], capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def assert_refused(self, image_id: str, path: Path, reason: str) -> None:
        """The data is refused, and the image is queued."""
        answer = self.curl.upload(image_id, path)
        self.assertEqual(415, answer.status, answer.body)
        self.assertIn(reason, answer.body.decode())
        shown = self.daemon.show(image_id)
        fields = ("status", "size", "virtual_size", "checksum", "os_hash_value")
        self.assertEqual(["queued", None, None, None, None], [shown[name] for name in fields])
