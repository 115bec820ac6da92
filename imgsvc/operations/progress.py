"""Keeps the lease of an upload as long as its bytes move."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from imgsvc.pipeline.intake import Intake

RENEWALS_IN_A_LEASE = 3
STALLED_LEASES = 3
"""Leases for which a store may take nothing, or not finish, before the upload is given up."""


class Progress:
    """Calls `renew` some times in each lease, and `stalled` once when the store has not moved for several.

    A client that sends nothing is no stall: its connection has a time-out of its own. lease: seconds.
    """

    def __init__(
        self, clock: IReactorTime, lease: float, renew: Callable[[], Deferred[None]], stalled: Callable[[], None]
    ) -> None:
        self._renew = renew
        self._stalled = stalled
        self._intake: Intake | None = None
        self._seen = 0
        self._still = 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._loop.start(lease / RENEWALS_IN_A_LEASE, now=False)

    def watch(self, intake: Intake) -> None:
        """The bytes go through this intake from now on."""
        self._intake = intake
        self._still = 0

    def stop(self) -> None:
        """The upload has ended. Any number of times."""
        if self._loop.running:
            self._loop.stop()

    def _tick(self) -> Deferred[None] | None:
        intake = self._intake
        waits_for_client = intake is not None and intake.idle and not intake.complete
        blocks = intake.consumed_blocks if intake is not None else 0
        if waits_for_client or blocks != self._seen:
            self._still = 0
        else:
            self._still += 1
        self._seen = blocks
        if self._still >= STALLED_LEASES * RENEWALS_IN_A_LEASE:
            self._loop.stop()
            self._stalled()
            return None
        return self._renew()
