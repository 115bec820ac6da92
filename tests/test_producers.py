"""The contract of push producers, for each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.client.producers import DigestingProducer
from imgsvc.model import Span
from imgsvc.pipeline.budget import SMALLEST_BLOCK, Budget
from imgsvc.producers import PushProducer
from imgsvc.remote.fetch import Fetcher, FetchLimits
from imgsvc.remote.guard import Guard, GuardRules
from imgsvc.stores.readahead import ReadAhead
from imgsvc.web.body import BodySource, RequestBody
from tests.support.network import PIECE, Network, WebSite

NUMBER = 4
"""The least number of pieces that each producer writes."""
Act = Callable[["Consumer"], None]


class Consumer:
    """Keeps its calls in order, and does something within each write, by the number of the write.

    It asserts that nothing is written while it has paused its producer, within another write, or after the end.
    """

    def __init__(self, producer: PushProducer, acts: dict[int, Act] | None = None) -> None:
        self.producer = producer
        self.told: list[str] = []
        self.data = b""
        self.writes = 0
        self._acts = acts or {}
        self._paused = False
        self._writing = False
        self._ended = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert producer is self.producer and streaming
        self.told.append("register")

    def unregisterProducer(self) -> None:
        assert not self._writing
        self.told.append("unregister")

    def write(self, data: bytes) -> None:
        assert not (self._paused or self._writing or self._ended), "written to at the wrong time"
        assert "unregister" not in self.told
        self._writing = True
        self.data += data
        self.writes += 1
        self._acts.get(self.writes, lambda consumer: None)(self)
        self._writing = False

    def pause(self) -> None:
        self._paused = True
        self.producer.pauseProducing()

    def resume(self) -> None:
        self._paused = False
        self.producer.resumeProducing()

    def bounce(self) -> None:
        self.pause()
        self.resume()

    def stop(self) -> None:
        self._ended = True
        self.producer.stopProducing()


class Early(Consumer):
    """Does something when the producer registers."""

    def __init__(self, producer: PushProducer, act: Act) -> None:
        super().__init__(producer)
        self._act = act

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self._act(self)


class PiecesProducer(PushProducer):
    """The smallest possible producer."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = deque(pieces)
        self.cleared = 0
        self.asked: list[str] = []

    def fail(self) -> None:
        """The source fails."""
        self._end(Failure(OSError()))

    def _next(self) -> bytes | None:
        return self._pieces.popleft() if self._pieces else None

    def _is_over(self) -> bool:
        return not self._pieces

    def _pause_source(self) -> None:
        self.asked.append("pause")

    def _resume_source(self) -> None:
        self.asked.append("resume")

    def _clear(self) -> None:
        self.cleared += 1


class Connection(BodySource):
    """A connection that accepts its calls."""

    def pause_body(self) -> None:
        pass

    def resume_body(self) -> None:
        pass

    def send_continue(self) -> None:
        pass


class BytesSource:
    """A source of the client's."""

    name = "bytes"

    def __init__(self, pieces: list[bytes]) -> None:
        self.size: int | None = sum(map(len, pieces))
        self._pieces = deque(pieces)

    def read(self, offset: int) -> Deferred[bytes]:
        return succeed(self._pieces.popleft() if self._pieces else b"")


class ContractTests(SynchronousTestCase):
    """The contract of `PushProducer`. Each test makes a producer of each class, as often as it needs."""

    def setUp(self) -> None:
        self.pieces = [bytes([number]) * PIECE for number in range(1, NUMBER + 1)]
        self.network = Network()
        self.network.names["images.test"] = ["93.184.215.14"]

    def pieces_producer(self) -> PushProducer:
        return PiecesProducer(self.pieces)

    def request_body(self) -> PushProducer:
        body = RequestBody(Connection(), None, False)
        for piece in self.pieces:
            body.data_received(piece)
        body.all_received()
        return body

    def read_ahead(self) -> PushProducer:
        self.pieces = [bytes([number]) * SMALLEST_BLOCK for number in range(1, NUMBER + 1)]
        data = b"".join(self.pieces)

        def read(offset: int, size: int) -> Deferred[bytes]:
            return succeed(data[offset : offset + size])

        return ReadAhead("store", read, lambda: None, Span(0, len(data)), Budget(4 * SMALLEST_BLOCK))

    def remote_response(self) -> PushProducer:
        self.network.servers["93.184.215.14", 80] = WebSite({"/disk": b"".join(self.pieces)})
        fetcher = Fetcher(self.network, Guard(GuardRules(), "x"), FetchLimits(timeout=10, redirects=0))
        asking = Deferred.fromCoroutine(fetcher.open("GET", "http://images.test/disk", {}))
        self.network.advance(0)
        return self.successResultOf(asking)

    def digesting(self) -> PushProducer:
        return DigestingProducer(BytesSource(self.pieces), lambda function, *given: succeed(function(*given)))

    def run_each(self, test: Callable[[PushProducer], None]) -> None:
        """Run a test for a producer of each class."""
        for make in (self.pieces_producer, self.request_body, self.read_ahead, self.remote_response, self.digesting):
            test(make())

    def start(self, consumer: Consumer) -> Deferred[None]:
        """Start the producer, and let everything go on that can."""
        done = consumer.producer.startProducing(consumer)  # type: ignore[arg-type]  # a consumer by its methods
        self.network.advance(0)
        return done

    def go_on(self, act: Callable[[], None]) -> None:
        """Do something, and let everything go on that can."""
        act()
        self.network.advance(0)

    def assert_whole(self, consumer: Consumer, done: Deferred[None]) -> None:
        """Everything was written, and the end was reported once."""
        self.successResultOf(done)
        self.assertEqual(consumer.data, b"".join(self.pieces))
        self.assertGreaterEqual(consumer.writes, NUMBER)
        self.assertEqual(consumer.told, ["register", "unregister"] if consumer.producer.registers else [])

    def assert_stopped(self, consumer: Consumer, done: Deferred[None]) -> None:
        """The end was not reported to the consumer, but to a caller that waits."""
        if consumer.producer.tells_of_stop:
            self.failureResultOf(done, CancelledError)
        else:
            self.assertNoResult(done)
        self.assertNotIn("unregister", consumer.told)

    def test_interface(self) -> None:
        """Each class is a push producer."""
        self.run_each(lambda producer: self.assertTrue(verifyObject(IPushProducer, producer)))

    def test_whole(self) -> None:
        """A consumer that never pauses gets everything, and one registration."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer)
            self.assert_whole(consumer, self.start(consumer))

        self.run_each(test)

    def test_pause_within_write(self) -> None:
        """A consumer that pauses at each write gets the next piece when it resumes, and not before."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, dict.fromkeys(range(1, 100), Consumer.pause))
            done = self.start(consumer)
            for number in range(1, NUMBER):
                self.assertEqual(consumer.writes, number)
                self.assertNoResult(done)
                self.go_on(consumer.resume)
            while not done.called:
                self.go_on(consumer.resume)
            self.assert_whole(consumer, done)

        self.run_each(test)

    def test_pause_and_resume_within_write(self) -> None:
        """No write begins within another, and nothing hangs after it."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, dict.fromkeys(range(1, 100), Consumer.bounce))
            self.assert_whole(consumer, self.start(consumer))

        self.run_each(test)

    def test_resume_within_write(self) -> None:
        """A resume without a pause has no effect."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, dict.fromkeys(range(1, 100), Consumer.resume))
            self.assert_whole(consumer, self.start(consumer))

        self.run_each(test)

    def test_stop_within_write(self) -> None:
        """After a stop nothing is written, and the consumer is not told anything."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, {2: Consumer.stop})
            done = self.start(consumer)
            self.assert_stopped(consumer, done)
            for act in (producer.resumeProducing, producer.pauseProducing, producer.stopProducing):
                self.go_on(act)
            self.assertEqual(consumer.writes, 2)

        self.run_each(test)

    def test_resume_after_stop(self) -> None:
        """A producer that was stopped while paused stays stopped."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, {1: Consumer.pause})
            done = self.start(consumer)
            self.go_on(consumer.stop)
            self.assert_stopped(consumer, done)
            self.go_on(consumer.resume)
            self.assertEqual(consumer.writes, 1)

        self.run_each(test)

    def test_pause_within_registration(self) -> None:
        """A consumer that pauses before the first write gets nothing until it resumes."""

        def test(producer: PushProducer) -> None:
            consumer = Early(producer, Consumer.pause)
            done = self.start(consumer)
            if producer.registers:
                self.assertEqual(consumer.writes, 0)
                self.assertNoResult(done)
                self.go_on(consumer.resume)
            self.assert_whole(consumer, done)

        self.run_each(test)

    def test_stop_within_registration(self) -> None:
        """A consumer that stops its producer before the first write gets nothing."""

        def test(producer: PushProducer) -> None:
            if producer.registers:
                consumer = Early(producer, Consumer.stop)
                self.assert_stopped(consumer, self.start(consumer))
                self.assertEqual(consumer.writes, 0)

        self.run_each(test)

    def test_calls_after_the_end(self) -> None:
        """Calls after the end have no effect."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer)
            done = self.start(consumer)
            for act in (producer.pauseProducing, producer.resumeProducing, producer.stopProducing):
                self.go_on(act)
            self.assert_whole(consumer, done)

        self.run_each(test)

    def test_cancel(self) -> None:
        """Cancelling the wait stops the producer."""

        def test(producer: PushProducer) -> None:
            consumer = Consumer(producer, {1: Consumer.pause})
            done = self.start(consumer)
            done.cancel()
            self.failureResultOf(done, CancelledError)
            self.go_on(consumer.resume)
            self.assertEqual(consumer.writes, 1)
            self.assertNotIn("unregister", consumer.told)

        self.run_each(test)


class BaseTests(SynchronousTestCase):
    """The calls between the base class and its subclass."""

    def test_source(self) -> None:
        """The source learns of a pause at once, and of a resume after everything available was written."""
        producer = PiecesProducer([b"a", b"b", b"c"])
        consumer = Consumer(producer, {1: Consumer.pause, 2: Consumer.bounce, 3: Consumer.pause})
        producer.startProducing(consumer)  # type: ignore[arg-type]
        self.assertEqual(producer.asked, ["pause"])
        consumer.resume()
        self.assertEqual(producer.asked, ["pause", "pause", "pause"])

    def test_source_goes_on(self) -> None:
        """A source that was paused and resumed within a write is resumed once, after the write."""
        producer = PiecesProducer([b"a", b"b"])
        consumer = Consumer(producer, {1: Consumer.bounce})
        producer.startProducing(consumer)  # type: ignore[arg-type]
        self.assertEqual(producer.asked, ["pause", "resume"])
        producer = PiecesProducer([b"a", b"b"])
        producer.startProducing(Consumer(producer, {1: Consumer.resume}))  # type: ignore[arg-type]
        self.assertEqual(producer.asked, [])

    def test_failure(self) -> None:
        """A failure is reported once, and later calls have no effect."""
        producer = PiecesProducer([b"a", b"b"])
        consumer = Consumer(producer, {1: Consumer.pause})
        done = producer.startProducing(consumer)  # type: ignore[arg-type]
        producer.fail()
        producer.fail()
        self.failureResultOf(done, OSError)
        consumer.resume()
        self.assertEqual((consumer.data, consumer.told), (b"a", ["register", "unregister"]))

    def test_stopped_before(self) -> None:
        """A producer that is stopped before it starts does not register, and releases what it owns."""
        producer = PiecesProducer([b"a"])
        producer.stopProducing()
        consumer = Consumer(producer)
        self.failureResultOf(producer.startProducing(consumer), CancelledError)  # type: ignore[arg-type]
        self.assertEqual(consumer.told, [])
        self.assertGreater(producer.cleared, 0)
