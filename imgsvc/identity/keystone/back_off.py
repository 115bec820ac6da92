"""Pauses between attempts to reach a service that does not answer."""

from __future__ import annotations

from math import ceil
from typing import Final

from twisted.internet.interfaces import IReactorTime

__all__ = ["BackOff"]

FIRST: Final = 1.0
"""Seconds of the first pause. Each further one is twice as long."""
LONGEST: Final = 30.0
"""Seconds of a pause at most."""


class BackOff:
    """Says whether an attempt may be made now.

    After a failure there is a pause. Then one attempt is made, and others wait for its result.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pause = 0.0
        self._until = 0.0
        self._is_trying = False

    def seconds_left(self) -> int:
        """Whole seconds until the next attempt may be made, at least 1; 0: it may be made now."""
        if not self._pause:
            return 0
        left = self._until - self._clock.seconds()
        return max(1, ceil(left)) if self._is_trying or left > 0 else 0

    def trying(self) -> None:
        """An attempt begins. It ends with `failed`, `succeeded` or `given_up`."""
        self._is_trying = bool(self._pause)

    def failed(self) -> None:
        """An attempt has failed. Of attempts that were made at the same time, the first one counts."""
        if self._is_trying or self._clock.seconds() >= self._until:
            self._is_trying = False
            self._pause = min(max(FIRST, self._pause * 2), LONGEST)
            self._until = self._clock.seconds() + self._pause

    def succeeded(self) -> None:
        """An attempt has succeeded."""
        self._is_trying = False
        self._pause = self._until = 0.0

    def given_up(self) -> None:
        """An attempt has ended without a result."""
        self._is_trying = False
