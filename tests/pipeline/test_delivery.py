"""The bytes of a store's reader are sent to a client through this process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.errors import ObjectDamaged, StoreUnavailable
from imgsvc.interfaces import IFileBacked, IResponseSink
from imgsvc.model import Span
from imgsvc.pipeline.budget import MIB, Budget
from imgsvc.pipeline.delivery import SMALL, Delivery, _WatchedSink
from imgsvc.pipeline.stall import StallTimer
from imgsvc.stores.readahead import ReadAhead
from tests.pipeline.rigs import Sink

DATA = bytes(range(251)) * 20_000
WHOLE = Span(0, len(DATA))


class DeliveryTestCase(SynchronousTestCase):
    """A delivery, a sink, and readers of DATA."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.delivery = Delivery(self.clock, 10.0)
        self.sink = Sink()
        self.budget = Budget(MIB)
        self.closed = 0

    def reader(self, span: Span = WHOLE, read: Callable[[int, int], Deferred[bytes]] | None = None) -> ReadAhead:
        """A reader that has its blocks at once, or as `read` gives them."""

        def read_data(offset: int, size: int) -> Deferred[bytes]:
            return succeed(DATA[offset : offset + size])

        return ReadAhead("local", read or read_data, self._close, span, self.budget)

    def send(self, reader: Any) -> Deferred[None]:
        """Begin to send."""
        return Deferred.fromCoroutine(self.delivery.send(reader, self.sink))

    def _close(self) -> None:
        self.closed += 1

    def assert_clean(self) -> None:
        """The reader was closed once, no memory is held, there is no timer, and the sink has no producer."""
        self.assertEqual((1, 0, 0), (self.closed, self.budget.held, self.budget.shares))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertIsNone(self.sink.producer)


class ProduceTests(DeliveryTestCase):
    """Readers that write to the sink."""

    def test_interfaces(self) -> None:
        """The sink of the tests provides IResponseSink, and what is registered with it is a consumer and a producer."""
        verifyObject(IResponseSink, self.sink)
        watched = _WatchedSink(self.sink, StallTimer(self.clock, 1, self.fail))
        verifyObject(IConsumer, watched)
        verifyObject(IPushProducer, watched)

    @settings(derandomize=True, deadline=None, max_examples=40)
    @given(st.integers(0, len(DATA)), st.integers(0, len(DATA)))
    def test_any_span(self, start: int, length: int) -> None:
        """Every span arrives unchanged."""
        self.setUp()
        span = Span(start, min(length, len(DATA) - start))
        self.successResultOf(self.send(self.reader(span)))
        self.assertEqual(DATA[span.start : span.stop], self.sink.data)
        self.assertEqual(0, self.sink.was_cut)
        self.assert_clean()

    def test_pause(self) -> None:
        """A paused sink gets nothing. After it is resumed it gets the rest."""
        blocks: list[tuple[int, int, Deferred[bytes]]] = []

        def read(offset: int, size: int) -> Deferred[bytes]:
            block: Deferred[bytes] = Deferred()
            blocks.append((offset, size, block))
            return block

        sent = self.send(self.reader(read=read))
        self.sink.producer.pauseProducing()
        while blocks:
            offset, size, block = blocks.pop(0)
            block.callback(DATA[offset : offset + size])
        self.assertEqual(b"", self.sink.data)
        self.sink.producer.resumeProducing()
        while blocks:
            offset, size, block = blocks.pop(0)
            block.callback(DATA[offset : offset + size])
        self.successResultOf(sent)
        self.assertEqual(DATA, self.sink.data)
        self.assert_clean()

    def test_stalled(self) -> None:
        """A client that takes nothing for the time-out is cut. The caller that learns of it cancels."""
        pausing = self.sink.write
        self.sink.write = lambda data: (pausing(data), self.sink.producer.pauseProducing())  # type: ignore[method-assign,assignment,return-value]
        sent = self.send(self.reader())
        for _ in range(3):
            self.clock.advance(9)
            self.assertEqual(0, self.sink.was_cut)
            self.sink.producer.resumeProducing()
        self.clock.advance(10)
        self.assertEqual(1, self.sink.was_cut)
        self.assertNoResult(sent)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertLess(len(self.sink.data), len(DATA))
        self.sink.producer = None
        self.assert_clean()

    def test_store_fails(self) -> None:
        """If a store fails after the first byte, the connection is cut, and the error is raised."""

        def read(offset: int, size: int) -> Deferred[bytes]:
            return fail(StoreUnavailable("local", "gone")) if offset else succeed(DATA[:size])

        self.failureResultOf(self.send(self.reader(read=read)), StoreUnavailable)
        self.assertEqual(1, self.sink.was_cut)
        self.assertTrue(0 < len(self.sink.data) < len(DATA))
        self.assert_clean()

    def test_short_object(self) -> None:
        """If an object ends early, the connection is cut and the body is not padded."""
        reader = self.reader(Span(0, len(DATA) + 1))
        self.failureResultOf(self.send(reader), ObjectDamaged)
        self.assertEqual(1, self.sink.was_cut)
        self.assertLessEqual(len(self.sink.data), len(DATA))
        self.assert_clean()

    def test_stopped_by_the_sink(self) -> None:
        """A lost connection raises nothing by itself. The caller that learns of it cancels, and so ends the reader."""
        pausing = self.sink.write
        self.sink.write = lambda data: (pausing(data), self.sink.producer.pauseProducing())  # type: ignore[method-assign,assignment,return-value]
        sent = self.send(self.reader())
        self.sink.producer.stopProducing()
        self.assertNoResult(sent)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.sink.producer = None
        self.assert_clean()


@implementer(IFileBacked)
class BackedReader(ReadAhead):
    """A reader whose bytes are in a file."""

    def __init__(self, fd: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fd, self.offset = fd, arguments[3].start

    def load(self, offset: int, length: int) -> Deferred[None]:
        raise AssertionError("nothing is to be loaded for a reader that produces")


class SmallFileTests(DeliveryTestCase):
    """Spans that are sent with the headers, and files for connections without a plain socket."""

    def setUp(self) -> None:
        super().setUp()
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(DATA)
        self.fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)
        os.read(self.fd, len(DATA))

    def backed(self, span: Span) -> BackedReader:
        """A reader of a span of the file."""

        def read(offset: int, size: int) -> Deferred[bytes]:
            return succeed(os.pread(self.fd, size, offset))

        return BackedReader(self.fd, "local", read, self._close, span, self.budget)

    def test_small(self) -> None:
        """A small span that is in memory is written at once, without a producer."""
        verifyObject(IFileBacked, self.backed(Span(0, 1)))
        for span in (Span(0, 0), Span(0, 1), Span(77, SMALL), Span(len(DATA) - 5, 5)):
            self.closed = 0
            self.sink.data.clear()
            self.successResultOf(self.send(self.backed(span)))
            self.assertEqual(DATA[span.start : span.stop], self.sink.data)
            self.assert_clean()

    def test_large(self) -> None:
        """Without a plain socket a file is sent like any other reader."""
        self.successResultOf(self.send(self.backed(Span(3, len(DATA) - 3))))
        self.assertEqual(DATA[3:], self.sink.data)
        self.assert_clean()

    def test_beyond_the_end(self) -> None:
        """A small span beyond the end of the file is damage, not a shorter body."""
        self.failureResultOf(self.send(self.backed(Span(len(DATA) - 5, 6))), ObjectDamaged)
        self.assertEqual((0, b""), (self.sink.was_cut, self.sink.data))
        self.assert_clean()

    def test_bad_descriptor(self) -> None:
        """If a file cannot be read before the first byte, the error is raised, and the connection is kept."""

        def read(offset: int, size: int) -> Deferred[bytes]:
            return fail(StoreUnavailable("local", os.strerror(errno.EIO)))

        reader = BackedReader(-1, "local", read, self._close, Span(0, 10), self.budget)
        self.failureResultOf(self.send(reader), StoreUnavailable)
        self.assertEqual(0, self.sink.was_cut)
        self.assert_clean()
