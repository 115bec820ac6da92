"""Work that keeps the reactor for a while: one piece in each of its turns, so that others have theirs in between."""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["ReactorTurns"]


@define
class ReactorTurns:
    """Gives each turn of the reactor to one of those who wait, in the order in which they came."""

    _clock: IReactorTime
    _waiting: deque[Deferred[None]] = field(factory=deque, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def own(self) -> Deferred[None]:
        """Fires in a turn of the reactor that nobody else has been given. Who cancels it gives up its place."""
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        self._call_next()
        return turn

    def _call_next(self) -> None:
        if self._waiting and self._next is None:
            self._next = self._clock.callLater(0, self._give)

    def _give(self) -> None:
        self._next = None
        turn = self._waiting.popleft() if self._waiting else None
        self._call_next()
        if turn is not None:
            turn.callback(None)
