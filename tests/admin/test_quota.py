"""Tests of `imgsvc-admin quota`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin
from imgsvc.catalogue import Schema
from imgsvc.config import Database

ROOT = Path(__file__).parent.parent.parent


class QuotaCommandTests(SynchronousTestCase):
    """Limits of single projects. The reactor runs once in a process, so each command is a process."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.folder, self.config = str(folder), folder / "imgsvc.toml"
        self.config.write_text("[quotas]\nunified = true\n")

    def run_command(self, *arguments: str) -> tuple[int, str]:
        """Status and output of the command."""
        command = [sys.executable, "-c", "from imgsvc.admin.command import main; main()"]
        result = subprocess.run(
            [*command, "--config", str(self.config), "--data", self.folder, "quota", *arguments],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout

    def test_kept(self) -> None:
        """A limit is listed until it is unset."""
        Schema(Database(), Path(self.folder)).upgrade()
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
        self.config.write_text("")
        self.assertEqual(
            self.run_command("set", "blue", "image_count_total", "0"),
            (0, "Saved, but limits of projects have no effect: quotas.unified is false.\n"),
        )

    def test_no_database(self) -> None:
        """A folder without a database is an error, and gets none: the name may be mistyped."""
        status, output = self.run_command("set", "blue", "image_count_total", "1")
        self.assertEqual((status, output.count("\n")), (1, 1))
        self.assertIn(f"Error: there is no database {self.folder}/imgsvc.sqlite", output)
        self.assertEqual([path.name for path in Path(self.folder).iterdir()], ["imgsvc.toml"])

    def test_wrong(self) -> None:
        """An invalid value is refused before the database is opened."""
        for name, value, message in (
            ("image_count_total", "10 GiB", "image_count_total = '10 GiB': must be a number up to 9223372036854775807"),
            ("image_count_total", "9223372036854775808", "must be a number up to 9223372036854775807, or unlimited"),
            ("image_count_total", "9" * 5000, "must be a number up to"),
            ("image_count_total", "\u0663", "must be a number up to"),
            ("image_count_total", "-1", "No such option"),
            ("image_size_total", "many", "must be a size in bytes"),
            ("image_size_total", "9999999 TiB", "must be a size in bytes"),
            ("nothing", "1", "'nothing' is not one of"),
        ):
            result = CliRunner().invoke(imgsvc_admin, ["--data", "nowhere", "quota", "set", "blue", name, value])
            self.assertNotEqual(result.exit_code, 0)
            self.assertIn(message, result.output)
        for project in ("", "x" * 256, "a\tb"):
            result = CliRunner().invoke(imgsvc_admin, ["quota", "set", project, "image_count_total", "1"])
            self.assertEqual(
                (result.exit_code, result.output), (1, f"Error: {project!r} is not the id of a project.\n")
            )
