"""Tests of the whole API by its description (schemathesis)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.daemon.rig import DaemonTestCase

ROOT = Path(__file__).parent.parent.parent
SETTINGS = Path(__file__).with_name("schemathesis.toml")
CONFIGURATION = """
[identity]
mode = "proxy"
[identity.proxy]
peers = ["127.0.0.1"]
[images]
size_cap = "1 MiB"
show_direct_url = true
show_locations = true
[stores]
default = "fast"
[stores.fast]
kind = "memory"
capacity = "64 MiB"
[stores.cheap]
kind = "file"
path = "images"
"""
PATIENCE = 600.0
"""Seconds. A quiet machine needs a tenth of them."""


class SchemathesisTests(DaemonTestCase):
    """The real daemon."""

    def test_all_operations(self) -> None:
        """No request, valid or not, gets a response that the description does not have, or 500."""
        daemon = self.daemon(CONFIGURATION)
        tried = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", SETTINGS, "--no-color"),
                *("run", f"{daemon.endpoint}/v2/openapi.json"),
            ],
            cwd=self.folder,  # where it keeps the data to repeat a failed test
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(tried.returncode, 0, tried.stdout)
        self.assertIn("No issues found", tried.stdout)
        self.assert_no_traceback(daemon)
