"""Clients that send too slowly."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.rates import WINDOW, RateWatch


class RateWatchTests(SynchronousTestCase):
    """The minimum is ten bytes a second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.slow = 0
        self.watch = RateWatch(self.clock, 10, self.told)

    def told(self) -> None:
        self.slow += 1

    def test_fast(self) -> None:
        """A client that sends enough in every minute is not reported, whenever it sends."""
        self.watch.go()
        for _ in range(5):
            self.clock.advance(WINDOW - 1)
            self.watch.count(int(10 * WINDOW))
            self.clock.advance(1)
        self.assertEqual(self.slow, 0)

    def test_slow(self) -> None:
        """A client that sends too little is reported once, at the end of the minute."""
        self.watch.go()
        self.watch.count(int(10 * WINDOW))
        self.clock.advance(WINDOW)
        self.watch.count(int(10 * WINDOW) - 1)
        self.clock.advance(WINDOW - 1)
        self.assertEqual(self.slow, 0)
        self.clock.advance(1)
        self.assertEqual(self.slow, 1)
        self.clock.advance(10 * WINDOW)
        self.assertEqual(self.slow, 1)

    def test_paused(self) -> None:
        """Time in which the server does not read does not count."""
        for _ in range(59):
            self.watch.go()
            self.watch.go()
            self.clock.advance(1)
            self.watch.pause()
            self.watch.pause()
            self.clock.advance(10 * WINDOW)
        self.assertEqual(([], 0), (self.clock.getDelayedCalls(), self.slow))
        self.watch.go()
        self.clock.advance(1)
        self.assertEqual(self.slow, 1)
