"""Requests that clients have sent ahead wait for their turns, which take no more than a part of one of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

TIME: Final = 0.005
"""Seconds of a turn of the reactor after which the next one of those that wait has to wait for the next turn."""


class AheadTurns:
    """Calls those that wait in the order in which they came, each once."""

    def __init__(self, clock: Any) -> None:
        """clock: IReactorTime."""
        self._clock = clock
        self._waiting: dict[Any, Callable[[], None]] = {}
        self._call: IDelayedCall | None = None

    def wait(self, who: object, take: Callable[[], None]) -> None:
        """Have `take()` called in a later turn of the reactor. Without effect if `who` waits already."""
        self._waiting.setdefault(who, take)
        if self._call is None:
            self._call = self._clock.callLater(0, self._go_on)

    def waits(self, who: object) -> bool:
        """Whether it waits."""
        return who in self._waiting

    def leave(self, who: object) -> None:
        """Wait no longer."""
        self._waiting.pop(who, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _go_on(self) -> None:
        self._call = None
        until = self._clock.seconds() + TIME
        for who in list(self._waiting):  # who comes meanwhile has another turn
            take = self._waiting.pop(who, None)
            if take is not None:
                take()
            if self._clock.seconds() >= until:
                break
        if self._waiting and self._call is None:
            self._call = self._clock.callLater(0, self._go_on)
