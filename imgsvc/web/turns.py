"""Spreads long work over turns of the reactor, one piece in each turn, so that other work runs in between."""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["ReactorTurns"]


@define
class ReactorTurns:
    """Gives each turn of the reactor to one waiter, in the order of their arrival."""

    _clock: IReactorTime
    _waiting: deque[Deferred[None]] = field(factory=deque, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def own(self) -> Deferred[None]:
        """The Deferred fires in a turn of the reactor that no other waiter gets. Cancelling it leaves the queue."""
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
