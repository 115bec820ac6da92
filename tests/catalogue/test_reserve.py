"""The space that is reserved for deletions, on small file systems."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue.reserve import RESERVED, Reserve


class ReserveTests(SynchronousTestCase):
    """A file system with space for a few reserves."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imgsvc-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "imgsvc-test", str(self.folder)], check=True)
        self.addCleanup(self.folder.rmdir)
        self.addCleanup(subprocess.run, ["umount", str(self.folder)], check=True)
        self.file = self.folder / "catalogue-reserve"
        self.reserve = Reserve(self.folder / "catalogue")

    @property
    def free(self) -> int:
        figures = os.statvfs(self.folder)
        return figures.f_bavail * figures.f_frsize

    def fill_disk(self, left: int = 0) -> Path:
        """Fill the disk, except for so many bytes."""
        filler = self.folder / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free - left)
        return filler

    def test_filled(self) -> None:
        """The space is allocated on the disk, for the owner only, and once."""
        before = self.free
        self.reserve.fill()
        Reserve(self.folder / "catalogue").fill()
        self.assertEqual(before - self.free, RESERVED)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)

    def test_given_up(self) -> None:
        """On a full disk the reserve is given up. It is taken again when there is enough space."""
        self.reserve.fill()
        filler = self.fill_disk()
        self.reserve.give_up()
        self.assertEqual(self.free, RESERVED)
        self.reserve.fill()
        self.assertEqual(self.file.stat().st_size, 0)
        filler.unlink()
        self.reserve.fill()
        self.assertEqual(self.file.stat().st_size, RESERVED)

    def test_kept(self) -> None:
        """A disk that is not full keeps the reserve."""
        self.reserve.fill()
        self.fill_disk(left=RESERVED)
        self.reserve.give_up()
        self.assertEqual(self.file.stat().st_size, RESERVED)

    def test_little_room(self) -> None:
        """A start on a disk that is almost full takes no reserve, and does not fail."""
        filler = self.fill_disk(left=RESERVED + 4096)
        self.reserve.fill()
        self.assertEqual(self.file.stat().st_size, 0)
        filler.unlink()
        self.reserve.fill()
        self.assertEqual(self.file.stat().st_size, RESERVED)

    def test_cannot_be_made(self) -> None:
        """A folder in which no file can be created is no failure, and is not tried repeatedly."""
        reserve = Reserve(self.folder / "nowhere" / "catalogue")
        reserve.fill()
        (self.folder / "nowhere").mkdir()
        reserve.fill()
        reserve.give_up()
        self.assertEqual(list((self.folder / "nowhere").iterdir()), [])
