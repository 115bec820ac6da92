"""The current request, across waits, threads and callbacks."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imgsvc.context import (
    begin,
    bound,
    current_request,
    headers_for_services,
    lift_deadline,
    seconds_left,
    working_for,
)
from imgsvc.hashing import Piece
from imgsvc.model import Caller, RequestContext, Span
from imgsvc.pipeline.budget import Budget
from imgsvc.pipeline.intake import Intake
from imgsvc.shield import shielded
from imgsvc.stores.readahead import ReadAhead
from imgsvc.threads import ReactorThreads

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FIRST, SECOND = (RequestContext(f"req-{number}", Caller()) for number in (1, 2))


def _request_id() -> str | None:
    request = current_request()
    return None if request is None else request.request_id


class ContextTests(SynchronousTestCase):
    """Coroutines and callbacks."""

    def test_coroutines(self) -> None:
        """Two coroutines that wait for each other keep their own requests, and so do the functions that they call."""
        seen: list[tuple[str, str | None]] = []
        gates: list[Deferred[None]] = [Deferred(), Deferred()]

        async def deeper(name: str) -> None:
            seen.append((name, _request_id()))

        async def work(request: RequestContext, gate: Deferred[None]) -> None:
            begin(request)
            await gate
            await deeper(request.request_id)
            Deferred.fromCoroutine(deeper(request.request_id))

        for request, gate in zip((FIRST, SECOND), gates, strict=True):
            Deferred.fromCoroutine(work(request, gate))
        for gate in reversed(gates):
            gate.callback(None)
        self.assertEqual(seen, [("req-2", "req-2"), ("req-2", "req-2"), ("req-1", "req-1"), ("req-1", "req-1")])
        self.assertIsNone(current_request())

    def test_bound(self) -> None:
        """A bound function has the request of its binding, and does not change that of its caller."""
        with working_for(FIRST):
            call = bound(_request_id)
        self.assertIsNone(_request_id())
        self.assertEqual(call(), "req-1")
        with working_for(SECOND):
            self.assertEqual(call(), "req-1")
            self.assertEqual(_request_id(), "req-2")
        self.assertIs(bound(_request_id), _request_id, "there is nothing to remember")

    def test_shielded(self) -> None:
        """The disposal of a cancelled call belongs to the request that made the call."""
        seen: list[str | None] = []
        work: Deferred[None] = Deferred()
        with working_for(FIRST):
            answer = shielded(work, dispose=lambda _: seen.append(_request_id()))
        answer.addErrback(lambda _: None).cancel()
        work.callback(None)
        self.assertEqual(seen, ["req-1"])

    def test_intake(self) -> None:
        """The consumers of an upload have its request, although connections and timers call them."""
        seen: list[str | None] = []

        def consume(pieces: list[Piece]) -> Deferred[None]:
            seen.append(_request_id())
            return succeed(None)

        share = Budget(1 << 20).share()
        with working_for(FIRST):
            intake = Intake([consume, consume], share, look=lambda piece: seen.append(_request_id()))
        intake.write(bytes(1 << 20))
        self.assertEqual(seen, ["req-1"] * 3)

    def test_read_ahead(self) -> None:
        """Reads of a download have its request, although the client's connection triggers them."""
        seen: list[str | None] = []

        def read(offset: int, size: int) -> Deferred[bytes]:
            seen.append(_request_id())
            return succeed(bytes(size))

        with working_for(FIRST):
            reader = ReadAhead("local", read, lambda: None, Span(0, 1 << 20), Budget(1 << 20))
        reader.startProducing(StringTransport())
        reader.resumeProducing()
        self.assertEqual(set(seen), {"req-1"})

    def test_headers(self) -> None:
        """A trusted service gets the request's id, and its trace if there is one."""
        self.assertEqual(headers_for_services(), {})
        with working_for(FIRST):
            self.assertEqual(headers_for_services(), {"X-Openstack-Request-Id": "req-1"})
        with working_for(RequestContext("req-3", Caller(), traceparent=TRACE)):
            self.assertEqual(headers_for_services(), {"X-Openstack-Request-Id": "req-3", "traceparent": TRACE})
        for odd in ("req-\x1b[31m", "req-\xe9", "req-a\tb"):  # clients may choose such ids
            with working_for(RequestContext(odd, Caller(), traceparent=TRACE)):
                self.assertEqual(headers_for_services(), {"traceparent": TRACE})

    def test_deadline(self) -> None:
        """The time that is left goes down to 0. Without a request, and after `lift_deadline`, there is no limit."""
        clock = Clock()
        clock.advance(100)
        self.assertIsNone(seconds_left(clock))
        with working_for(FIRST):
            self.assertIsNone(seconds_left(clock))
        with working_for(RequestContext("req-3", Caller(), deadline=110.0)):
            for seconds, left in ((0, 10), (9, 1), (2, 0)):
                clock.advance(seconds)
                self.assertEqual(seconds_left(clock), left)
            lift_deadline()
            self.assertIsNone(seconds_left(clock))
            self.assertEqual(_request_id(), "req-3")
        lift_deadline()
        self.assertIsNone(current_request())


class ThreadTests(TestCase):
    """Calls in threads."""

    async def test_threads(self) -> None:
        """Each call has the request of its caller, or none."""
        threads = ReactorThreads(reactor, "test", 1)
        self.addCleanup(threads.stop)
        calls = []
        for request in (FIRST, None, SECOND):
            with working_for(request):
                calls.append(threads.run(_request_id))
        self.assertEqual(await gatherResults(calls), ["req-1", None, "req-2"])
