"""How the collector of cycles is set when a process serves."""

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
    """In a process of its own."""

    def test_tuned(self) -> None:
        """What the start has made and left is looked at no more, and later cycles are still found."""
        shown = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
        self.assertEqual(shown, f"{THRESHOLDS} True 0\nTrue 1\n")
