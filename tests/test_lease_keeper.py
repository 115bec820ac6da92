"""Leases that are renewed while work goes on."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import CatalogueUnavailable, LeaseLost
from imgsvc.lease_keeper import RENEWALS_IN_A_LEASE, STALLED_LEASES, LeaseKeeper, waiting

LEASE = 60.0
STEP = LEASE / RENEWALS_IN_A_LEASE
STALL = STALLED_LEASES * RENEWALS_IN_A_LEASE


class LeaseKeeperTests(SynchronousTestCase):
    """`self.keeper` keeps the lease of work whose progress is `self.moved`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.renewed, self.stalled, self.moved = 0, 0, 0
        self.lost: list[LeaseLost] = []
        self.gives_up = False
        self.answer: Deferred[None] | None = None
        self.keeper = LeaseKeeper(self.clock, LEASE, self.renew, self.lost.append, self.stall, "work")
        self.addCleanup(self.keeper.stop)

    def renew(self) -> Deferred[None]:
        self.renewed += 1
        return self.answer or succeed(None)

    def stall(self) -> None:
        self.stalled += 1
        if self.gives_up:
            self.keeper.stop()

    def movement(self) -> int:
        return self.moved

    def pass_steps(self, number: int, moving: bool = False) -> None:
        """Let the time of so many renewals pass."""
        for _ in range(number):
            self.moved += moving
            self.clock.advance(STEP)

    def test_renewed(self) -> None:
        """A lease is renewed several times in its duration, until the keeper is stopped."""
        self.pass_steps(4)
        self.assertEqual(self.renewed, 4)
        self.keeper.stop()
        self.keeper.stop()
        self.pass_steps(4)
        self.assertEqual((self.renewed, self.clock.getDelayedCalls()), (4, []))

    def test_not_renewed(self) -> None:
        """A failed renewal does not count as a loss. It is tried again."""
        self.answer = fail(CatalogueUnavailable("x"))
        self.pass_steps(1)
        self.answer = None
        self.pass_steps(1)
        self.assertEqual((self.renewed, self.lost), (2, []))

    def test_lost(self) -> None:
        """The work is told of a lost lease."""
        self.answer = fail(LeaseLost("image"))
        self.pass_steps(1)
        self.assertEqual(len(self.lost), 1)

    def test_ended_meanwhile(self) -> None:
        """A renewal that finds no lease because the work has ended is neither a loss nor logged as one."""
        self.answer = answer = Deferred()
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.pass_steps(1)
        self.keeper.stop()
        answer.errback(LeaseLost("image"))
        self.assertEqual((self.lost, logged), ([], []))

    def test_stalls(self) -> None:
        """Work without progress is told so repeatedly, and its lease is renewed."""
        for _ in range(2):
            self.pass_steps(STALL - 1)
            self.assertEqual(self.stalled, 0)
            self.pass_steps(1)
            self.assertEqual(self.stalled, 1)
            self.stalled = 0
            self.keeper.watch(self.movement)
        self.pass_steps(2 * STALL)
        self.assertEqual((self.stalled, self.renewed), (2, 4 * STALL))

    def test_stopped_by_a_stall(self) -> None:
        """If stalled work stops the keeper, there is no further renewal."""
        self.gives_up = True
        self.pass_steps(STALL + 2)
        self.assertEqual((self.stalled, self.renewed), (1, STALL - 1))

    def test_moves(self) -> None:
        """Work with progress, or that waits for something with its own limit, does not stall."""
        self.keeper.watch(self.movement)
        self.pass_steps(3 * STALL, moving=True)
        self.keeper.watch(waiting)
        self.pass_steps(3 * STALL)
        self.assertEqual(self.stalled, 0)
        self.keeper.watch(self.movement)
        self.pass_steps(STALL)
        self.assertEqual(self.stalled, 1)
