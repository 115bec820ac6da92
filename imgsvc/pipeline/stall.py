"""Detects that a transfer makes no progress."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class StallTimer:
    """Calls `stalled()` once if `moved()` is not called for `timeout` seconds. `moved` is cheap: it resets no timer."""

    def __init__(self, clock: IReactorTime, timeout: float, stalled: Callable[[], None]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._stalled = stalled
        self._moved_at = clock.seconds()
        self._call: IDelayedCall | None = clock.callLater(timeout, self._look)

    def moved(self) -> None:
        """Note that the transfer has made progress."""
        self._moved_at = self._clock.seconds()

    def stop(self) -> None:
        """Stop the timer. May be called repeatedly."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        left = self._moved_at + self._timeout - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._call = None
            self._stalled()
