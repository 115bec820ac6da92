"""Lanes: concurrent consumers of the blocks of an upload. Each takes the blocks in order, at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from imgsvc.hashing import Piece

MOST_PIECES = 64
"""Pieces that are handed to a lane in one call, at most."""


Consume = Callable[[list[Piece]], Deferred[None]]
"""Takes bytes-like objects, one call at a time. It does not use them after its Deferred has fired."""


@frozen(eq=False)
class OptionalLane:
    """A lane whose failure does not fail the transfer: it gets no more blocks, and the other lanes go on.

    consume: takes the blocks. failed: called once with the Failure of `consume`. It may end the transfer with
    Intake.fail, and must not raise.
    """

    consume: Consume
    failed: Callable[[Failure], None]


@define(eq=False)
class Block:
    """Consecutive bytes of an upload. They are held until the last lane has consumed them."""

    pieces: list[Piece]
    size: int
    lanes_left: int = field(default=0)


class Lane:
    """Gives blocks to `consume`, in order, one call at a time. Blocks that arrive during a call go into the next one.

    done: called with each block that the lane no longer needs. failed: called once, with the Failure of `consume`.
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
        """Drop the waiting blocks. A call that is running goes on to its end."""
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
        # A store of a third party may raise an exception instead of failing its Deferred.
        maybeDeferred(self._consume, pieces).addBoth(self._consumed, blocks)

    def _consumed(self, result: Any, blocks: list[Block]) -> None:
        self._working = False
        if isinstance(result, Failure) and not self._stopped:
            self._stopped = True
            self._failed(result)
            self.stop()
        # Call _work before _done: freeing the block may make room for the next one, and with it call `put`.
        elif self._waiting:
            self._work()
        for block in blocks:
            self._done(block)
