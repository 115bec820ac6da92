"""A reader that reads ahead of its consumer, for any store that can read at an offset."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.context import bound
from imgsvc.errors import ObjectDamaged
from imgsvc.interfaces import IBudget, IShare, IStoreReader
from imgsvc.model import Span
from imgsvc.producers import PushProducer

Read = Callable[[int, int], Deferred[bytes]]
"""Takes an offset and a size, and returns the bytes; fewer only at the object's end. Fails with StoreError."""

DEPTH: Final = 2
"""Blocks that are held: one is sent while the next one is read."""


@define(eq=False)
class _Block:
    """A part of the span. data: None until it was read. dropped: whether the data is no longer wanted."""

    offset: int
    size: int
    data: bytes | None = None
    dropped: bool = False


@implementer(IStoreReader)
class ReadAhead(PushProducer):
    """Produces a span of an object in blocks. The budget sets their size, and at most `depth` of them are held.

    A block counts as held until the consumer has sent it: if the consumer pauses during the write, the block counts
    until it resumes. While the consumer is paused, the blocks that were read ahead are lent: if others need the memory,
    they are dropped and read again later. So a slow client holds only the bytes that are being sent to it. A reader
    whose consumer is not paused never waits for others: if the budget has no room, it reads one block of the smallest
    size at a time.
    close: called once, when the reader is stopped; a read may still be under way then.
    """

    def __init__(
        self,
        store_id: str,
        read: Read,
        close: Callable[[], None],
        span: Span,
        budget: IBudget,
        depth: int = DEPTH,
    ) -> None:
        super().__init__()
        self.length = span.length
        self._store_id = store_id
        self._read = bound(read)  # the consumer, or whoever frees memory, calls for the next block
        self._close = close
        self._budget = budget
        self._depth = depth
        self._next_offset = span.start
        self._stop = span.stop
        self._blocks: deque[_Block] = deque()
        self._reading = 0
        self._unsent = 0
        self._share: IShare | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IStoreReader."""
        if not self._stopped:
            self._share = self._budget.share()
        return super().startProducing(consumer)

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        if self._share is not None:
            self._share.take_back()
            self._share.free(self._unsent)
            self._unsent = 0
        super().resumeProducing()

    def stopProducing(self) -> None:
        """See IStoreReader. Does not unregister from the consumer: whoever stops the reader ends the consumer too."""
        if not self._stopped:
            super().stopProducing()
            self._close()

    def _pause_source(self) -> None:
        if self._share is not None:
            self._share.lend(self._drop)

    def _next(self) -> bytes | None:
        """Return the first block, if it was read."""
        return self._blocks.popleft().data if self._blocks and self._blocks[0].data is not None else None

    def _wrote(self, size: int) -> None:
        if self._paused and self._consumer is not None:
            self._unsent += size
        elif self._share is not None:  # a closed share holds nothing
            self._share.free(size)

    def _is_over(self) -> bool:
        return not self._blocks and not self._unsent and self._next_offset == self._stop

    def _fetch(self) -> bool:
        """Start one more read, if depth and budget allow it."""
        if self._next_offset == self._stop or len(self._blocks) >= self._depth:
            return False
        assert self._share is not None
        if not (self._may_read_ahead(self._share) if self._paused else self._may_read(self._share)):
            return False
        block = _Block(self._next_offset, min(self._share.block_size, self._stop - self._next_offset))
        self._next_offset += block.size
        self._blocks.append(block)
        self._share.hold(block.size)
        if self._paused:
            self._share.lend(self._drop)
        self._reading += 1
        self._read(block.offset, block.size).addBoth(self._took, block)
        return True

    def _may_read(self, share: IShare) -> bool:
        """Whether to start a read for a consumer that is not paused.

        If bytes are held, their release calls `_advance` again.
        """
        return share.has_room() or share.make_room() or not share.held

    def _may_read_ahead(self, share: IShare) -> bool:
        """Whether to start a read for a paused consumer. Not if memory is short: the block would be dropped again."""
        return share.has_plenty()

    def _drop(self) -> None:
        """Drop the blocks that were read ahead. The budget calls this when others need the memory."""
        assert self._share is not None
        if self._blocks:
            self._next_offset = self._blocks[0].offset
        for block in self._blocks:
            block.dropped = True
            if block.data is not None:
                self._share.free(block.size)
        self._blocks.clear()

    def _took(self, data: bytes | Failure, block: _Block) -> None:
        self._reading -= 1
        if block.dropped:
            if self._share is not None:
                self._share.free(block.size)
        elif isinstance(data, Failure):
            self._end(data)
        elif len(data) != block.size:
            end = block.offset + len(data)
            self._end(Failure(ObjectDamaged(self._store_id, f"the object ends at byte {end}, before its end.")))
        else:
            block.data = data
        self._give_back()
        self._advance()

    def _clear(self) -> None:
        self._blocks.clear()
        self._give_back()

    def _give_back(self) -> None:
        """Return the memory to the budget after the end, when no read is under way."""
        if self._consumer is None and not self._reading and self._share is not None:
            self._share.close()
            self._share = None
