"""What looked wrong once, and is looked at again a little later: what was only under way is over by then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

T = TypeVar("T")

PAUSE: Final = 5.0
"""Seconds between the two looks: longer than what one process does after another takes to be seen by a third."""
MOST: Final = 10_000
"""Doubts that are kept in memory before they are settled."""


@define(eq=False)
class Doubts(Generic[T]):
    """Keeps what is doubted, and hands it to `again` when its time has come, in the order in which it came."""

    clock: IReactorTime
    again: Callable[[list[T]], Awaitable[None]]
    _held: list[T] = field(factory=list, init=False)
    _latest: float = field(default=0.0, init=False)

    async def add(self, doubted: T) -> None:
        """One more. Settles those that are held when they are too many. Raises what `again` raises."""
        self._held.append(doubted)
        self._latest = self.clock.seconds()
        if len(self._held) >= MOST:
            await self.settle()

    async def settle(self) -> None:
        """Wait until PAUSE is over for all that are held, and look at them again."""
        held, self._held = self._held, []
        if held:
            await deferLater(self.clock, max(0.0, self._latest + PAUSE - self.clock.seconds()))
            await self.again(held)
