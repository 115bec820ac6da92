"""The settings of the garbage collector in a process that serves."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.daemon.collector import THRESHOLDS

CODE = """
import gc
from imgsvc.daemon import collector
class Ring: pass
ring = Ring(); ring.itself = ring; del ring
collector.tune()
print(gc.get_threshold(), gc.get_freeze_count() > 1000, sum(isinstance(one, Ring) for one in gc.get_objects()))
rings = []
for _ in range(200_000):
    ring = Ring(); ring.itself = ring
gc.collect()
print(gc.isenabled(), sum(isinstance(one, Ring) for one in gc.get_objects()))
"""


class CollectorTests(SynchronousTestCase):
    """Runs a process of its own."""

    def test_tuned(self) -> None:
        """Objects of the start are not examined any more, and later cycles are still collected."""
        shown = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
        self.assertEqual(shown, f"{THRESHOLDS} True 0\nTrue 1\n")
