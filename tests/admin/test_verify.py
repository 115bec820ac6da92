"""Tests of `imgsvc-admin store verify`, without a daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue import Schema
from imgsvc.config import Database

ROOT = Path(__file__).parent.parent.parent
STORES = '[stores]\ndefault = "local"\n[stores.local]\nkind = "file"\n[stores.web]\nkind = "http"\n'


class VerifyCommandTests(SynchronousTestCase):
    """The output and the status of the command."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.images = self.folder / "images"
        self.images.mkdir(parents=True)
        (self.folder / "imgsvc.toml").write_text(STORES)
        Schema(Database(), self.folder).upgrade()

    def begin(self, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """The running command."""
        return subprocess.Popen(
            [
                *(sys.executable, "-c", "from imgsvc.admin.command import main; main()"),
                *("--config", str(self.folder / "imgsvc.toml"), "--data", str(self.folder)),
                *("store", "verify", *arguments),
            ],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def verify(self, *arguments: str) -> tuple[int, list[str], str]:
        """Its status, the lines of its output, and its standard error."""
        running = self.begin(*arguments)
        output, errors = running.communicate(timeout=60)
        return running.returncode, output.splitlines(), errors

    def test_well(self) -> None:
        """Each store that can be read has one line. Without a terminal there is no other output."""
        (self.folder / "imgsvc.toml").write_text(STORES + '[stores.play]\nkind = "memory"\n')
        lines = [
            "store local: ok: 0 records and 0 objects looked at, 0 findings, 0 repaired",
            "store web: ok: 0 records looked at, 0 findings, 0 repaired; a store of this kind cannot list its objects",
        ]
        self.assertEqual(self.verify(), (0, lines, ""))
        self.assertEqual(self.verify("web"), (0, lines[1:], ""))

    def test_found_and_repaired(self) -> None:
        """Each finding has a line, for people or programs. Repaired objects are in the named folder."""
        self.verify()
        (self.images / "stray").write_bytes(b"bytes")
        status, (line, summary), _ = self.verify("local")
        self.assertEqual(status, 1)
        self.assertRegex(line, r"^store local: NOT OK: left-over: stray: 5 bytes of \d{4}-\d\d-\d\d, no record$")
        self.assertEqual(summary, "store local: NOT OK: 0 records and 1 objects looked at, 1 findings, 0 repaired")
        self.assertEqual(self.verify("local", "--repair")[0], 1)
        self.assertTrue((self.images / "stray").exists())
        status, lines, _ = self.verify("local", "--repair", "--older-than", "0", "--json")
        finding, counts = (json.loads(line) for line in lines)
        self.assertEqual(status, 1)
        self.assertIn(f"moved to {self.images}/.imgsvc-left-over/stray", finding.pop("text"))
        expected: dict[str, Any] = {"store": "local", "problem": "left-over", "name": "stray", "repaired": True}
        self.assertEqual(finding, expected)
        numbers = {"records": 0, "objects": 1, "read": 0, "findings": 1, "repaired": 1, "interrupted": False}
        self.assertEqual(counts, {"store": "local", "summary": numbers})
        self.assertEqual((self.images / ".imgsvc-left-over/stray").read_bytes(), b"bytes")
        self.assertEqual(self.verify("local")[0], 0)

    def test_away(self) -> None:
        """A store that is away is skipped, the others are not."""
        self.verify()
        (self.images / ".imgsvc-lock").write_text('{"catalogue": "x", "store": "y"}\n')
        status, (line, other), _ = self.verify()
        self.assertEqual(status, 2)
        self.assertTrue(line.startswith("store local: NOT OK: could not be looked at: Store local: it is away"), line)
        self.assertIn(f"{self.images} has the mark of store y of catalogue x.", line)
        self.assertTrue(other.startswith("store web: ok: "), other)
        status, (line,), _ = self.verify("local", "--json")
        self.assertEqual((status, set(json.loads(line))), (2, {"store", "error"}))

    def test_refused(self) -> None:
        """A store that cannot be read for another reason has one line too, and the status is the same."""
        for arguments, message in (
            (["nothing"], "Error: There is no store 'nothing': the stores are local, web.\n"),
            (["--older-than", "soon"], "Error: --older-than 'soon': must be a time in seconds, as 60 or \"1 h\"\n"),
        ):
            self.assertEqual(self.verify(*arguments), (2, [], message))
        (self.folder / "imgsvc.toml").write_text(STORES + '[stores.play]\nkind = "memory"\n')
        self.assertIn("is in the memory of the daemon", self.verify("play")[2])
        (self.folder / "imgsvc.toml").write_text('[stores.play]\nkind = "memory"\n')
        nowhere = "No store was looked at: each is in the memory of the daemon: no other process can look at it.\n"
        self.assertEqual(self.verify(), (0, [], nowhere))
        (self.folder / "imgsvc.sqlite").unlink()
        status, lines, errors = self.verify()
        self.assertEqual((status, lines, errors.count("\n")), (2, [], 1))
        self.assertIn("there is no database", errors)

    def test_interrupted(self) -> None:
        """On a terminal it shows its progress. Ctrl-C ends it with a summary of what it has read."""
        self.verify()
        (self.images / "stray").write_bytes(b"bytes")
        terminal, other_end = os.openpty()
        self.addCleanup(os.close, terminal)
        running = self.begin("local", stderr=other_end)
        os.close(other_end)
        shown = b""
        while b"store local: 0 records, 1 objects" not in shown:
            shown += os.read(terminal, 1000)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 130)
        self.assertEqual(
            output, "store local: ok: 0 records and 1 objects looked at, 0 findings, 0 repaired; interrupted\n"
        )
