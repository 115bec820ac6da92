"""Transfers that make no progress."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.pipeline.stall import StallTimer


class StallTimerTests(SynchronousTestCase):
    """When the timer calls, and that it leaves nothing behind."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.stalled: list[float] = []
        self.timer = StallTimer(self.clock, 10, lambda: self.stalled.append(self.clock.seconds()))

    def test_stalled(self) -> None:
        """It calls once, after the time-out."""
        self.clock.pump([9.9, 0.1, 50])
        self.assertEqual([10], [round(moment) for moment in self.stalled])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_moved(self) -> None:
        """It calls a whole time-out after the last progress."""
        for _ in range(7):
            self.clock.advance(6)
            self.timer.moved()
        self.clock.advance(9)
        self.assertEqual([], self.stalled)
        self.clock.advance(1)
        self.assertEqual([52], self.stalled)

    def test_one_timer(self) -> None:
        """Progress creates no timers."""
        for _ in range(100):
            self.timer.moved()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_stop(self) -> None:
        """After a stop it never calls, and no timer is left, also if it has called."""
        self.timer.stop()
        self.timer.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.clock.advance(100)
        self.assertEqual([], self.stalled)
        late = StallTimer(self.clock, 1, lambda: late.stop())
        self.clock.advance(1)
        late.moved()
        late.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
