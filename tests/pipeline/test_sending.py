"""Large JSON responses are held no longer than the client needs to read them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import Overloaded
from imgsvc.interfaces import IAnswers
from imgsvc.pipeline.json_budget import SMALL, JsonBudget
from imgsvc.pipeline.sending import SLOWEST, Answers

MIB = 1 << 20


class Sink:
    """Takes what fits, and then pauses the producer, like a transport."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.taken = b""
        self.was_cut = False
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer."""
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self.producer = None

    def write(self, data: bytes) -> None:
        """See IConsumer."""
        self.taken += data
        self.room -= len(data)
        if self.room <= 0:
            self.producer.pauseProducing()

    def cut(self) -> None:
        """See IResponseSink."""
        self.was_cut = True


class AnswersTests(SynchronousTestCase):
    """Tests with a test's clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = JsonBudget(4 * MIB)
        self.answers = Answers(self.budget, self.clock, 60.0)

    def send(self, blocks: list[bytes], sink: Any) -> Deferred[None]:
        """Begin to send, with its own reservation."""
        self.reservation = self.successResultOf(self.answers.reserve(sum(map(len, blocks))))
        return Deferred.fromCoroutine(self.answers.send(blocks, sink, self.reservation))

    def test_interface(self) -> None:
        """It provides its interface."""
        verifyObject(IAnswers, self.answers)

    def test_gives_back(self) -> None:
        """Bytes that the client has taken are not counted any more."""
        sink = Sink()
        blocks = [b"a" * MIB, b"", b"b" * MIB]
        sent = self.send(blocks, sink)
        self.assertEqual([], blocks)
        turns = 0
        while not sent.called:
            self.assertEqual(2 * MIB - len(sink.taken), self.budget.held)
            self.assertLessEqual(len(sink.taken), (turns + 1) * SMALL)
            turns += 1
            sink.producer.resumeProducing()
        self.successResultOf(sent)
        self.assertEqual(b"a" * MIB + b"b" * MIB, sink.taken)
        self.assertIsNone(sink.producer)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.reservation.close()
        self.assertEqual(0, self.budget.held)

    def test_at_once(self) -> None:
        """A transport that takes everything gets everything."""
        sink = Sink(room=10 * MIB)
        self.successResultOf(self.send([b"a" * MIB], sink))
        self.assertEqual(MIB, len(sink.taken))

    def test_stalls(self) -> None:
        """A client that takes nothing for the time-out is cut. One that takes a little now and then is not."""
        sink = Sink()
        sent = self.send([b"a" * 3 * MIB], sink)
        for _ in range(5):
            self.clock.pump([20.0, 20.0])
            sink.producer.resumeProducing()
            self.assertFalse(sink.was_cut)
        self.clock.advance(60.0)
        self.assertTrue(sink.was_cut)
        self.assertNoResult(sent)  # until the connection is lost, and the request cancelled
        sent.cancel()
        self.failureResultOf(sent, CancelledError)

    def test_too_slow(self) -> None:
        """A client that takes a little now and then, but is too slow for the whole, is cut."""
        sink = Sink()
        sent = self.send([b"a" * 64 * SLOWEST], sink)
        seconds = 0
        while not sink.was_cut:
            self.clock.advance(20.0)
            seconds += 20
            if seconds % 40 == 0:
                sink.producer.resumeProducing()
        self.assertTrue(60 + 64 <= seconds <= 60 + 64 + 20, seconds)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)

    def test_waits_too_long(self) -> None:
        """The wait for memory has a limit."""
        held = self.successResultOf(self.answers.reserve(4 * MIB))
        waiting = self.answers.reserve(MIB)
        self.clock.advance(59.0)
        self.assertNoResult(waiting)
        self.clock.advance(2.0)
        self.failureResultOf(waiting, Overloaded)
        self.assertEqual(0, self.budget.waiting)
        waiting = self.answers.reserve(MIB)
        held.close()
        self.successResultOf(waiting).close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_given_up(self) -> None:
        """After the connection is lost nothing is written, and there is no timer."""
        sink = Sink()
        sent = self.send([b"a" * MIB], sink)
        producer, taken = sink.producer, sink.taken
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        producer.resumeProducing()
        self.assertEqual(taken, sink.taken)
        self.assertEqual([], self.clock.getDelayedCalls())
