"""Lanes: consumers of an upload's blocks that go on side by side, each in its own order and at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from imgsvc.pipeline.digests import Piece

MOST_PIECES = 64
"""Pieces that are handed to a lane at once."""


Consume = Callable[[list[Piece]], Deferred[None]]
"""Takes bytes-like objects, one call at a time; they are free again when the Deferred fires."""


@frozen(eq=False)
class OptionalLane:
    """A lane that may fail without the transfer: it gets no more blocks then, and the other lanes go on.

    consume: what the lane does with blocks. failed: called once with the reason, when `consume` has failed; it may end
    the transfer by Intake.fail, and must not raise.
    """

    consume: Consume
    failed: Callable[[Failure], None]


@define(eq=False)
class Block:
    """Some consecutive bytes of an upload. Held until the last lane is done with it."""

    pieces: list[Piece]
    size: int
    lanes_left: int = field(default=0)


class Lane:
    """Gives blocks to `consume`, in order, one call at a time; what waits meanwhile goes in the next call.

    consume: takes a list of bytes-like objects, gives a Deferred of None.
    done: called with each block that the lane no longer needs. failed: called once, with the Failure.
    """

    def __init__(
        self,
        consume: Consume,
        done: Callable[[Block], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._consume = consume
        self._done = done
        self._failed = failed
        self._waiting: deque[Block] = deque()
        self._working = False
        self._stopped = False

    @property
    def idle(self) -> bool:
        """Whether all blocks were consumed."""
        return not self._waiting and not self._working

    def put(self, block: Block) -> None:
        """Take one more block."""
        if self._stopped:
            self._done(block)
            return
        self._waiting.append(block)
        if not self._working:
            self._work()

    def stop(self) -> None:
        """Drop what waits. The call that is under way, if any, goes to its end."""
        self._stopped = True
        while self._waiting:
            self._done(self._waiting.popleft())

    def _work(self) -> None:
        blocks: list[Block] = []
        pieces: list[Piece] = []
        while not blocks or (self._waiting and len(pieces) + len(self._waiting[0].pieces) <= MOST_PIECES):
            block = self._waiting.popleft()
            blocks.append(block)
            pieces += block.pieces
        self._working = True
        # A store that somebody else wrote may raise instead of failing its Deferred.
        maybeDeferred(self._consume, pieces).addBoth(self._consumed, blocks)

    def _consumed(self, result: Any, blocks: list[Block]) -> None:
        self._working = False
        if isinstance(result, Failure) and not self._stopped:
            self._stopped = True
            self._failed(result)
            self.stop()
        # The last lane to be done with a block may free the room that brings the next one: _work first.
        elif self._waiting:
            self._work()
        for block in blocks:
            self._done(block)
