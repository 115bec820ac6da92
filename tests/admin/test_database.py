"""Tests of `imgsvc-admin database` on SQLite. tests/daemon/test_databases.py has other databases."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin
from imgsvc.catalogue import Schema
from tests.support.waiting import heed_interrupts

INTERRUPTED = """
import os, signal
from sqlalchemy import MetaData
def interrupted(self, connection, **options):
    os.kill(os.getpid(), signal.SIGINT)
MetaData.create_all = interrupted
from imgsvc.entry import admin
admin()
"""
"""Runs the command, which is interrupted while it creates the tables."""


class DatabaseCommandTests(SynchronousTestCase):
    """The tables and their version."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "imgsvc.sqlite"

    def run_command(self, *arguments: str, folder: Path | None = None) -> tuple[int, str]:
        """Status and output of the command."""
        result = CliRunner().invoke(imgsvc_admin, ["--data", str(folder or self.folder), "database", *arguments])
        return result.exit_code, result.output

    def test_life(self) -> None:
        """Tables are created once. Showing their version changes nothing, and creates no file."""
        self.assertEqual(self.run_command("version"), (1, f"empty, needed {Schema.head}\n"))
        self.assertFalse(self.file.exists())
        self.assertEqual(self.run_command("upgrade"), (0, f"empty -> {Schema.head}\n"))
        self.assertEqual(self.run_command("upgrade"), (0, f"{Schema.head} already\n"))
        self.assertEqual(self.run_command("version"), (0, f"{Schema.head}, needed {Schema.head}\n"))

    def test_interrupted(self) -> None:
        """Ctrl-C ends a running upgrade with 130 and without output, and nothing is created."""
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED, "--data", str(self.folder), "database", "upgrade"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=heed_interrupts,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", ""))
        self.assertTrue(self.file.exists())  # it had begun
        self.assertEqual(self.run_command("version"), (1, f"empty, needed {Schema.head}\n"))

    def test_later(self) -> None:
        """Tables of a later version are not changed."""
        self.run_command("upgrade")
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        self.assertEqual(self.run_command("version"), (1, f"9999, needed {Schema.head}\n"))
        status, output = self.run_command("upgrade")
        self.assertEqual((status, output.count("\n")), (1, 1))
        self.assertIn("of another version of imgsvc", output)
        self.assertEqual(self.run_command("version")[0], 1)

    def test_wrong(self) -> None:
        """A missing folder, and a file that is not a database, are reported in one line."""
        nowhere = self.folder / "nowhere"
        self.assertEqual(
            self.run_command("upgrade", folder=nowhere), (1, f"Error: database.url: there is no folder {nowhere}\n")
        )
        self.assertFalse(nowhere.exists())
        self.file.write_text("no database " * 100)
        for command in ("version", "upgrade"):
            status, output = self.run_command(command)
            self.assertEqual((status, output.count("\n")), (1, 1))
            self.assertIn("file is not a database", output)
