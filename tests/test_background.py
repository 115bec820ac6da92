"""The work beside the requests."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.daemon.background import Background
from imgsvc.daemon.bounded import UNDO_TIME


class BackgroundTests(SynchronousTestCase):
    """imgsvc.daemon.background.Background"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.background = Background(self.clock)
        self.done: list[str] = []

    def add(self, name: str, stopped: Deferred[None]) -> None:
        def stop() -> Deferred[None]:
            self.done.append(f"stop {name}")
            return stopped

        self.background.add(lambda: self.done.append(f"start {name}"), stop)

    def test_order(self) -> None:
        """The part that was started last is stopped first, and those before it wait for its end."""
        last: Deferred[None] = Deferred()
        self.add("first", succeed(None))
        self.add("last", last)
        self.background.startService()
        self.assertEqual(self.done, ["start first", "start last"])
        self.done.clear()
        stopped = self.background.stopService()
        self.assertEqual(self.done, ["stop last"])
        self.assertNoResult(stopped)
        last.callback(None)
        self.assertEqual(self.done, ["stop last", "stop first"])
        self.successResultOf(stopped)

    def test_bound(self) -> None:
        """A part that does not stop, or fails to stop, does not keep the others from stopping."""
        self.add("first", succeed(None))
        self.add("hangs", Deferred())
        failing: Deferred[None] = Deferred()
        self.add("fails", failing)
        self.background.startService()
        stopped = self.background.stopService()
        failing.errback(OSError("no"))
        self.clock.advance(UNDO_TIME)
        self.successResultOf(stopped)
        self.assertEqual(self.done[-1], "stop first")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_service(self) -> None:
        """Any service can be a part."""
        service = Service()
        service.setServiceParent(self.background)
        self.background.startService()
        self.assertTrue(service.running)
        self.successResultOf(self.background.stopService())
        self.assertFalse(service.running)
