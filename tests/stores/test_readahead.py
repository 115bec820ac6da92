"""The producer that reads ahead. The test answers its reads."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import ObjectDamaged, StoreUnavailable
from imgsvc.interfaces import IStoreReader
from imgsvc.model import Span
from imgsvc.pipeline.budget import SMALLEST_BLOCK, Budget
from imgsvc.stores.readahead import ReadAhead
from tests.support.store_contract import Consumer

BLOCK = SMALLEST_BLOCK


class ReadAheadTests(SynchronousTestCase):
    """Blocks of the smallest size, in an object of five and a half of them."""

    def setUp(self) -> None:
        self.budget = Budget(4 * BLOCK)
        self.object = b"".join(bytes([number]) * BLOCK for number in range(6))[: 5 * BLOCK + BLOCK // 2]
        self.asked: list[tuple[int, int, Deferred[bytes]]] = []
        self.closed = 0
        self.consumer = Consumer()
        self.reader = self.make_reader(Span(0, len(self.object)))

    def make_reader(self, span: Span, depth: int = 2) -> ReadAhead:
        def read(offset: int, size: int) -> Deferred[bytes]:
            self.asked.append((offset, size, Deferred()))
            return self.asked[-1][2]

        def close() -> None:
            self.closed += 1

        return ReadAhead("store", read, close, span, self.budget, depth)

    def answer(self, index: int = 0) -> None:
        """Answer one of the running reads."""
        offset, size, answer = self.asked.pop(index)
        answer.callback(self.object[offset : offset + size])

    def test_interface(self) -> None:
        """It provides IStoreReader."""
        verifyObject(IStoreReader, self.reader)

    def test_depth(self) -> None:
        """It requests the next blocks before the first is written, and at most its depth."""
        self.reader.startProducing(self.consumer)
        self.assertEqual([(0, BLOCK), (BLOCK, BLOCK)], [read[:2] for read in self.asked])
        self.answer()
        self.assertEqual(self.object[:BLOCK], self.consumer.data)
        self.assertEqual([BLOCK, 2 * BLOCK], [read[0] for read in self.asked])

    def test_order(self) -> None:
        """Blocks are written in order, in whatever order the reads end."""
        producing = self.make_reader(Span(3, len(self.object) - 3), depth=4).startProducing(self.consumer)
        while self.asked:
            self.answer(len(self.asked) - 1)
        self.assertEqual(self.object[3:], self.consumer.data)
        self.successResultOf(producing)
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))

    def test_pause_bounds_memory(self) -> None:
        """While the consumer is paused, at most the depth is read."""
        self.reader.startProducing(self.consumer)
        self.consumer.pause()
        self.answer()
        self.answer()
        self.assertEqual(([], b""), (self.asked, self.consumer.data))
        self.assertEqual(2 * BLOCK, self.budget.held)
        self.consumer.resume()
        self.assertEqual(self.object[: 2 * BLOCK], self.consumer.data)
        self.assertEqual(2, len(self.asked))

    def test_budget(self) -> None:
        """While others hold the whole budget, one of the smallest blocks at a time is read, and nobody waits
        for others.
        """
        other = self.budget.share()
        other.hold(4 * BLOCK)
        self.reader.startProducing(self.consumer)
        self.assertEqual([(0, BLOCK)], [read[:2] for read in self.asked])
        self.answer()
        self.assertEqual(self.object[:BLOCK], self.consumer.data)
        self.assertEqual([(BLOCK, BLOCK)], [read[:2] for read in self.asked])
        other.free(4 * BLOCK)
        self.answer()
        self.assertEqual([2 * BLOCK, 3 * BLOCK], [read[0] for read in self.asked])

    def test_paused_without_room(self) -> None:
        """For a paused consumer, nothing is read that others may need: half of the budget stays free."""
        other = self.budget.share()
        other.hold(2 * BLOCK)
        self.consumer = Consumer(pausing=True)
        self.reader.startProducing(self.consumer)
        while self.asked:
            self.answer()
        self.assertEqual((BLOCK, 4 * BLOCK), (len(self.consumer.data), self.budget.held))
        self.consumer.resume()
        self.consumer.pause()
        while self.asked:
            self.answer()
        self.assertEqual((2 * BLOCK, 4 * BLOCK), (len(self.consumer.data), self.budget.held))
        other.close()

    def test_dropped(self) -> None:
        """Blocks for a paused consumer are dropped when others need the room, and read again when it resumes."""
        producing = self.reader.startProducing(self.consumer)
        self.consumer.pause()
        self.answer()
        other = self.make_reader(Span(0, len(self.object)))
        hungry = self.budget.share()
        hungry.hold(2 * BLOCK)
        self.assertEqual(4 * BLOCK, self.budget.held)
        wanting = other.startProducing(Consumer())
        self.assertEqual(
            [BLOCK, 0], [read[0] for read in self.asked]
        )  # the second block of the first reader is being read
        self.assertEqual(4 * BLOCK, self.budget.held)
        self.answer()
        self.assertEqual((b"", 3 * BLOCK), (self.consumer.data, self.budget.held))
        other.stopProducing()
        self.failureResultOf(wanting, CancelledError)
        hungry.close()
        self.consumer.resume()
        while self.asked:
            self.answer()
        self.successResultOf(producing)
        self.assertEqual(self.object, self.consumer.data)
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))

    def test_failure_of_what_was_dropped(self) -> None:
        """A read whose block was dropped may fail. It is repeated, and the new result counts."""
        producing = self.reader.startProducing(self.consumer)
        self.consumer.pause()
        self.budget.share().hold(2 * BLOCK)
        self.make_reader(Span(0, 1)).startProducing(Consumer())
        self.asked.pop(0)[2].errback(StoreUnavailable("store", "is away"))
        self.assertNoResult(producing)
        self.consumer.resume()
        self.assertEqual(0, self.asked[-1][0])

    def test_unsent(self) -> None:
        """A block is counted until the consumer has sent it, and the reader ends only then."""

        class Transport(Consumer):
            def write(self, data: bytes) -> None:
                super().write(data)
                self.pause()

        transport = Transport()
        reader = self.make_reader(Span(0, 2 * BLOCK))
        producing = reader.startProducing(transport)
        self.answer()
        self.answer()
        self.assertEqual((BLOCK, 2 * BLOCK), (len(transport.data), self.budget.held))
        transport.resume()
        self.assertEqual((2 * BLOCK, BLOCK), (len(transport.data), self.budget.held))
        self.assertNoResult(producing)
        transport.resume()
        self.successResultOf(producing)
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))

    def test_many_slow_ones(self) -> None:
        """However many clients are slow, all hold at most the budget and a block each."""
        budget = Budget(64 * BLOCK)
        readers = []

        def make() -> ReadAhead:
            return ReadAhead("store", lambda _, size: succeed(bytes(size)), lambda: None, Span(0, 9 * BLOCK), budget)

        for _ in range(200):
            reader = make()
            consumer = Consumer(pausing=True)
            ended = reader.startProducing(consumer)
            readers.append((reader, consumer, ended))
        self.assertTrue(all(consumer.data for _, consumer, _ in readers))
        self.assertLessEqual(budget.held, 64 * BLOCK + 200 * BLOCK)
        fast = Consumer()
        reader = make()
        self.successResultOf(reader.startProducing(fast))
        self.assertEqual(9 * BLOCK, len(fast.data))
        for reader, _, ended in readers:
            reader.stopProducing()
            self.failureResultOf(ended, CancelledError)
        self.assertEqual((0, 0), (budget.held, budget.shares))

    def start_and_stop(self) -> None:
        """Start, and stop while reads are running."""
        producing = self.reader.startProducing(self.consumer)
        self.reader.stopProducing()
        self.failureResultOf(producing, CancelledError)

    def test_stop(self) -> None:
        """A stop closes the object once. Memory is held until the running reads end, and their blocks are dropped."""
        self.start_and_stop()
        self.reader.stopProducing()
        self.assertEqual((1, 2 * BLOCK), (self.closed, self.budget.held))
        self.answer()
        self.answer()
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))
        self.assertEqual(([], b""), (self.asked, self.consumer.data))

    def test_stop_within_write(self) -> None:
        """The consumer may stop the reader within a write."""
        producing = self.reader.startProducing(self.consumer)
        self.consumer.first_write.addCallback(lambda _: self.reader.stopProducing())
        self.answer()
        self.failureResultOf(producing, CancelledError)
        self.assertEqual(self.object[:BLOCK], self.consumer.data)
        self.answer()
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))

    def test_not_closed_at_the_end(self) -> None:
        """The object stays open after the last byte, until the reader is stopped."""
        producing = self.reader.startProducing(self.consumer)
        while self.asked:
            self.answer()
        self.successResultOf(producing)
        self.assertEqual(0, self.closed)
        self.reader.stopProducing()
        self.assertEqual(1, self.closed)

    def test_failed_read(self) -> None:
        """A read that fails ends the production with its error, and the consumer is unregistered."""
        producing = self.reader.startProducing(self.consumer)
        self.asked.pop()[2].errback(StoreUnavailable("store", "is away"))
        self.failureResultOf(producing, StoreUnavailable)
        self.assertIsNone(self.consumer.producer)
        self.answer()
        self.assertEqual((b"", 0, 0), (self.consumer.data, self.budget.held, self.budget.shares))

    def test_short_read(self) -> None:
        """An object that ends early is damaged. The bytes before the end are written, and no more."""
        producing = self.reader.startProducing(self.consumer)
        self.answer()
        self.asked.pop(0)[2].callback(b"short")
        failure = self.failureResultOf(producing, ObjectDamaged)
        self.assertIn(f"byte {BLOCK + 5}", str(failure.value))
        self.assertEqual(self.object[:BLOCK], self.consumer.data)

    def test_many_immediate_reads(self) -> None:
        """Any number of reads that end at once cause no recursion."""
        size = 3000 * BLOCK
        zeros = bytes(BLOCK)
        reader = ReadAhead("store", lambda _, size: succeed(zeros[:size]), lambda: None, Span(0, size), self.budget)

        class Counter(Consumer):
            count = 0

            def write(self, data: bytes) -> None:
                self.count += len(data)
                self.producer.pauseProducing()
                self.producer.resumeProducing()

        counter = Counter()
        self.successResultOf(reader.startProducing(counter))
        self.assertEqual(size, counter.count)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.integers(0, 6 * BLOCK), st.integers(0, 6 * BLOCK), st.lists(st.integers(0, 3)), st.integers(1, 4))
    def test_any_schedule(self, start: int, length: int, steps: list[int], depth: int) -> None:
        """In any order of answers, pauses and resumptions, the span is complete and all memory is released."""
        self.setUp()
        start = min(start, len(self.object))
        span = Span(start, min(length, len(self.object) - start))
        producing = self.make_reader(span, depth).startProducing(self.consumer)
        for step in steps:
            if producing.called:
                break
            if step == 0:
                self.consumer.pause()
            elif step == 1:
                self.consumer.resume()
            elif self.asked:
                self.answer(step % len(self.asked))
        while not producing.called:
            self.consumer.resume()
            if self.asked:
                self.answer()
        self.assertEqual(self.object[span.start : span.stop], self.consumer.data)
        self.assertFalse(self.consumer.written_while_paused)
        self.assertEqual((0, 0), (self.budget.held, self.budget.shares))
