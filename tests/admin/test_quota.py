"""Tests of `imgsvc-admin quota`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin

ROOT = Path(__file__).parent.parent.parent


class QuotaCommandTests(SynchronousTestCase):
    """Limits of single projects. A command that opens the database ends its process."""

    def run_command(self, *arguments: str) -> tuple[int, str]:
        """Status and output."""
        command = [sys.executable, "-c", "from imgsvc.admin.command import main; main()"]
        result = subprocess.run(
            [*command, "--data", self.folder, "quota", *arguments],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout

    def test_kept(self) -> None:
        """What is set is listed until it is unset."""
        self.folder = str(Path(self.mktemp()).absolute())
        Path(self.folder).mkdir()
        self.assertEqual(self.run_command("set", "blue", "image_size_total", "10 GiB"), (0, ""))
        self.assertEqual(self.run_command("set", "red", "image_count_total", "unlimited"), (0, ""))
        self.assertEqual(
            self.run_command("list"),
            (0, "blue\timage_size_total\t10737418240\nred\timage_count_total\tunlimited\n"),
        )
        self.assertEqual(self.run_command("unset", "blue", "image_size_total"), (0, ""))
        self.assertEqual(self.run_command("list", "blue"), (0, ""))
        self.assertEqual(
            self.run_command("unset", "blue", "image_size_total"),
            (1, "Error: Project blue has no image_size_total of its own.\n"),
        )

    def test_wrong(self) -> None:
        """A value that is none is refused before the database is opened."""
        for name, value, message in (
            ("image_count_total", "10 GiB", "image_count_total = '10 GiB': must be a number, or unlimited"),
            ("image_count_total", "-1", "No such option"),
            ("image_size_total", "many", "must be a size in bytes"),
            ("image_size_total", "9999999 TiB", "must be a size in bytes"),
            ("nothing", "1", "'nothing' is not one of"),
        ):
            result = CliRunner().invoke(imgsvc_admin, ["--data", "nowhere", "quota", "set", "blue", name, value])
            self.assertNotEqual(result.exit_code, 0)
            self.assertIn(message, result.output)
