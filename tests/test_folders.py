"""Folders that a start creates, and removes again if it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.folders import Folders


class FoldersTests(SynchronousTestCase):
    """imgsvc.folders.Folders"""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.top.chmod(0o755)
        self.addCleanup(os.umask, os.umask(0o022))
        self.folders = Folders()
        self.addCleanup(self.folders.close)

    def modes(self, *names: str) -> list[int]:
        return [stat.S_IMODE((self.top / name).stat().st_mode) for name in names]

    def test_made(self) -> None:
        """Missing folders are created for their owner only. Existing ones are not changed."""
        self.folders.make(self.top / "a" / "b")
        self.folders.make(self.top / "a" / "b")
        self.folders.make(self.top)
        self.assertEqual(self.modes("", "a", "a/b"), [0o755, 0o700, 0o700])

    def test_mode(self) -> None:
        """Given permissions hold for any umask. Without any, the umask decides."""
        os.umask(0o077)
        self.folders.make(self.top / "shared", 0o750)
        os.umask(0o027)
        self.folders.make(self.top / "ordinary", 0)
        self.assertEqual(self.modes("shared", "ordinary"), [0o750, 0o750])

    def test_no_folder(self) -> None:
        """A file in the place of a folder, or of one above it, is an error."""
        (self.top / "file").write_text("")
        for path in ("file", "file/below"):
            self.assertRaises(NotADirectoryError, self.folders.make, self.top / path)

    def test_undo(self) -> None:
        """Created folders are removed with their files. Existing ones, and those with folders of others, stay."""
        (self.top / "there").mkdir()
        self.folders.make(self.top / "there")
        self.folders.make(self.top / "a" / "b")
        (self.top / "a" / "b" / "file").write_text("")
        (self.top / "there" / "file").write_text("")
        self.folders.undo()
        self.assertEqual(sorted(os.listdir(self.top)), ["there"])
        self.assertEqual(os.listdir(self.top / "there"), ["file"])

    def test_undo_of_what_others_use(self) -> None:
        """A folder that another process uses stays."""
        self.folders.make(self.top / "a")
        (self.top / "a" / "file").write_text("")
        other = Folders()
        self.addCleanup(other.close)
        other.make(self.top / "a")
        self.folders.undo()
        self.assertEqual(os.listdir(self.top / "a"), ["file"])

    def test_folder_of_another_within(self) -> None:
        """A folder that another process has created within stays, and so does its parent."""
        self.folders.make(self.top / "a")
        (self.top / "a" / "other").mkdir()
        (self.top / "a" / "other" / "file").write_text("")
        self.folders.undo()
        self.assertEqual(os.listdir(self.top / "a" / "other"), ["file"])

    def test_let_go(self) -> None:
        """No descriptor stays open after its object is gone."""
        before = set(os.listdir("/proc/self/fd"))
        Folders().make(self.top / "a")
        self.assertEqual(set(os.listdir("/proc/self/fd")), before)
