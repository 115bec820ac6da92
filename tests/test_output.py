"""What commands say when their standard output cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
CLIENT = "from imgsvc.entry import client; client()"
ADMIN = "from imgsvc.entry import admin; admin()"
TWISTD = "from twisted.scripts.twistd import run; run()"
COMMANDS = (
    (6, CLIENT, "--version"),
    (6, CLIENT, "list", "--help"),
    (1, ADMIN, "--help"),
    (1, ADMIN, "policy", "list"),
    (1, TWISTD, "imgsvc", "--version"),
    (1, TWISTD, "imgsvc", "--help"),
)
"""The exit status if the output cannot be written, Python code, arguments."""


class OutputTests(SynchronousTestCase):
    """Every command ends with its status, and without a traceback, whether Python buffers its output or not."""

    def run_command(self, descriptor: int, code: str, *arguments: str, unbuffered: str = "") -> tuple[int, str]:
        """Run a command with this standard output. Returns its exit status, and its standard error."""
        folder = Path(self.mktemp())
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
            stdout=descriptor,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def test_full(self) -> None:
        """A full disk is reported in one line."""
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, full)
        for unbuffered in ("", "1"):
            for status, *command in COMMANDS:
                ended = self.run_command(full, *command, unbuffered=unbuffered)
                self.assertEqual(ended, (status, "standard output: No space left on device\n"), command)

    def test_closed_pipe(self) -> None:
        """A pipe that nobody reads is not reported, because its reader has got what it wants."""
        for _, *command in COMMANDS:
            reader, writer = os.pipe()
            os.close(reader)
            try:
                status, said = self.run_command(writer, *command)
            finally:
                os.close(writer)
            self.assertEqual((status in (1, 6), said), (True, ""), command)
