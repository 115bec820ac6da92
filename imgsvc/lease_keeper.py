"""Keeps a lease as long as the work that it is held for goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from imgsvc.context import bound
from imgsvc.errors import LeaseLost
from imgsvc.logger import make_logger

log = make_logger()

RENEWALS_IN_A_LEASE: Final = 3
STALLED_LEASES: Final = 3
"""Leases for which work may come no further before it is given up."""

Movement = Callable[[], int | None]
"""How far the work has come: a number that changes while it goes on. None: it waits for what has an end of its own."""


def not_moving() -> int:
    """The Movement of work that must come to its next step in time."""
    return 0


def waiting() -> None:
    """The Movement of work that waits for what has an end of its own."""


class LeaseKeeper:
    """Has a lease renewed some times in each of its lengths, until it is stopped, or the lease is lost.

    Between two processes the lease alone says who may go on, so every step that the work takes in the catalogue names
    the lease, and in a store the object's.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        renew: Callable[[], Deferred[None]],
        lost: Callable[[LeaseLost], None],
        stalled: Callable[[], None],
        name: str,
    ) -> None:
        """Begin.

        clock: goes by time that has passed, see imgsvc.daemon.clock. seconds: of one lease. renew: renews it in the
        catalogue; what else fails than with LeaseLost is logged, and done again at the next time. lost: called when
        another process has it, or what it is on is gone. stalled: called when the work has not moved for
        STALLED_LEASES leases; the lease is renewed until `stop`. name: of the work, for the log.
        """
        self._renew = renew
        self._lost = lost
        self._stalled = stalled
        self._name = name
        self._movement: Movement = not_moving
        self._seen: int | None = 0
        self._still = 0
        self._loop = LoopingCall(bound(self._tick))
        self._loop.clock = clock
        self._loop.start(seconds / RENEWALS_IN_A_LEASE, now=False)

    def watch(self, movement: Movement) -> None:
        """The work has come to its next step, which moves so."""
        self._movement = movement
        self._seen = movement()
        self._still = 0

    def stop(self) -> None:
        """Renew no more. Any number of times."""
        if self._loop.running:
            self._loop.stop()

    def _tick(self) -> Deferred[None] | None:
        moved = self._movement()
        self._still = self._still + 1 if moved is not None and moved == self._seen else 0
        self._seen = moved
        if self._still >= STALLED_LEASES * RENEWALS_IN_A_LEASE:
            self._still = 0
            self._stalled()
        if not self._loop.running:
            return None
        return self._renew().addErrback(bound(self._not_renewed))

    def _not_renewed(self, failure: Failure) -> None:
        log.error("{name}: lease not renewed: {error}", name=self._name, error=failure.getErrorMessage())
        if isinstance(failure.value, LeaseLost):
            self._lost(failure.value)
