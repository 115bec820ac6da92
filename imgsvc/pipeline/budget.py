"""Bounds the memory of the bytes in flight, and shares it among the transfers of a process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from zope.interface import implementer

from imgsvc.interfaces import IBudget, IShare
from imgsvc.pipeline.json_budget import JsonBudget

KIB = 1 << 10
MIB = 1 << 20
SMALLEST_BLOCK = 64 * KIB
LARGEST_BLOCK = MIB
BLOCKS_IN_FLIGHT = 8
"""Blocks that one upload may hold when there is enough memory. This many keep all its lanes busy."""
SMALLEST_DOWNLOAD_BLOCK = 16 * KIB
BLOCKS_OF_DOWNLOAD = 4
"""Blocks that one download may hold: the transport has one, while the others are read ahead."""


@implementer(IShare)
class Share:
    """One transfer's part of a Budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._closed = False
        self.held = 0

    @property
    def block_size(self) -> int:
        """See IShare."""
        return self._budget.block_size

    def hold(self, size: int) -> None:
        """See IShare."""
        self.held += size
        self._budget.held += size

    def free(self, size: int) -> None:
        """See IShare."""
        if self._closed:
            return
        self.held -= size
        self._budget.freed(size)

    def has_room(self) -> bool:
        """See IShare."""
        return self.held < self._budget.most_held and self._budget.held < self._budget.size

    def has_plenty(self) -> bool:
        """See IShare."""
        return self.held < self._budget.most_held and self._budget.held < self._budget.size // 2

    def make_room(self) -> bool:
        """See IShare."""
        if self.held < self._budget.most_held:
            self._budget.reclaim()
        return self.has_room()

    def lend(self, give_back: Callable[[], None]) -> None:
        """See IShare."""
        if not self._closed:
            self._budget.lenders.setdefault(self, give_back)

    def take_back(self) -> None:
        """See IShare."""
        self._budget.lenders.pop(self, None)

    def when_room(self, call: Callable[[], None]) -> None:
        """See IShare."""
        self._budget.waiting.append(call)

    def close(self) -> None:
        """See IShare."""
        if not self._closed:
            self._closed = True
            self.take_back()
            self._budget.shares -= 1
            self._budget.freed(self.held)
            self.held = 0


@implementer(IBudget)
class Budget:
    """Bounds the bytes in flight of a process to `size`.

    Each share may hold an equal part, but no more than `blocks_in_flight` of the largest blocks, which keep its lanes
    busy. As the number of transfers grows, blocks shrink to `smallest_block` bytes. With so many transfers that even
    the smallest blocks exceed the budget, the latest ones wait until others free bytes.
    """

    def __init__(
        self, size: int, smallest_block: int = SMALLEST_BLOCK, blocks_in_flight: int = BLOCKS_IN_FLIGHT
    ) -> None:
        self.size = size
        self.held = 0
        self.shares = 0
        self.waiting: deque[Callable[[], None]] = deque()
        self.lenders: dict[Share, Callable[[], None]] = {}
        self._smallest_block = smallest_block
        self._blocks_in_flight = blocks_in_flight
        self._waking = False

    @property
    def most_held(self) -> int:
        """Bytes that one share may hold."""
        part = self.size // max(self.shares, 1)
        return max(self._smallest_block, min(part, self._blocks_in_flight * LARGEST_BLOCK))

    @property
    def block_size(self) -> int:
        """Bytes of a block now: a power of two, or `smallest_block` if the budget is used up."""
        part = self.most_held // self._blocks_in_flight
        if self.held >= self.size:
            return self._smallest_block
        return max(self._smallest_block, min(LARGEST_BLOCK, 1 << (part.bit_length() - 1)))

    def share(self) -> Share:
        """See IBudget."""
        self.shares += 1
        return Share(self)

    def reclaim(self) -> None:
        """Make lenders give bytes back until there is room. The one that has lent for the longest time is first."""
        while self.lenders and self.held >= self.size:
            self.lenders.pop(next(iter(self.lenders)))()

    def freed(self, size: int) -> None:
        """Count bytes as no longer held, and wake the shares that wait for room, in the order in which they came."""
        self.held -= size
        if self._waking:  # a woken share has freed its bytes: the loop below wakes the others
            return
        self._waking = True
        try:
            for _ in range(len(self.waiting)):
                if self.held >= self.size:
                    return
                self.waiting.popleft()()
        finally:
            self._waking = False


class Budgets:
    """The memory that a process may use for bytes in flight, in three separate parts.

    uploads: blocks on their way to stores and digests. downloads: blocks that were read ahead. answers: JSON.
    """

    def __init__(self, size: int) -> None:
        """size: bytes of all parts together."""
        self.uploads = Budget(size // 2)
        self.downloads = Budget(size // 8 * 3, SMALLEST_DOWNLOAD_BLOCK, BLOCKS_OF_DOWNLOAD)
        self.answers = JsonBudget(size // 8)
