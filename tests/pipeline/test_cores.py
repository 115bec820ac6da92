"""How many cores other work leaves idle."""

from __future__ import annotations

import math
import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.pipeline.cores import EVERY, Cores

TICKS = os.sysconf("SC_CLK_TCK")


class CoresTests(SynchronousTestCase):
    """Cores, with a file that the test writes."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.clock = Clock()
        self.cores = Cores(self.clock, self.file)
        self.idle = 0.0

    def pass_time(self, seconds: float, idle: float, waiting: float = 0.0) -> None:
        """So many cores are idle for some seconds, and others wait for a disk."""
        self.clock.advance(seconds)
        self.idle += idle * seconds
        fields = (5000, 6, 700, round(self.idle * TICKS), round(waiting * seconds * TICKS), 9, 10, 11, 12, 13)
        line = " ".join(map(str, fields))
        self.file.write_text(f"cpu  {line}\ncpu0 {line}\n")

    def test_idle(self) -> None:
        """Idle cores are counted, also those that wait for a disk."""
        self.pass_time(1, idle=8)
        self.assertEqual(self.cores.left(0.0), math.inf)
        self.pass_time(1, idle=3)
        self.assertAlmostEqual(self.cores.left(0.0), 3)
        self.pass_time(2, idle=1.5, waiting=0.25)
        self.assertAlmostEqual(self.cores.left(0.0), 1.75)

    def test_own_work(self) -> None:
        """What the caller has used counts as left to it."""
        self.pass_time(1, idle=0)
        self.cores.left(10.0)
        self.pass_time(1, idle=0.5)
        self.assertAlmostEqual(self.cores.left(11.5), 2)

    def test_not_too_often(self) -> None:
        """Between two readings the last result is given."""
        self.pass_time(1, idle=0)
        self.cores.left(0.0)
        self.pass_time(1, idle=2)
        self.cores.left(0.0)
        self.pass_time(EVERY / 2, idle=0)
        self.assertAlmostEqual(self.cores.left(0.0), 2)
        self.pass_time(EVERY / 2, idle=0)
        self.assertAlmostEqual(self.cores.left(0.0), 0)

    def test_no_file(self) -> None:
        """Without the file, or with another content, there is no limit."""
        for text in (None, "", "cpu  1 2 3\n", "cpu  a b c d e\n"):
            if text is not None:
                self.file.write_text(text)
            for _ in range(3):
                self.clock.advance(1)
                self.assertEqual(self.cores.left(0.0), math.inf)

    def test_there_again(self) -> None:
        """A file that could not be read for a while limits again."""
        self.clock.advance(1)
        self.cores.left(0.0)
        for expected in (math.inf, 2.0):
            self.pass_time(1, idle=2)
            self.assertEqual(self.cores.left(0.0), expected)

    def test_this_machine(self) -> None:
        """The real file can be read: nothing of the format is made up."""
        cores = Cores(self.clock)
        self.clock.advance(1)
        cores.left(0.0)
        self.clock.advance(1)
        self.assertLess(cores.left(0.0), math.inf)
