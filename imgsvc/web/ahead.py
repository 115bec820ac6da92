"""A queue for requests that must not hold up others: it uses only a part of each turn of the reactor.

In it wait the requests that a client has sent ahead, and the first requests of new connections when many of them come
in one turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

TIME: Final = 0.005
"""Seconds that the queue may use in one turn of the reactor. Requests that are left wait for the next turn.

First requests may use as many more before they have to wait.
"""


class AheadTurns:
    """Calls the waiting functions in the order of their arrival, each once."""

    def __init__(self, clock: Any) -> None:
        """clock: IReactorTime."""
        self._clock = clock
        self._waiting: dict[Any, Callable[[], None]] = {}
        self._call: IDelayedCall | None = None
        self._spent = 0.0
        """Seconds that first requests have used in this turn."""

    def has_time(self) -> bool:
        """Whether one more first request may be handled in this turn, without the queue."""
        return self._spent < TIME

    def spend(self, seconds: float) -> None:
        """Count what a first request has used of this turn."""
        if seconds > 0 and not self._spent:
            self._clock.callLater(0, self._begin_turn)
        self._spent += seconds

    def _begin_turn(self) -> None:
        self._spent = 0.0

    def wait(self, who: object, take: Callable[[], None]) -> None:
        """Call `take()` in a later turn of the reactor. Does nothing if `who` waits already."""
        self._waiting.setdefault(who, take)
        if self._call is None:
            self._call = self._clock.callLater(0, self._go_on)

    def waits(self, who: object) -> bool:
        """Whether `who` waits."""
        return who in self._waiting

    def leave(self, who: object) -> None:
        """Remove `who` from the queue."""
        self._waiting.pop(who, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _go_on(self) -> None:
        self._call = None
        until = self._clock.seconds() + TIME
        for who in list(self._waiting):  # those that arrive during the loop wait for another turn
            take = self._waiting.pop(who, None)
            if take is not None:
                take()
            if self._clock.seconds() >= until:
                break
        if self._waiting and self._call is None:
            self._call = self._clock.callLater(0, self._go_on)
