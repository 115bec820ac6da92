"""The command over TLS."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.memory_api import MemoryImageApi
from tests.client.scenarios import LIMIT, environment
from tests.support.certificates import write_certificate


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.certificate = self.folder / "certificate.pem"
        write_certificate(self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.api = MemoryImageApi(context)
        self.api.start()
        self.addCleanup(self.api.stop)

    def imgsvc(self, *arguments: str, code: int = 0, trusted: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "imgsvc.client", "--endpoint", self.api.endpoint, *arguments],
            cwd=self.folder,
            env={**environment(), **({"SSL_CERT_FILE": str(self.certificate)} if trusted else {})},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_round_trip(self) -> None:
        """Data is uploaded and downloaded over TLS."""
        content = os.urandom(3_000_000)
        (self.folder / "source").write_bytes(content)
        image_id = self.imgsvc("upload", "source").stdout.strip()
        self.imgsvc("download", image_id, "-o", "copy")
        self.assertEqual((self.folder / "copy").read_bytes() == content, True)

    def test_early_refusal(self) -> None:
        """A refusal during an upload is read over TLS too."""
        self.api.faults.refuse_data = (413, "Full.")
        (self.folder / "source").touch()
        os.truncate(self.folder / "source", 300_000_000)
        self.assertIn("The server refused (413): Full.", self.imgsvc("upload", "source", code=1).stderr)

    def test_untrusted(self) -> None:
        """A server with an untrusted certificate counts as unreachable."""
        done = self.imgsvc("list", code=3, trusted=False)
        self.assertIn(f"{self.api.endpoint}: TLS: certificate verify failed.\n", done.stderr)
        self.assertEqual(self.api.seen, [])
