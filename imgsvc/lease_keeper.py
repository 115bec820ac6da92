"""Renews a lease while the work that holds it goes on."""

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
"""Work without progress is given up after this many lengths of its lease."""

Movement = Callable[[], int | None]
"""Returns the progress of the work: a number that changes while it goes on. None: it waits for something that has its
own timeout.
"""


def not_moving() -> int:
    """The Movement of work that must reach its next step in time."""
    return 0


def waiting() -> None:
    """The Movement of work that waits for something that has its own timeout."""


class LeaseKeeper:
    """Renews a lease several times in each of its lengths, until it is stopped, or the lease is lost.

    Between two processes only the lease decides which one may go on. So every step of the work in the catalogue names
    the lease, and every step in a store names the lease of the object.
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
        """Start to renew.

        clock: a monotonic one, see imgsvc.daemon.clock. seconds: length of the lease. renew: renews it in the
        catalogue. Its failures are logged, and it is called again at the next time; only LeaseLost ends the lease.
        lost: called when another process has the lease, or its resource is gone. stalled: called when the work has made
        no progress for STALLED_LEASES lengths of the lease; the lease is still renewed until `stop`. name: of the work,
        for the log.
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
        """Note that the work has reached its next step. movement: returns the progress of that step."""
        self._movement = movement
        self._seen = movement()
        self._still = 0

    def stop(self) -> None:
        """Stop renewing. May be called repeatedly."""
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
        if not self._loop.running:
            return  # the work has ended meanwhile, and its lease with it
        log.error("{name}: lease not renewed: {error}", name=self._name, error=failure.getErrorMessage())
        if isinstance(failure.value, LeaseLost):
            self._lost(failure.value)
