"""The file names that clients save downloads under."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.model import Image
from imgsvc.web.disposition import LONGEST_NAME, content_disposition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = re.compile(
    r"attachment; filename=\"([ !#-$&-)+-.0-9;=@A-\[\]-~]+)\"(?:; filename\*=UTF-8''([A-Za-z0-9._~%-]+))?"
)
"""The form of the header: no quote, slash, backslash or percent sign within the quotes."""


def names(name: str | None, disk: str | None = "qcow2", container: str | None = "bare") -> tuple[str, str]:
    """The plain name, and the full one."""
    image = Image(id="ID", created_at=NOW, updated_at=NOW, name=name, disk_format=disk, container_format=container)
    match = HEADER.fullmatch(content_disposition(image).decode("ascii"))
    assert match is not None, content_disposition(image)
    return match[1], match[1] if match[2] is None else unquote(match[2], errors="strict")


class DispositionTests(SynchronousTestCase):
    """content_disposition"""

    def test_plain(self) -> None:
        """A usual name gets the suffix of its format, unless it has one."""
        for name, saved in (
            *(("cirros", "cirros.qcow2"), ("debian-12.5", "debian-12.5.qcow2"), ("a b", "a b.qcow2")),
            *(("disk.qcow2", "disk.qcow2"), ("disk.QCOW2", "disk.QCOW2"), ("disk.img", "disk.img")),
            *(("disk.raw.xz", "disk.raw.xz"), ("a.b.", "a.b.qcow2"), ("qcow2", "qcow2.qcow2")),
        ):
            self.assertEqual(names(name), (saved, saved))

    def test_formats(self) -> None:
        """The suffix is that of the container format, if that has one. Some formats have none."""
        for disk, container, saved in (
            *(("raw", "bare", "x.raw"), ("iso", "bare", "x.iso"), ("vmdk", "ova", "x.ova"), ("raw", "docker", "x.tar")),
            *(("ami", "ami", "x"), ("ploop", "bare", "x"), ("qcow2", "compressed", "x"), (None, None, "x")),
        ):
            self.assertEqual(names("x", disk, container)[0], saved)

    def test_harmless(self) -> None:
        """No name contains a folder, hides the file, ends the header or reverses the direction of the text."""
        for name, saved in (
            *(("../../etc/passwd", "_.._etc_passwd.qcow2"), ("..\\x", "_x.qcow2"), (".bashrc", "bashrc.qcow2")),
            *(
                ('a"; filename="b', "a_; filename=_b.qcow2"),
                ("a\r\nX: b", "aX_ b.qcow2"),
                ("a\x00b\x7fc\x9f", "abc.qcow2"),
            ),
            *(("gpj.\u202eexe", "gpj.exe.qcow2"), ("C:con|<>?*", "C_con_____.qcow2"), ("x. . ", "x.qcow2")),
        ):
            self.assertEqual(names(name), (saved, saved))

    def test_not_ascii(self) -> None:
        """The full name comes beside one in ASCII. A name without a letter in ASCII is replaced by the id."""
        for name, plain, full in (
            ("Gr\u00fc\u00dfe \u20ac", "Gru_e _.qcow2", "Gr\u00fc\u00dfe \u20ac.qcow2"),
            ("\u955c\u50cf", "ID.qcow2", "\u955c\u50cf.qcow2"),
            ("100%41", "100_41.qcow2", "100%41.qcow2"),
            ("a\uff0fb\uff02", "a_b_.qcow2", "a\uff0fb\uff02.qcow2"),
            ("\U0001f427.iso", "_.iso", "\U0001f427.iso"),
        ):
            self.assertEqual(names(name), (plain, full))

    def test_long(self) -> None:
        """The name fits into a file system, also with letters of several bytes. No letter is cut."""
        for name in ("x" * 255, "\u955c" * 255, "x" + "\U0001f427" * 254, "x" * 251 + ".iso"):
            plain, full = names(name)
            self.assertLessEqual(len(full.encode()), LONGEST_NAME + len(".qcow2"))
            self.assertTrue(full.endswith(".qcow2") and plain.endswith(".qcow2"))
            self.assertTrue(name.startswith(full.removesuffix(".qcow2")))

    @given(st.text(max_size=255))
    @settings(max_examples=500, deadline=None, derandomize=True)
    def test_any(self, name: str) -> None:
        """For any name there is one header, and the file is saved in the chosen folder."""
        for saved in names(name):
            self.assertNotIn(saved.strip(), ("", ".", ".."))
            self.assertNotRegex(saved, r'^\.|[/\\\x00-\x1f\x7f"]')
