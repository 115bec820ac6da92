"""Folders that a start makes, and takes away again."""

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
        """All that are missing are made for their owner alone; what is there stays as it is."""
        self.folders.make(self.top / "a" / "b")
        self.folders.make(self.top / "a" / "b")
        self.folders.make(self.top)
        self.assertEqual(self.modes("", "a", "a/b"), [0o755, 0o700, 0o700])

    def test_mode(self) -> None:
        """Permissions that are given hold whatever the umask is; without any, the umask does."""
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
        """What was made goes with the files in it; what was there, or has folders of others in it, stays."""
        (self.top / "there").mkdir()
        self.folders.make(self.top / "there")
        self.folders.make(self.top / "a" / "b")
        (self.top / "a" / "b" / "file").write_text("")
        (self.top / "there" / "file").write_text("")
        self.folders.undo()
        self.assertEqual(sorted(os.listdir(self.top)), ["there"])
        self.assertEqual(os.listdir(self.top / "there"), ["file"])

    def test_undo_of_what_others_use(self) -> None:
        """What another process has begun to use stays."""
        self.folders.make(self.top / "a")
        (self.top / "a" / "file").write_text("")
        other = Folders()
        self.addCleanup(other.close)
        other.make(self.top / "a")
        self.folders.undo()
        self.assertEqual(os.listdir(self.top / "a"), ["file"])

    def test_folder_of_another_within(self) -> None:
        """A folder in it that another has made stays, and so does it."""
        self.folders.make(self.top / "a")
        (self.top / "a" / "other").mkdir()
        (self.top / "a" / "other" / "file").write_text("")
        self.folders.undo()
        self.assertEqual(os.listdir(self.top / "a" / "other"), ["file"])

    def test_let_go(self) -> None:
        """No descriptor is kept by one that nobody holds any more."""
        before = set(os.listdir("/proc/self/fd"))
        Folders().make(self.top / "a")
        self.assertEqual(set(os.listdir("/proc/self/fd")), before)
