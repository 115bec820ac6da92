"""Programs that send HEAD before they download, and save under the name that the server gives."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.clients.rigs import ISO, ClientTestCase
from tests.images.rigs import Curl
from tests.support.real_images import qemu_img


class DownloadToolTests(ClientTestCase):
    """curl, wget and qemu-img at the URL of an image's data."""

    def url(self, path: Path, name: str, disk_format: str) -> str:
        """The URL of the file as the data of an image with this name."""
        image = self.daemon.image(name=name, disk_format=disk_format)
        self.assertEqual(204, Curl(self.daemon, self.folder).upload(image, path).status)
        return f"{self.daemon.endpoint}/v2/images/{image}/file"

    def run_tool(self, package: str, program: str, *arguments: str) -> str:
        """The output of a program that must succeed. It runs in the folder."""
        if shutil.which(program) is None:
            raise AssertionError(f"{program} is missing: install the Debian package {package} (tests/run does)")
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=self.folder
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def test_curl(self) -> None:
        """curl -I shows the size, and that ranges work. curl -OJ saves under the image's name."""
        url = self.url(ISO.path, "boot", "iso")
        lines = self.run_tool("curl", "curl", "-sSI", url).lower().splitlines()
        self.assertIn("http/1.1 200 ok", lines)
        self.assertIn(f"content-length: {len(ISO.bytes())}", lines)
        self.assertIn("accept-ranges: bytes", lines)
        record = self.run_tool("curl", "curl", "-sSI", url.removesuffix("/file")).lower()
        self.assertIn("content-type: application/json", record)
        self.run_tool("curl", "curl", "-sSOJ", url)
        self.assert_iso(self.folder / "boot.iso")

    def test_wget(self) -> None:
        """wget --spider sends HEAD. wget --content-disposition saves under the image's name."""
        url = self.url(ISO.path, "ipxe 1.21", "iso")
        self.run_tool("wget", "wget", "-q", "--spider", url)
        self.run_tool("wget", "wget", "-q", "--content-disposition", url)
        self.assert_iso(self.folder / "ipxe 1.21.iso")

    def test_qemu(self) -> None:
        """qemu-img inspects and copies an image at its URL."""
        path = self.folder / "disk.qcow2"
        qemu_img("convert", "-f", "raw", "-O", "qcow2", str(ISO.path), str(path))
        url = self.url(path, "disk", "qcow2")
        try:
            found = json.loads(self.run_tool("qemu-utils", "qemu-img", "info", "--output=json", url))
        except AssertionError as error:
            if "Unknown protocol" in str(error):
                raise AssertionError("install the Debian package qemu-block-extra (tests/run does)") from error
            raise
        self.assertEqual(("qcow2", ISO.path.stat().st_size), (found["format"], found["virtual-size"]))
        self.run_tool("qemu-utils", "qemu-img", "convert", "-O", "raw", url, "copy")
        self.assert_iso(self.folder / "copy")
