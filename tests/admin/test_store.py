"""Tests of `imgsvc-admin store`. tests/daemon/test_mounts.py runs it beside a daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue import Schema
from imgsvc.config import Database

ROOT = Path(__file__).parent.parent.parent
STORES = '[stores]\ndefault = "local"\n[stores.local]\nkind = "file"\npath = "images"\n[stores.web]\nkind = "http"\n'


class AdoptTests(SynchronousTestCase):
    """`store adopt`. The reactor runs once in a process, so each command is a process."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.config = self.folder / "imgsvc.toml"
        self.config.write_text(STORES)

    def adopt(self, *arguments: str) -> tuple[int, str]:
        """Status and output of the command."""
        command = [sys.executable, "-c", "from imgsvc.admin.command import main; main()"]
        result = subprocess.run(
            [*command, "--config", str(self.config), "--data", str(self.folder), "store", "adopt", *arguments],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout

    def test_refused(self) -> None:
        """A store that cannot be adopted is reported in one line, and nothing is created."""
        status, said = self.adopt("local")
        self.assertEqual(status, 1)
        self.assertIn("there is no database", said)
        Schema(Database(), self.folder).upgrade()
        self.assertEqual(self.adopt("nowhere"), (1, "Error: There is no store 'nowhere': the stores are local, web.\n"))
        refusal = "Error: Store web is of kind http: it keeps no mark, and is never away.\n"
        self.assertEqual(self.adopt("web"), (1, refusal))
        self.assertFalse((self.folder / "images").exists())

    def test_another_s(self) -> None:
        """The folder of another catalogue is adopted only with --force."""
        Schema(Database(), self.folder).upgrade()
        (self.folder / "images").mkdir()
        mark = self.folder / "images" / ".imgsvc-lock"
        mark.write_text('{"catalogue": "other", "store": "local"}\n')
        status, said = self.adopt("local")
        self.assertEqual(status, 1, said)
        self.assertIn("has the mark of store local of catalogue other", said)
        self.assertIn('"other"', mark.read_text())
        status, said = self.adopt("local", "--force")
        self.assertEqual((status, said.split("\n")[-2]), (0, "It is store local's own now."))
        self.assertNotIn('"other"', mark.read_text())
