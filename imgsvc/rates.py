"""Detects clients that send too slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

WINDOW: Final = 60.0
"""Seconds over which the rate is averaged. It is not checked before they are over."""


class RateWatch:
    """Calls `slow()` once when fewer than `rate` bytes per second have arrived in a minute.

    Only the time between `go` and `pause` counts, because the client is not read from at other times.
    """

    def __init__(self, clock: IReactorTime, rate: int, slow: Callable[[], None]) -> None:
        self._clock = clock
        self._wanted = rate * WINDOW
        self._slow = slow
        self._left = WINDOW
        self._since = 0.0
        self._count = 0
        self._call: IDelayedCall | None = None

    def count(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._count += size

    def go(self) -> None:
        """Start the measurement. May be called repeatedly."""
        if self._call is None:
            self._since = self._clock.seconds()
            self._call = self._clock.callLater(self._left, self._look)

    def pause(self) -> None:
        """Stop the measurement. May be called repeatedly."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
            self._left = max(0.0, self._left - (self._clock.seconds() - self._since))

    def _look(self) -> None:
        self._call = None
        if self._count < self._wanted:
            self._slow()
        else:
            self._left, self._count = WINDOW, 0
            self.go()
