"""curl, used as in the README."""

from __future__ import annotations

import json
import subprocess

from tests.clients.rigs import ISO, ClientTestCase
from tests.images.rigs import Curl


class CurlTests(ClientTestCase):
    """Create, upload, download, ranges and resumed downloads."""

    def setUp(self) -> None:
        super().setUp()
        self.curl = Curl(self.daemon, self.folder)

    def create(self) -> str:
        """The id of an image that curl has created."""
        document = json.dumps({"name": "ipxe", "disk_format": "iso", "container_format": "bare"})
        answer = self.curl.run("/v2/images", "-H", "Content-Type: application/json", "-d", document)
        self.assertEqual(201, answer.status, answer.body)
        return str(json.loads(answer.body)["id"])

    def filled(self) -> str:
        """The id of an image with data."""
        image = self.create()
        self.assertEqual(204, self.curl.upload(image, ISO.path).status)
        return image

    def test_life(self) -> None:
        """An image is created, uploaded, downloaded and deleted."""
        image = self.filled()
        saved = self.folder / "saved"
        self.assertEqual(200, self.curl.download(image, saved))
        self.assert_iso(saved)
        self.assertEqual(204, self.curl.run(f"/v2/images/{image}", "-X", "DELETE").status)
        self.assertEqual(404, self.curl.run(f"/v2/images/{image}").status)

    def test_expect(self) -> None:
        """curl waits for 100 Continue before it sends a large body. A refusal comes instead of it."""
        image = self.create()
        for expected in (("HTTP/1.1 100", "HTTP/1.1 204"), ("HTTP/1.1 409",)):
            path = f"{self.daemon.endpoint}/v2/images/{image}/file"
            command = ["curl", "-sS", "-v", "-H", "Content-Type: application/octet-stream"]
            command += ["-H", "Expect: 100-continue", "--expect100-timeout", "30", "-T", ISO.file, path]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=25)
            lines = [line[2:14] for line in done.stderr.splitlines() if line.startswith("< HTTP/1.1")]
            self.assertEqual(list(expected), lines, done.stderr)

    def test_ranges(self) -> None:
        """Ranges from the start, from the middle, to the end, and of the last bytes."""
        image, data = self.filled(), ISO.bytes()
        for span, content in (
            ("0-0", data[:1]),
            ("100-199", data[100:200]),
            ("1000000-", data[1_000_000:]),
            ("-70000", data[-70_000:]),
            (f"5-{len(data) * 2}", data[5:]),
        ):
            answer = self.curl.run(f"/v2/images/{image}/file", "-r", span)
            self.assertEqual((206, content), (answer.status, answer.body), span)
        self.assertEqual(416, self.curl.run(f"/v2/images/{image}/file", "-r", f"{len(data)}-").status)

    def test_resume(self) -> None:
        """A download that was cut continues where it ended."""
        image, data = self.filled(), ISO.bytes()
        partial = self.folder / "partial"
        for have in (1, 777_777, len(data) - 1):
            partial.write_bytes(data[:have])
            command = ["curl", "-sS", "-C", "-", "-o", str(partial), f"{self.daemon.endpoint}/v2/images/{image}/file"]
            subprocess.run(command, check=True, timeout=60)
            self.assert_iso(partial)

    def test_pipe(self) -> None:
        """Data of unknown length comes from a pipe."""
        image = self.create()
        command = ["curl", "-sS", "-f", "-H", "Content-Type: application/octet-stream", "-T", "-"]
        subprocess.run(
            [*command, f"{self.daemon.endpoint}/v2/images/{image}/file"], input=ISO.bytes(), check=True, timeout=60
        )
        self.assertEqual(ISO.bytes(), self.daemon.get(image))
