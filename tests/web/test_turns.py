"""The order of the turns of the reactor."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.web.turns import ReactorTurns


class Reactor(Clock):
    """A Clock that advances by one turn. Calls that are scheduled meanwhile wait for the next turn."""

    def turn(self) -> None:
        """Make the calls that are due."""
        calls, self.calls = list(self.calls), []
        for call in calls:
            call.called = 1
            call.func(*call.args, **call.kw)


class ReactorTurnsTests(SynchronousTestCase):
    """ReactorTurns."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.turns = ReactorTurns(self.reactor)
        self.had: list[str] = []

    def ask(self, name: str) -> None:
        """Ask for a turn, and note when it comes."""
        self.turns.own().addCallback(lambda _: self.had.append(name))

    def test_one_each(self) -> None:
        """Each gets one turn, in the order in which they asked, none at once. Then nothing is left."""
        for name in "abc":
            self.ask(name)
        self.assertEqual(self.had, [])
        for number in range(1, 4):
            self.reactor.turn()
            self.assertEqual("".join(self.had), "abc"[:number])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_asked_within_a_turn(self) -> None:
        """One that asks again in its own turn is the last."""
        first = self.turns.own()
        first.addCallback(lambda _: self.ask("again"))
        self.ask("other")
        self.reactor.turn()
        self.assertEqual(self.had, [])
        self.reactor.turn()
        self.assertEqual(self.had, ["other"])
        self.reactor.turn()
        self.assertEqual(self.had, ["other", "again"])

    def test_cancelled(self) -> None:
        """A cancelled turn is given to the next. If nobody is left, nothing happens."""
        first = self.turns.own()
        self.ask("next")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.reactor.turn()
        self.assertEqual(self.had, ["next"])
        last = self.turns.own()
        last.cancel()
        self.failureResultOf(last, CancelledError)
        self.reactor.turn()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.ask("later")
        self.reactor.turn()
        self.assertEqual(self.had, ["next", "later"])

    def test_failure(self) -> None:
        """A failure in one turn does not affect the others."""
        failing = self.turns.own()
        failing.addCallback(lambda _: 1 // 0)
        self.ask("next")
        self.reactor.turn()
        self.failureResultOf(failing, ZeroDivisionError)
        self.reactor.turn()
        self.assertEqual(self.had, ["next"])
