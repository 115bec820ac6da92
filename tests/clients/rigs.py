"""Runs the command lines of other projects with a daemon."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon
from tests.support.real_images import ISOS

ISO = ISOS[0]
MANY = Path(__file__).with_name("many.py")


@frozen
class Run:
    """The result of a command."""

    status: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.output)


class ClientTestCase(SynchronousTestCase):
    """A test with a daemon. toml: its configuration."""

    toml = "[stores.local]\nkind = 'file'\nfsync = false\n"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.daemon = Daemon(self.folder, self.toml)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def try_command(self, program: str, *arguments: str, **environment: str) -> Run:
        """Run a program of this Python's environment on a terminal, because any other standard input is taken
        for image data.
        """
        path = Path(sys.executable).parent / program
        if not path.exists():
            raise AssertionError(f"{path} is missing: install imgsvc[test] (tests/run does)")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        ours, theirs = pty.openpty()
        try:
            done = subprocess.run(
                [str(path), *arguments],
                stdin=theirs,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                cwd=self.folder,
                env={**inherited, "HOME": str(self.folder), "PYTHONWARNINGS": "ignore", **environment},
            )
        finally:
            os.close(ours)
            os.close(theirs)
        return Run(done.returncode, done.stdout, done.stderr)

    def command(self, program: str, *arguments: str, **environment: str) -> Run:
        """Like `try_command`, for a command that must succeed."""
        run = self.try_command(program, *arguments, **environment)
        self.assertEqual(0, run.status, f"{program} {' '.join(arguments)}: {run.output} {run.error}")
        return run

    def many(self, program: str, options: list[str], calls: list[list[str]]) -> list[Run]:
        """The results of many calls of a command line. All are made in one process, because a start takes over
        a second.
        """
        done = subprocess.run(
            [sys.executable, MANY, program],
            input=json.dumps([[*options, *call] for call in calls]),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd=self.folder,
            env={"HOME": str(self.folder), "PYTHONWARNINGS": "ignore", "PYTHONPATH": ":".join(sys.path)},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return [Run(*each) for each in json.loads(done.stdout)]

    def succeed(self, program: str, options: list[str], calls: list[list[str]]) -> list[Run]:
        """Like `many`, for calls that must succeed."""
        runs = self.many(program, options, calls)
        for call, run in zip(calls, runs, strict=True):
            self.assertEqual(run.status, 0, f"{call}: {run.output} {run.error}")
        return runs

    def images(self) -> list[dict[str, Any]]:
        """The images that the daemon lists."""
        _, _, body = self.daemon.request("GET", "/v2/images")
        listed: list[dict[str, Any]] = json.loads(body)["images"]
        return listed

    def assert_iso(self, path: Path) -> None:
        """A saved file is equal to the medium."""
        self.assertEqual(ISO.bytes(), path.read_bytes())
