"""The consumer of an upload: joins the arriving bytes into blocks, and hands the blocks to lanes, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from imgsvc.context import bound
from imgsvc.hashing import Piece
from imgsvc.interfaces import IShare, IStoreReader
from imgsvc.pipeline.lanes import Block, Consume, Lane, OptionalLane

SMALL = 8 << 10
"""Pieces of fewer bytes are copied together, because the objects would take more memory than the bytes."""


@implementer(IConsumer)
class Intake:
    """Takes the bytes of one upload from a push producer.

    A full block goes to all lanes at once. At the limit of the share the producer is paused. It is resumed when the
    lanes have freed enough bytes.

    lanes: each gets all blocks. If one fails, the upload fails, unless it is an OptionalLane. share: counts the bytes
    that are held. admit: called with the number of bytes so far, before they go to a lane. look: called with each piece
    of a block. Both may raise an exception to refuse the upload.
    """

    def __init__(
        self,
        lanes: Sequence[Consume | OptionalLane],
        share: IShare,
        admit: Callable[[int], None] = lambda size: None,
        look: Callable[[Piece], None] | None = None,
    ) -> None:
        self._lanes = [self._lane(each) for each in lanes]
        self._share = share
        self._admit = admit
        self._look = bound(look or _look_at_nothing)
        self._producer: Any = None
        self._paused = False
        self._waits_for_room = False
        self._pieces: list[Piece] = []
        self._gathered = 0
        self._in_flight = 0
        self._failure: Failure | None = None
        self._done: Deferred[None] | None = None
        self.complete = False
        """Whether the last byte has arrived."""
        self.size = 0
        """Bytes that have arrived."""
        self.consumed_blocks = 0
        """Blocks that all lanes have consumed. The number grows as long as every lane makes progress."""

    def _lane(self, lane: Consume | OptionalLane) -> Lane:
        if isinstance(lane, OptionalLane):
            return Lane(bound(lane.consume), self._block_done, bound(lane.failed))
        return Lane(bound(lane), self._block_done, self.fail)

    def receive(self, body: IBodyProducer | IStoreReader) -> Deferred[None]:
        """Take all bytes that `body` produces.

        The Deferred fires when every lane has consumed the last block. It fails with the first failure of the body, of
        a lane that is not optional, of `admit` or of `look`. No lane works any more at that time.
        """
        done: Deferred[None] = Deferred()
        self._done = done
        body.startProducing(self).addCallbacks(self._ended, self.fail)
        return done

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer. Accepts push producers only."""
        if self._producer is not None or not streaming:
            raise RuntimeError("an intake takes one push producer")
        self._producer = IPushProducer(producer)
        if not self._share.has_room():
            self._pause()

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self._producer = None

    def write(self, data: Piece) -> None:
        """See IConsumer. Bytes that arrive after a failure are dropped."""
        if self._failure is not None:
            return
        size = len(data)
        self.size += size
        try:
            self._admit(self.size)
        except Exception:  # `admit` refuses the upload
            self.fail(Failure())
            return
        self._share.hold(size)
        self._gather(data)
        if self._gathered >= self._share.block_size:
            self._send_block()
        if not self._share.has_room():
            # Send the incomplete block too, because bytes that stay here are never freed.
            self._send_block()
            if not self._share.has_room():  # lanes that consume at once have made room already
                self._pause()

    def fail(self, failure: Failure) -> None:
        """End the upload: stop the producer, and drop the waiting bytes. `receive` fails with the first failure."""
        if self._failure is not None:
            return
        self._failure = failure
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.stopProducing()
        self._drop_gathered()
        for lane in self._lanes:
            lane.stop()
        self._finish_if_idle()

    def _ended(self, _: object) -> None:
        """The body has ended."""
        self.complete = True
        self._send_block()
        self._finish_if_idle()

    @property
    def idle(self) -> bool:
        """Whether all blocks have left all lanes."""
        return self._in_flight == 0

    def _gather(self, data: Piece) -> None:
        last = self._pieces[-1] if self._pieces else None
        if len(data) >= SMALL:
            self._pieces.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            self._pieces.append(bytearray(data))
        self._gathered += len(data)

    def _drop_gathered(self) -> None:
        self._share.free(self._gathered)
        self._pieces, self._gathered = [], 0

    def _send_block(self) -> None:
        if not self._pieces:
            return
        try:
            for piece in self._pieces:
                self._look(piece)
        except Exception:  # `look` refuses the upload
            self.fail(Failure())
            return
        block = Block(self._pieces, self._gathered, len(self._lanes))
        self._pieces, self._gathered = [], 0
        self._in_flight += 1
        for lane in self._lanes:
            lane.put(block)

    def _block_done(self, block: Block) -> None:
        block.lanes_left -= 1
        if block.lanes_left == 0:
            block.pieces = []
            self.consumed_blocks += 1
            self._in_flight -= 1
            self._share.free(block.size)
            if self._paused:
                self._resume_if_room()
        self._finish_if_idle()

    def _pause(self) -> None:
        if self._failure is not None:
            return
        if self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        if self._share.held == 0 and not self._waits_for_room:
            # This upload holds nothing that it could free: wait until others free bytes.
            self._waits_for_room = True
            self._share.when_room(self._room_of_others)

    def _room_of_others(self) -> None:
        self._waits_for_room = False
        self._resume_if_room()

    def _resume_if_room(self) -> None:
        if self._failure is not None or self._producer is None:
            return
        if self._share.has_room():
            if self._paused:
                self._paused = False
                self._producer.resumeProducing()
        else:
            self._pause()

    def _finish_if_idle(self) -> None:
        if self._done is None or not self.idle or not (self.complete or self._failure):
            return
        done, self._done = self._done, None
        if self._failure is not None:
            done.errback(self._failure)
        else:
            done.callback(None)


def _look_at_nothing(piece: Piece) -> None:
    """Does nothing: the bytes are not inspected."""
