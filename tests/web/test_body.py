"""Request bodies, with consumers, clients and connections that misbehave."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.errors import BodyCut, BodyTooLarge
from imgsvc.web.body import SCATTERED, BodySource, RequestBody, _Gatherer, cut, read_all

GONE = Failure(ConnectionLost())


class Source(BodySource):
    """A connection that only notes the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_body(self) -> None:
        self.calls.append("pause")

    def resume_body(self) -> None:
        self.calls.append("resume")

    def send_continue(self) -> None:
        self.calls.append("continue")

    @property
    def reads(self) -> bool:
        """Whether the connection was last told to read."""
        states = [call for call in self.calls if call != "continue"]
        return bool(states) and states[-1] == "resume"


@implementer(IConsumer)
class Consumer:
    """Keeps all pieces. At each piece it takes the next of `acts`: None, "pause", "bounce", "stop" or "fail"."""

    def __init__(self, acts: list[str | None] | None = None) -> None:
        self.pieces: list[bytes] = []
        self.producer: Any = None
        self.registrations = 0
        self._acts = list(acts or [])

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming and self.producer is None
        self.producer = producer
        self.registrations += 1

    def unregisterProducer(self) -> None:
        assert self.producer is not None
        self.producer = None

    def write(self, data: bytes) -> None:
        assert self.producer is not None, "written to without a producer"
        self.pieces.append(data)
        act = self._acts.pop(0) if self._acts else None
        if act == "pause":
            self.producer.pauseProducing()
        elif act == "bounce":
            self.producer.pauseProducing()
            self.producer.resumeProducing()
        elif act == "stop":
            self.producer.stopProducing()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class RequestBodyTests(SynchronousTestCase):
    """A RequestBody between a connection and a consumer."""

    def setUp(self) -> None:
        self.source = Source()

    def body(self, length: int | None = 5, expects_continue: bool = False) -> RequestBody:
        return RequestBody(self.source, length, expects_continue)

    def receive(self, body: RequestBody, *pieces: bytes, end: bool = True) -> None:
        """Deliver these pieces as one read of the connection, and the end."""
        for piece in pieces:
            body.data_received(piece)
        if end:
            body.all_received()
        body.deliver()

    def test_interfaces(self) -> None:
        """It is a body producer for treq and twisted.web, and can be paused."""
        body = self.body()
        verifyObject(IBodyProducer, body)
        verifyObject(IPushProducer, body)
        verifyObject(IConsumer, _Gatherer(body, 1, lambda size: None))

    def test_nothing_before_asked(self) -> None:
        """Bytes that arrive with the head wait for a consumer, and the connection is not read meanwhile."""
        body = self.body()
        self.receive(body, b"hello")
        self.assertEqual(self.source.calls, [])
        consumer = Consumer()
        self.assertIsNone(self.successResultOf(body.startProducing(consumer)))
        self.assertEqual(consumer.data, b"hello")
        self.assertIsNone(consumer.producer)

    def test_empty(self) -> None:
        """A body without bytes ends at once."""
        self.successResultOf(self.body(0, expects_continue=True).startProducing(Consumer()))
        self.assertNotIn("continue", self.source.calls)

    def test_continue(self) -> None:
        """100 Continue is sent once, when the body is requested."""
        body = self.body(expects_continue=True)
        self.assertEqual(self.source.calls, [])
        body.startProducing(Consumer())
        self.assertEqual(self.source.calls, ["continue", "resume"])

    def test_no_continue_needed(self) -> None:
        """No 100 Continue is sent if the client has begun to send its body (RFC 9110 section 10.1.1)."""
        body = self.body(expects_continue=True)
        self.receive(body, b"he", end=False)
        body.startProducing(Consumer())
        self.assertNotIn("continue", self.source.calls)

    def test_scattered_pieces_are_joined(self) -> None:
        """Many tiny chunks of one read become one write."""
        body, consumer = self.body(None), Consumer()
        done = body.startProducing(consumer)
        self.receive(body, *[b"x"] * 1000)
        self.successResultOf(done)
        self.assertEqual(consumer.pieces, [b"x" * 1000])

    def test_few_pieces_are_not_copied(self) -> None:
        """A few pieces are passed on without a copy."""
        body, consumer = self.body(None), Consumer()
        body.startProducing(consumer)
        pieces = [bytes([number]) * 9 for number in range(SCATTERED)]
        self.receive(body, *pieces)
        self.assertEqual([id(piece) for piece in consumer.pieces], [id(piece) for piece in pieces])

    def test_end_waits_for_the_consumer(self) -> None:
        """A paused consumer learns of the end after it has resumed and got the last byte."""
        body, consumer = self.body(), Consumer(["pause"])
        done = body.startProducing(consumer)
        self.receive(body, b"he", b"llo")
        self.assertNoResult(done)
        consumer.producer.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(consumer.data, b"hello")

    def test_reads_on_at_the_end(self) -> None:
        """After the last byte the connection is read again, so that its loss is noticed."""
        body, consumer = self.body(), Consumer(["pause"])
        body.startProducing(consumer)
        self.receive(body, b"hello")
        consumer.producer.resumeProducing()
        self.assertTrue(self.source.reads)

    def test_stop(self) -> None:
        """A consumer that stops gets nothing more, the Deferred does not fire, and the rest is not read."""
        body, consumer = self.body(), Consumer(["stop"])
        done = body.startProducing(consumer)
        self.receive(body, b"he", b"l", end=False)
        self.receive(body, b"lo")
        self.assertEqual(consumer.data, b"he")
        self.assertNoResult(done)
        self.assertFalse(self.source.reads)

    def test_silent_after_stop(self) -> None:
        """After a consumer has stopped, its calls have no effect on the connection, which may serve another request."""
        body, consumer = self.body(), Consumer()
        body.startProducing(consumer)
        body.stopProducing()
        self.source.calls.clear()
        body.pauseProducing()
        body.resumeProducing()
        self.assertEqual(self.source.calls, [])

    def test_once(self) -> None:
        """A body can be read once."""
        body = self.body()
        body.startProducing(Consumer())
        self.assertRaises(RuntimeError, body.startProducing, Consumer())
        self.receive(body, b"hello")
        self.assertRaises(RuntimeError, body.startProducing, Consumer())

    def test_lost(self) -> None:
        """A loss fails the Deferred when the body is told of it, and the failure says what was lost."""
        body, consumer = self.body(), Consumer()
        done = body.startProducing(consumer)
        self.receive(body, b"he", end=False)
        body.lost(cut(GONE))
        self.assertNoResult(done)
        body.deliver()
        self.failureResultOf(done, BodyCut)
        self.assertIsNone(consumer.producer)

    def test_lost_before_the_consumer(self) -> None:
        """A route that begins to read after the loss gets the failure."""
        for told in (False, True):
            body = self.body()
            body.lost(cut(GONE))
            if told:
                body.deliver()
            self.failureResultOf(body.startProducing(Consumer()), BodyCut)

    def test_lost_while_paused(self) -> None:
        """Bytes that wait for a paused consumer are dropped when the connection is lost."""
        body, consumer = self.body(), Consumer(["pause"])
        done = body.startProducing(consumer)
        self.receive(body, b"h", b"e", end=False)
        body.lost(cut(GONE))
        body.deliver()
        self.failureResultOf(done, BodyCut)
        self.assertEqual(consumer.data, b"h")

    def test_whole_before_the_loss(self) -> None:
        """A complete body stays complete when the connection ends."""
        body, consumer = self.body(), Consumer(["pause"])
        done = body.startProducing(consumer)
        self.receive(body, b"hel", b"lo")
        body.lost(cut(GONE))
        body.deliver()
        self.assertNoResult(done)
        consumer.producer.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(consumer.data, b"hello")

    def test_cancel(self) -> None:
        """Cancelling the Deferred stops the body, and later bytes are dropped."""
        body, consumer = self.body(), Consumer()
        done = body.startProducing(consumer)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.receive(body, b"hello")
        self.assertEqual(consumer.data, b"")

    def test_cancel_after_the_loss(self) -> None:
        """A route that is cancelled because the client is gone gets that failure."""
        body = self.body()
        done = body.startProducing(Consumer())
        body.lost(cut(GONE))
        done.cancel()
        self.failureResultOf(done, BodyCut)

    def test_fail(self) -> None:
        """`fail` makes the body fail, before or after its last byte."""
        for end in (False, True):
            body, consumer = self.body(), Consumer(["pause"])
            done = body.startProducing(consumer)
            self.receive(body, b"h", b"ello", end=end)
            body.fail(Failure(BodyTooLarge("too large")))
            self.failureResultOf(done, BodyTooLarge)
            self.assertEqual(consumer.data, b"h")
            self.assertFalse(self.source.reads)

    def test_rest(self) -> None:
        """The size of the rest is known if there is a length and the client sends without waiting for 100 Continue."""
        body = self.body()
        self.assertEqual(body.rest, 5)
        self.receive(body, b"he", end=False)
        self.assertEqual(body.rest, 3)
        self.receive(body, b"llo")
        self.assertEqual(body.rest, 0)
        self.assertEqual(self.body(None).rest, float("inf"))
        self.assertEqual(self.body(None).length, UNKNOWN_LENGTH)
        waits = self.body(expects_continue=True)
        self.assertEqual(waits.rest, float("inf"))
        waits.startProducing(Consumer())
        self.assertEqual(waits.rest, 5)
        waits.lost(cut(GONE))
        self.assertEqual(waits.rest, float("inf"))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        reads=st.lists(st.lists(st.binary(min_size=1, max_size=3), max_size=20), max_size=6),
        acts=st.lists(st.sampled_from([None, "pause", "bounce"]), max_size=30),
        early=st.integers(0, 6),
    )
    def test_order(self, reads: list[list[bytes]], acts: list[str | None], early: int) -> None:
        """The consumer gets all bytes in order and one end, however bytes arrive and however the consumer pauses."""
        body, consumer = RequestBody(Source(), None, False), Consumer(acts)
        done: Deferred[None] | None = None
        for number, pieces in enumerate(reads):
            if number == early:
                done = body.startProducing(consumer)
            self.receive(body, *pieces, end=False)
            if done is not None and number % 2:
                body.resumeProducing()
        self.receive(body)
        done = done or body.startProducing(consumer)
        for _ in range(len(acts) + 1):
            body.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(consumer.data, b"".join(b"".join(pieces) for pieces in reads))
        self.assertEqual(consumer.registrations, 1)
        self.assertIsNone(consumer.producer)


class ReadAllTests(SynchronousTestCase):
    """read_all reads a whole body into memory, up to a limit."""

    def setUp(self) -> None:
        self.source = Source()

    def read(self, body: RequestBody, limit: int = 5) -> Deferred[bytes]:
        return Deferred.fromCoroutine(read_all(body, limit))

    def test_whole(self) -> None:
        """A body up to the limit is read whole."""
        body = RequestBody(self.source, None, False)
        reading = self.read(body)
        for piece in (b"he", b"llo"):
            body.data_received(piece)
            body.deliver()
        body.all_received()
        body.deliver()
        self.assertEqual(self.successResultOf(reading), b"hello")

    def test_announced_too_large(self) -> None:
        """A length over the limit is refused before a byte is read, and before 100 Continue."""
        body = RequestBody(self.source, 6, True)
        self.failureResultOf(self.read(body), BodyTooLarge)
        self.assertEqual(self.source.calls, [])

    def test_grows_too_large(self) -> None:
        """A body of unknown length is refused at the first byte over the limit, and the rest is not read."""
        body = RequestBody(self.source, None, False)
        reading = self.read(body)
        body.data_received(b"hello")
        body.deliver()
        self.assertNoResult(reading)
        body.data_received(b"!")
        body.deliver()
        self.failureResultOf(reading, BodyTooLarge)
        self.assertFalse(self.source.reads)

    def test_too_large_at_once(self) -> None:
        """A body that arrives whole with its head, in many pieces, is refused too."""
        body = RequestBody(self.source, None, False)
        for _ in range(SCATTERED):
            body.data_received(b"x")
        body.all_received()
        body.deliver()
        self.failureResultOf(self.read(body), BodyTooLarge)

    def test_cancelled(self) -> None:
        """A cancelled route leaves nothing that could fire later."""
        body = RequestBody(self.source, None, False)
        reading = self.read(body)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        body.lost(cut(GONE))
        body.deliver()
