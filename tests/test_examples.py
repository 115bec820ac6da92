"""The examples, as somebody tries them first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

EXAMPLES = Path(__file__).parent.parent / "examples"


class UsageTests(SynchronousTestCase):
    """Without arguments."""

    def test_usage(self) -> None:
        """Each says how it is called, and nothing else, and ends with status 2."""
        scripts = sorted(EXAMPLES.glob("*.py"))
        self.assertTrue(scripts)
        for script in scripts:
            ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""), script.name)
            self.assertIn(f"python examples/{script.name} ENDPOINT", ended.stderr)
            self.assertNotIn("Traceback", ended.stderr)
