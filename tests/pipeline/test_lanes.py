"""A single consumer of an upload's blocks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.hashing import Piece
from imgsvc.pipeline.lanes import MOST_PIECES, Block, Lane
from tests.pipeline.rigs import ManualLane


def block(*pieces: bytes) -> Block:
    """A block for one lane."""
    return Block(list(pieces), sum(map(len, pieces)), 1)


class LaneTests(SynchronousTestCase):
    """Order, one call at a time, and the end."""

    def setUp(self) -> None:
        self.consumer = ManualLane()
        self.done: list[Block] = []
        self.failures: list[Failure] = []
        self.lane = Lane(self.consumer.consume, self.done.append, self.failures.append)

    def test_at_once(self) -> None:
        """The first block is passed on at once, and released when the call has ended."""
        first = block(b"a", b"b")
        self.lane.put(first)
        self.assertEqual([[b"a", b"b"]], self.consumer.calls)
        self.assertEqual(([], False), (self.done, self.lane.idle))
        self.consumer.finish()
        self.assertEqual(([first], True), (self.done, self.lane.idle))

    def test_one_call_at_a_time(self) -> None:
        """Blocks that come during a call are passed on together in the next one, in order."""
        blocks = [block(b"1"), block(b"2"), block(b"3", b"4")]
        for each in blocks:
            self.lane.put(each)
        self.assertEqual([[b"1"]], self.consumer.calls)
        self.consumer.finish()
        self.assertEqual([[b"1"], [b"2", b"3", b"4"]], self.consumer.calls)
        self.consumer.finish()
        self.assertEqual(blocks, self.done)
        self.assertTrue(self.lane.idle)

    def test_most_pieces(self) -> None:
        """A call gets at most as many pieces as the consumer wants at once, but a block is never split."""
        self.lane.put(block(b"0"))
        for _ in range(3):
            self.lane.put(block(*[b"x"] * (MOST_PIECES - 10)))
        self.lane.put(block(*[b"y"] * (MOST_PIECES + 1)))
        for _ in range(5):
            self.consumer.finish()
        sizes = [len(pieces) for pieces in self.consumer.calls]
        self.assertEqual([1, *[MOST_PIECES - 10] * 3, MOST_PIECES + 1], sizes)

    def test_failure(self) -> None:
        """A failure is reported once. All blocks are released, and later ones too, without a call."""
        blocks = [block(b"1"), block(b"2")]
        for each in blocks:
            self.lane.put(each)
        self.consumer.finish(Failure(ZeroDivisionError()))
        late = block(b"3")
        self.lane.put(late)
        self.assertEqual([ZeroDivisionError], [failure.type for failure in self.failures])
        self.assertEqual(1, len(self.consumer.calls))
        self.assertEqual(3, len(self.done))
        self.assertTrue(self.lane.idle)

    def test_raises(self) -> None:
        """A consumer that raises an error counts as failed."""

        def consume(pieces: list[Piece]) -> Deferred[None]:
            raise ZeroDivisionError

        lane = Lane(consume, self.done.append, self.failures.append)
        lane.put(block(b"1"))
        self.assertEqual([ZeroDivisionError], [failure.type for failure in self.failures])
        self.assertEqual((1, True), (len(self.done), lane.idle))

    def test_stop(self) -> None:
        """A stopped lane drops waiting blocks. The running call ends, and its failure is ignored."""
        blocks = [block(b"1"), block(b"2")]
        for each in blocks:
            self.lane.put(each)
        self.lane.stop()
        self.assertEqual(([blocks[1]], False), (self.done, self.lane.idle))
        self.consumer.finish(Failure(ZeroDivisionError()))
        self.assertEqual((2, [], True), (len(self.done), self.failures, self.lane.idle))
        self.assertEqual(1, len(self.consumer.calls))

    def test_work_first(self) -> None:
        """The next call begins before the last blocks are released, because the release may bring more blocks."""
        order: list[str] = []
        lane = Lane(
            lambda pieces: (order.append("call"), self.consumer.consume(pieces))[1],
            lambda each: order.append("done"),
            self.failures.append,
        )
        lane.put(block(b"1"))
        lane.put(block(b"2"))
        self.consumer.finish()
        self.assertEqual(["call", "call", "done"], order)
