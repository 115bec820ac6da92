"""Checks suspicious items a second time, so that operations which were under way at the first check have ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

T = TypeVar("T")

PAUSE: Final = 5.0
"""Seconds between the two checks: enough for this process to see what two others did one after the other."""
MOST: Final = 10_000
"""Items that are kept in memory before they are settled."""


@define(eq=False)
class Doubts(Generic[T]):
    """Keeps suspicious items, and passes them to `again`, oldest first, when PAUSE has elapsed."""

    clock: IReactorTime
    again: Callable[[list[T]], Awaitable[None]]
    _held: list[T] = field(factory=list, init=False)
    _latest: float = field(default=0.0, init=False)

    async def add(self, doubted: T) -> None:
        """Keep one more item. Settles the kept items if there are too many. Raises what `again` raises."""
        self._held.append(doubted)
        self._latest = self.clock.seconds()
        if len(self._held) >= MOST:
            await self.settle()

    async def settle(self) -> None:
        """Wait until PAUSE has elapsed for all kept items, and pass them to `again`."""
        held, self._held = self._held, []
        if held:
            await deferLater(self.clock, max(0.0, self._latest + PAUSE - self.clock.seconds()))
            await self.again(held)
