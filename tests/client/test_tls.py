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
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate)
        self.api = MemoryImageApi(self.context)
        self.api.start()
        self.addCleanup(self.api.stop)

    def imgsvc(
        self, *arguments: str, code: int = 0, trusted: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        trust = {"SSL_CERT_FILE": str(self.certificate)} if trusted else {}
        done = subprocess.run(
            [sys.executable, "-m", "imgsvc.client", "--endpoint", self.api.endpoint, *arguments],
            cwd=self.folder,
            env={**environment(), **trust, **variables},
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

    def test_trusted_file(self) -> None:
        """The certificates of OS_CACERT are trusted, for uploads too, and no others then."""
        (self.folder / "source").write_bytes(b"some bytes")
        self.imgsvc("upload", "source", trusted=False, OS_CACERT="certificate.pem")
        write_certificate(self.folder / "other.pem")
        done = self.imgsvc("list", code=3, OS_CACERT="other.pem")
        self.assertIn("TLS: certificate verify failed.", done.stderr)

    def test_insecure(self) -> None:
        """With OS_INSECURE every certificate is taken. The server is told the name of the host, but no address."""
        names: list[str | None] = []
        self.context.sni_callback = lambda connection, name, context: names.append(name)
        (self.folder / "source").write_bytes(b"some bytes")
        self.imgsvc("upload", "source", trusted=False, OS_INSECURE="true", OS_CACERT="missing.pem")
        self.assertEqual(set(names), {None})
        endpoint = self.api.endpoint.replace("127.0.0.1", "localhost")
        self.imgsvc("--endpoint", endpoint, "list", trusted=False, OS_INSECURE="true")
        self.assertEqual(names[-1], "localhost")

    def test_own_certificate(self) -> None:
        """A server that wants a certificate gets that of OS_CERT, whose key is in the same file or in OS_KEY."""
        own = self.folder / "own.pem"
        write_certificate(own)
        certificate, mark, key = own.read_text().partition("-----BEGIN PRIVATE KEY-----")
        (self.folder / "alone.pem").write_text(certificate)
        (self.folder / "key.pem").write_text(mark + key)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(own)
        self.assertIn("TLS: ", self.imgsvc("list", code=3).stderr)
        (self.folder / "source").write_bytes(b"some bytes")
        self.imgsvc("upload", "source", OS_CERT="own.pem")
        self.imgsvc("list", OS_CERT="alone.pem", OS_KEY="key.pem")
        self.imgsvc("list", trusted=False, OS_CERT="alone.pem", OS_KEY="key.pem", OS_INSECURE="true")

    def test_unusable_files(self) -> None:
        """A file that cannot be used is told of before anything is sent."""
        (self.folder / "empty.pem").touch()
        (self.folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        write_certificate(self.folder / "own.pem")
        certificate = self.certificate.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
        (self.folder / "alone.pem").write_text(certificate)
        for variables, told in (
            ({"OS_CACERT": "missing.pem"}, "missing.pem: No such file or directory"),
            ({"OS_CACERT": "."}, ".: Is a directory"),
            ({"OS_CACERT": "empty.pem"}, "empty.pem: has no certificate in PEM form"),
            ({"OS_CACERT": "broken.pem"}, "broken.pem: has a certificate that cannot be read"),
            ({"OS_CERT": "alone.pem"}, "alone.pem: has no key that fits the certificate and needs no password"),
            ({"OS_CERT": "alone.pem", "OS_KEY": "own.pem"}, "own.pem: has no key that fits the certificate"),
        ):
            self.assertIn(told, self.imgsvc("list", code=6, **variables).stderr)
        self.assertEqual(self.api.seen, [])
