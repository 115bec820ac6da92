"""Tests of imgsvc.certificates.folder."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.certificates.folder import CertificateFolder
from imgsvc.errors import BadSignature, CertificatesUnavailable, ConfigurationError, NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller
from tests.support.server import fired
from tests.support.threads import ImmediateThreads

ID = "01234567-89ab-cdef-0123-456789abcdef"


class FolderTests(SynchronousTestCase):
    """Certificates as files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "certificates"
        self.folder.mkdir(parents=True)
        self.certificates = CertificateFolder(self.folder, ImmediateThreads())

    def get(self, name: str) -> bytes:
        found: bytes = fired(self.certificates.certificate(name, Caller()))
        return found

    def test_interface(self) -> None:
        """It provides ICertificates."""
        verifyObject(ICertificates, self.certificates)

    def test_files(self) -> None:
        """A certificate is a file with the id as its name, in PEM or DER, whatever the case of the id."""
        (self.folder / f"{ID}.der").write_bytes(b"der")
        self.assertEqual(self.get(ID), b"der")
        (self.folder / f"{ID}.pem").write_bytes(b"pem")
        self.assertEqual(self.get(ID), b"pem")
        self.assertEqual(self.get(ID.upper()), b"pem")

    def test_absent(self) -> None:
        """A certificate that does not exist is NoSuchCertificate."""
        self.assertRaises(NoSuchCertificate, self.get, ID)

    def test_no_way_out(self) -> None:
        """Only an id can name a file, whatever is outside or inside the folder."""
        (self.folder.parent / "secret.pem").write_bytes(b"secret")
        (self.folder / "name.pem").write_bytes(b"name")
        for name in (
            "../secret",
            "../secret.pem",
            str(self.folder.parent / "secret"),
            "name",
            "",
            f"{ID}/../name",
            "\0",
        ):
            self.assertRaises(NoSuchCertificate, self.get, name)

    def test_too_large(self) -> None:
        """A file that is too large for a certificate is not read into memory."""
        (self.folder / f"{ID}.pem").write_bytes(b"x" * ((64 << 10) + 1))
        self.assertRaises(BadSignature, self.get, ID)

    def test_unreadable(self) -> None:
        """A file that cannot be read is not the client's error."""
        (self.folder / f"{ID}.pem").mkdir()
        error = self.assertRaises(CertificatesUnavailable, self.get, ID)
        self.assertIn("Is a directory", str(error))
        self.assertNotIn(str(self.folder), str(error))

    def test_no_folder(self) -> None:
        """The folder must exist at the start."""
        error = self.assertRaises(ConfigurationError, CertificateFolder, self.folder / "x", ImmediateThreads())
        self.assertIn("signatures.certificates = ", str(error))
