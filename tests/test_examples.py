"""The examples, without a server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

EXAMPLES = Path(__file__).parent.parent / "examples"


class UsageTests(SynchronousTestCase):
    """Without arguments."""

    def test_usage(self) -> None:
        """Each prints its usage, and nothing else, and ends with status 2."""
        scripts = sorted(EXAMPLES.glob("*.py"))
        self.assertTrue(scripts)
        for script in scripts:
            ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""), script.name)
            self.assertIn(f"python examples/{script.name} ENDPOINT", ended.stderr)
            self.assertNotIn("Traceback", ended.stderr)


class FailureTests(SynchronousTestCase):
    """Arguments that cannot work."""

    def assert_told(self, script: str, *arguments: str) -> str:
        """The example ends with status 1. Returns the only line that it prints."""
        command = [sys.executable, str(EXAMPLES / script), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended.stderr)
        [line] = ended.stderr.splitlines()
        return line

    def test_no_server(self) -> None:
        """Each says that nothing listens there."""
        with socket.socket() as bound:  # and does not listen
            bound.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
            for script, arguments in (
                ("download_range.py", ("x", "0", "9")),
                ("list_images.py", ()),
                ("upload_image.py", (__file__,)),
            ):
                self.assertIn("Cannot reach", self.assert_told(script, endpoint, *arguments))

    def test_no_file(self) -> None:
        """A missing file is named."""
        self.assertIn("missing: ", self.assert_told("upload_image.py", "http://127.0.0.1:9", "missing"))
