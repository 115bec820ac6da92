"""Who has which turn of the reactor."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.web.turns import ReactorTurns


class Reactor(Clock):
    """A Clock that can be moved on by one turn: what is called calls nothing more in it."""

    def turn(self) -> None:
        """Call what is due."""
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
        """Ask for a turn, to be noted."""
        self.turns.own().addCallback(lambda _: self.had.append(name))

    def test_one_each(self) -> None:
        """One in each turn, in the order in which they came, none at once; then nothing is left."""
        for name in "abc":
            self.ask(name)
        self.assertEqual(self.had, [])
        for number in range(1, 4):
            self.reactor.turn()
            self.assertEqual("".join(self.had), "abc"[:number])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_asked_within_a_turn(self) -> None:
        """Who asks again in its own turn is the last."""
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
        """Who gives up leaves its turn to the next; where nobody is left, nothing happens."""
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
        """One that fails in its turn takes none from the others."""
        failing = self.turns.own()
        failing.addCallback(lambda _: 1 // 0)
        self.ask("next")
        self.reactor.turn()
        self.failureResultOf(failing, ZeroDivisionError)
        self.reactor.turn()
        self.assertEqual(self.had, ["next"])
