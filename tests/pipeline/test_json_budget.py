"""How JSON bodies and responses share the memory of a process."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.interfaces import IJsonBudget, IReservation
from imgsvc.pipeline.json_budget import SMALL, JsonBudget, Reservation

MIB = 1 << 20


class JsonBudgetTests(SynchronousTestCase):
    """Which reservations wait, and in which order they are granted."""

    def setUp(self) -> None:
        self.budget = JsonBudget(4 * MIB)

    def reserved(self, size: int) -> Reservation:
        """A reservation that is granted at once."""
        reservation: Reservation = self.successResultOf(self.budget.reserve(size))
        return reservation

    def test_interfaces(self) -> None:
        """Both classes provide their interfaces."""
        verifyObject(IJsonBudget, self.budget)
        verifyObject(IReservation, self.reserved(1))

    def test_small(self) -> None:
        """Small reservations never wait, even if no memory is left and others wait. They are counted."""
        self.reserved(4 * MIB)
        self.assertNoResult(self.budget.reserve(SMALL + 1))
        for _ in range(100):
            self.reserved(SMALL)
        self.assertEqual(4 * MIB + 100 * SMALL, self.budget.held)

    def test_order(self) -> None:
        """Large reservations are granted in their order. One that would fit does not overtake."""
        first = self.reserved(3 * MIB)
        second, third = self.budget.reserve(2 * MIB), self.budget.reserve(MIB)
        self.assertNoResult(second)
        self.assertNoResult(third)
        first.close()
        self.successResultOf(second)
        self.successResultOf(third)
        self.assertEqual(3 * MIB, self.budget.held)

    def test_larger_than_the_whole(self) -> None:
        """A reservation that is larger than the budget is granted when no other large one is held."""
        first = self.reserved(MIB)
        huge, last = self.budget.reserve(5 * MIB), self.budget.reserve(MIB)
        self.assertNoResult(huge)
        first.close()
        self.assertNoResult(last)
        self.successResultOf(huge).close()
        self.successResultOf(last)

    def test_small_ones_keep_nobody_waiting(self) -> None:
        """However much small ones hold, one large reservation at a time is granted."""
        for _ in range(1000):
            self.reserved(SMALL)
        first = self.reserved(MIB)
        second = self.budget.reserve(MIB)
        self.assertNoResult(second)
        first.close()
        self.successResultOf(second)

    def test_cancelled(self) -> None:
        """A reservation that is cancelled while it waits leaves the queue, and those behind it move up."""
        self.reserved(3 * MIB)
        second, third = self.budget.reserve(2 * MIB), self.budget.reserve(MIB)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)
        self.assertEqual((4 * MIB, 0), (self.budget.held, self.budget.waiting))

    def test_resize(self) -> None:
        """A reservation that shrinks makes room for others, and one that grows is counted."""
        first = self.reserved(4 * MIB)
        second = self.budget.reserve(MIB)
        first.resize(3 * MIB)
        self.successResultOf(second)
        first.resize(5 * MIB)
        self.assertEqual((5 * MIB, 6 * MIB), (first.size, self.budget.held))

    def test_close(self) -> None:
        """A second close releases nothing, and a closed reservation is not counted again."""
        first = self.reserved(MIB)
        first.close()
        first.close()
        first.resize(MIB)
        self.assertEqual((0, 0), (self.budget.held, self.budget.large))

    def test_granted_within_a_grant(self) -> None:
        """Many reservations that are closed when granted cause no recursion."""
        first = self.reserved(4 * MIB)
        waiting = [self.budget.reserve(3 * MIB).addCallback(lambda one: one.close()) for _ in range(5000)]
        first.close()
        for granted in waiting:
            self.successResultOf(granted)
        self.assertEqual(0, self.budget.held)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(st.tuples(st.sampled_from(["reserve", "close", "cancel", "resize"]), st.integers(0, 3 * MIB))))
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """In any order, the count is right, large ones hold at most the whole budget, and none waits in vain."""
        budget = JsonBudget(2 * MIB)
        held: list[Any] = []
        waiting: list[Any] = []

        def granted(reservation: Any, entry: Any) -> None:
            waiting.remove(entry)
            held.append(reservation)

        for step, number in steps:
            if step == "reserve":
                entry = [None]
                waiting.append(entry)
                entry[0] = budget.reserve(number)
                entry[0].addCallbacks(granted, lambda _: None, (entry,))
            elif step == "close" and held:
                held.pop(number % len(held)).close()
            elif step == "resize" and held:
                one = held[number % len(held)]
                one.resize(min(one.size, number))
            elif step == "cancel" and waiting:
                entry = waiting.pop(number % len(waiting))
                entry[0].cancel()
            self.assertEqual(budget.held, sum(one.size for one in held))
            self.assertEqual(budget.waiting, len(waiting))
            large = [one for one in held if one.large]
            self.assertTrue(len(large) < 2 or sum(one.size for one in large) <= budget.size)
            self.assertTrue(large or not waiting)
