"""What the client reads from responses and files, without a server."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from imgsvc.client import BadResponse, ClientError, ImageView, LocalFileError, guess_disk_format
from imgsvc.client.answers import error_message, printable, retry_after
from imgsvc.client.inspection import guess_format_of_bytes
from tests.client.scenarios import qcow2

HTML = b"""<html>
 <head>
  <title>404 Not Found</title>
 </head>
 <body>
  <h1>404 Not Found</h1>
  No image found with ID &lt;x&gt;.<br /><br />


 </body>
</html>"""


class ErrorMessageTests(SynchronousTestCase):
    def test_shapes(self) -> None:
        """The message is found in every form of an error that servers and proxies send."""
        for content_type, body, message in (
            ("text/html; charset=UTF-8", HTML, "No image found with ID <x>."),
            (
                "application/json",
                b'{"message": "Gone.<br /><br />\\n\\n", "code": "410 Gone", "title": "Gone"}',
                "Gone.",
            ),
            ("application/json", b'{"error": {"message": "No.", "code": 401}}', "No."),
            ("application/json", b"no json", "no json"),
            ("application/json", b'["a"]', '["a"]'),
            ("text/plain; charset=UTF-8", b"409 Conflict\n\nIt is saving.\n\n", "It is saving."),
            ("text/plain", b"5 < 6 and 7 > 2", "5 < 6 and 7 > 2"),
            ("", b"", ""),
            ("", b"\xff", "�"),
        ):
            self.assertEqual(error_message(content_type, body), message)

    def test_long(self) -> None:
        """A very long page is cut."""
        self.assertLess(len(error_message("text/plain", b"word " * 100_000)), 600)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.sampled_from(["text/html", "application/json", ""]), st.binary(max_size=200))
    def test_any(self, content_type: str, body: bytes) -> None:
        """Any body can be shown, and none controls the terminal."""
        self.assertTrue(error_message(content_type, body).isprintable())

    def test_printable(self) -> None:
        """Line ends and escape characters become blanks."""
        self.assertEqual(printable(" a\n\tb\x1b[31mc\x07 é "), "a b [31mc é")


@define
class Answer:
    """A response with nothing but headers."""

    headers: Headers


class RetryAfterTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Seconds and dates of Retry-After are read. Anything else counts as absent."""
        for value, seconds in (
            ("0", 0),
            ("120", 120),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
            ("-5", None),
            ("soon", None),
        ):
            self.assertEqual(retry_after(Answer(Headers({"retry-after": [value]}))), seconds)
        self.assertIsNone(retry_after(Answer(Headers())))
        later = retry_after(Answer(Headers({"retry-after": [format_datetime(datetime.now(UTC) + timedelta(hours=1))]})))
        self.assertTrue(later and 3500 < later <= 3600, later)


class ImageViewTests(SynchronousTestCase):
    def test_nonsense(self) -> None:
        """A document that is not an image is an error of the client, not a Python exception."""
        for document in (None, [], {}, {"id": 3}, {"id": "x", "size": "3"}, {"id": "x", "size": -1}):
            self.assertIsInstance(self.assertRaises(BadResponse, ImageView.from_document, document), ClientError)


class InspectionTests(SynchronousTestCase):
    def path(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def test_contents(self) -> None:
        """Formats are recognised by their content. Everything else is raw."""
        iso = bytes(32768) + b"\x01CD001\x01" + bytes(2041) + b"\xffCD001\x01" + bytes(100_000)
        table = bytearray(2_000_000)
        table[446:462] = bytes((0, 0, 2, 0, 0xEE, 255, 255, 255)) + (1).to_bytes(4, "little") + bytes([255] * 4)
        table[510:512] = b"\x55\xaa"
        for content, wanted in (
            (b"", "raw"),
            (os.urandom(100), "raw"),
            (bytes(3_000_000), "raw"),
            (qcow2(1 << 30), "qcow2"),
            (iso, "iso"),
            (bytes(table), "raw"),
            (bytes(table[:512]) + iso[512:], "iso"),
            (b"LUKS\xba\xbe" + bytes(100_000), "raw"),
            (b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\n', "vmdk"),
            (b"\xff" + b'createType="monolithicFlat"', "raw"),
        ):
            self.assertEqual(guess_disk_format(self.path(content)), wanted)
            self.assertEqual(guess_format_of_bytes(content[:1_048_576], "standard input"), wanted)

    def test_real_images(self) -> None:
        """The files of qemu-img are recognised."""
        qemu = shutil.which("qemu-img")
        self.assertIsNotNone(qemu, "these tests need qemu-img (Debian: qemu-utils)")
        for made, wanted in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vpc", "vhd"), ("vhdx", "vhdx")):
            path = self.mktemp()
            subprocess.run([str(qemu), "create", "-q", "-f", made, path, "10M"], check=True)
            self.assertEqual(guess_disk_format(path), wanted)

    def test_unknown_to_the_api(self) -> None:
        """A format that the Image API does not have is refused, and so is a missing file."""
        path = self.mktemp()
        subprocess.run(["qemu-img", "create", "-q", "-f", "qed", path, "10M"], check=True)
        self.assertIn("qed", str(self.assertRaises(LocalFileError, guess_disk_format, path)))
        self.assertRaises(LocalFileError, guess_disk_format, "/nonexistent")

    def test_several(self) -> None:
        """Data that fits two formats is refused, because programs could take it for either."""
        content = qcow2(1 << 30)
        both = self.path(content[:32769] + b"CD001" + content[32774:])
        problem = self.assertRaises(LocalFileError, guess_disk_format, both)
        self.assertIn("several formats at once: iso, qcow2", str(problem))

    def test_no_file(self) -> None:
        """A pipe has no size and is refused at once, even if nobody writes to it."""
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for path in (pipe, "/dev/zero", os.path.dirname(pipe) or "."):
            self.assertIn("not a file", str(self.assertRaises(LocalFileError, guess_disk_format, path)))
