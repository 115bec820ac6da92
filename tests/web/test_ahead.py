"""Connections that wait for a turn of the reactor."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.web.ahead import TIME, AheadTurns


class AheadTurnsTests(SynchronousTestCase):
    """A test moves the clock: each `advance` is one turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = AheadTurns(self.clock)
        self.taken: list[object] = []

    def wait(self, *names: str, takes: float = 0.0) -> None:
        """Let these wait. The work of each takes so many seconds."""
        for name in names:
            self.turns.wait(name, lambda name=name: self.take(name, takes))  # type: ignore[misc]

    def take(self, name: str, takes: float) -> None:
        self.taken.append(name)
        self.clock.rightNow += takes

    def turn(self) -> list[object]:
        """The names whose work is done in the next turn of the reactor."""
        self.taken.clear()
        (call,) = self.clock.getDelayedCalls()
        self.clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)
        return list(self.taken)

    def test_order(self) -> None:
        """All that wait are served once, in their order. A second request to wait has no effect."""
        self.wait("first", "second", "first")
        self.assertTrue(self.turns.waits("first"))
        self.assertEqual(self.turn(), ["first", "second"])
        self.assertFalse(self.turns.waits("first"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """Work that asks to wait again is continued in the next turn of the reactor."""
        self.turns.wait("first", lambda: self.wait("first"))
        self.assertEqual(self.turn(), [])
        self.assertEqual(self.turn(), ["first"])

    def test_time(self) -> None:
        """When the time of a turn is used up, the rest waits for the next turn, before later ones."""
        self.wait(*"abcdef", takes=TIME / 2)
        self.assertEqual(self.turn(), ["a", "b"])
        self.wait("a", takes=TIME / 2)
        self.assertEqual([self.turn(), self.turn(), self.turn()], [["c", "d"], ["e", "f"], ["a"]])

    def test_first_requests(self) -> None:
        """First requests have a limited time in each turn of the reactor."""
        self.assertTrue(self.turns.has_time())
        self.turns.spend(0.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.turns.spend(TIME / 2)
        self.assertTrue(self.turns.has_time())
        self.turns.spend(TIME / 2)
        self.assertFalse(self.turns.has_time())
        self.clock.advance(0)
        self.assertTrue(self.turns.has_time())

    def test_leave(self) -> None:
        """Work that is withdrawn is not done, even if other work of the same turn withdraws it. No timer is left at the
        end.
        """
        self.wait("first", "second")
        self.turns.leave("first")
        self.assertEqual(self.turn(), ["second"])
        self.turns.wait("third", lambda: self.turns.leave("fourth"))
        self.wait("fourth")
        self.assertEqual(self.turn(), [])
        self.wait("fifth")
        self.turns.leave("fifth")
        self.turns.leave("nobody")
        self.assertEqual(self.clock.getDelayedCalls(), [])
