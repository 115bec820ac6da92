"""JSON bodies: the memory that is counted for them, how long they wait for it, and the turns in which they are
parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc.errors import BodyCut, BodyTooLarge, Forbidden, Invalid, Overloaded
from imgsvc.interfaces import IThreads
from imgsvc.pipeline.json_budget import JsonBudget
from imgsvc.web.bodies import ARRIVAL, FEW, LARGEST_JSON, PATIENCE, QUICK, SMALL, JsonBodies
from imgsvc.web.body import RequestBody, cut
from tests.web.test_body import Source
from tests.web.test_turns import Reactor

MIB = 1 << 20


def document(size: int) -> bytes:
    """A JSON object of that many bytes."""
    return b'{"a": "%s"}' % (b"x" * (size - 9))


@implementer(IThreads)
class LaterThreads:
    """Makes a call when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        called: Deferred[Any] = Deferred()
        self.calls.append((lambda: function(*arguments), called))
        return called

    def stop(self) -> None:
        """There is no thread to end."""

    def call(self) -> None:
        """Make the next call."""
        call, called = self.calls.pop(0)
        try:
            result = call()
        except Exception:
            called.errback()
        else:
            called.callback(result)


class BodiesTestCase(SynchronousTestCase):
    """Reads bodies without a server."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.budget = JsonBudget(16 * MIB)
        self.threads = LaterThreads()
        self.bodies = JsonBodies(self.budget, self.threads, self.reactor)
        self.source = Source()
        self.understood: list[Any] = []
        self.go_on: Deferred[None] = Deferred()

    def body(self, length: int | None) -> RequestBody:
        """A body that has not come yet. Its client waits for `100 Continue`."""
        return RequestBody(self.source, length, True)

    def whole(self, data: bytes) -> RequestBody:
        """A body that has come."""
        body = self.body(len(data))
        self.receive(body, data)
        return body

    def receive(self, body: RequestBody, data: bytes, end: bool = True) -> None:
        """Deliver bytes, and the end."""
        body.data_received(data)
        if end:
            body.all_received()
        body.deliver()

    def read(self, body: RequestBody) -> Deferred[Any]:
        """Read a body as a route does. Fires with the document after `go_on` has fired."""

        async def route() -> Any:
            async with self.bodies.read(body, self.understand) as document:
                await self.go_on
                return document

        return Deferred.fromCoroutine(route())

    def understand(self, document: Any) -> Any:
        self.understood.append(document)
        return document

    def turns(self, number: int = 4) -> None:
        """Let the reactor take turns."""
        for _ in range(number):
            self.reactor.turn()

    def end(self, reading: Deferred[Any]) -> Any:
        """Let the route end. Returns the document that it has read."""
        self.go_on.callback(None)
        return self.successResultOf(reading)

    def fill(self) -> Any:
        """Take all memory."""
        return self.successResultOf(self.budget.reserve(self.budget.size))


class MemoryTests(BodiesTestCase):
    """What is counted, and what waits."""

    def test_counted_until_the_end(self) -> None:
        """A body is counted while it arrives, while it is parsed, and until the route has ended."""
        body = self.body(MIB)
        reading = self.read(body)
        self.assertGreaterEqual(self.budget.held, MIB)
        self.receive(body, document(MIB))
        self.turns()
        self.assertEqual(len(self.understood), 1)
        self.assertGreaterEqual(self.budget.held, 2 * MIB)
        self.end(reading)
        self.assertEqual((self.budget.held, self.budget.reservations), (0, set()))

    def test_small_ones_never_wait(self) -> None:
        """A small body, with a length or in chunks, is read even if no memory is left. It is counted too."""
        self.fill()
        data = document(SMALL)
        for length in (SMALL, None):
            body = self.body(length)
            held = self.budget.held
            reading = self.read(body)
            self.assertEqual(self.budget.held, held + SMALL)
            self.receive(body, data)
            self.turns()
            self.assertNoResult(reading)
        self.assertEqual(len(self.understood), 2)
        self.assertEqual(self.source.calls.count("continue"), 2)

    def test_large_one_waits(self) -> None:
        """A large body is requested when there is memory for it."""
        filled = self.fill()
        body = self.body(SMALL + 1)
        reading = self.read(body)
        self.assertEqual(self.source.calls, [])
        filled.close()
        self.assertEqual(self.source.calls[0], "continue")
        self.receive(body, document(SMALL + 1))
        self.turns()
        self.end(reading)

    def test_chunks_wait_when_they_grow(self) -> None:
        """A body of unknown length is paused when it becomes large, until there is memory for it."""
        filled = self.fill()
        body = self.body(None)
        reading = self.read(body)
        self.receive(body, document(2 * SMALL)[: SMALL + 1], end=False)
        self.assertFalse(self.source.reads)
        filled.close()
        self.assertTrue(self.source.reads)
        self.receive(body, document(2 * SMALL)[SMALL + 1 :])
        self.turns()
        self.assertEqual(self.end(reading), json.loads(document(2 * SMALL)))
        self.assertEqual(self.budget.held, 0)

    def test_patience(self) -> None:
        """The wait ends after a time, and leaves nothing behind."""
        filled = self.fill()
        announced, chunks = self.body(MIB), self.body(None)
        first, second = self.read(announced), self.read(chunks)
        self.receive(chunks, document(MIB)[: SMALL + 1], end=False)
        self.reactor.advance(PATIENCE)
        self.failureResultOf(first, Overloaded)
        self.failureResultOf(second, Overloaded)
        self.assertEqual((self.budget.waiting, self.budget.held), (0, filled.size))

    def test_gone(self) -> None:
        """A client that disconnects while its body waits or arrives leaves nothing behind."""
        filled = self.fill()
        waiting, growing, arriving = self.body(MIB), self.body(None), self.body(SMALL)
        readings = [self.read(body) for body in (waiting, growing, arriving)]
        self.receive(growing, document(MIB)[: SMALL + 1], end=False)
        for body in (growing, arriving):
            body.lost(cut(Failure(ConnectionLost())))
        for reading in readings:  # as klein does
            reading.cancel()
        self.failureResultOf(readings[0], CancelledError)
        for reading in readings[1:]:
            self.failureResultOf(reading, BodyCut)
        self.assertEqual((self.budget.waiting, self.budget.held), (0, filled.size))
        filled.close()
        self.assertEqual((self.budget.held, self.reactor.getDelayedCalls()), (0, []))

    def test_gone_before_its_turn(self) -> None:
        """The body of a client that has disconnected is not parsed."""
        reading = self.read(self.whole(document(MIB)))
        self.turns(1)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.turns()
        self.assertEqual((self.understood, self.budget.held), ([], 0))

    def test_refused(self) -> None:
        """A refused body is not counted any more, whether its size or its content is refused."""

        def forbid(document: object) -> None:
            raise Forbidden("no")

        for data, error in (
            (b"x" * MIB, Invalid),
            (b"[" * MIB, Invalid),
            (b"[" + b"1," * 30_000 + b"1]", BodyTooLarge),
            (b"", Invalid),
        ):
            reading = self.read(self.whole(data))
            self.turns()
            self.failureResultOf(reading, error)
        self.understand = forbid  # type: ignore[method-assign]
        reading = self.read(self.whole(document(MIB)))
        self.turns()
        self.failureResultOf(reading, Forbidden)
        self.failureResultOf(self.read(self.body(LARGEST_JSON + 1)), BodyTooLarge)
        self.assertEqual(self.budget.reservations, set())

    def test_slow(self) -> None:
        """A body that does not arrive in time is given up."""
        body = self.body(SMALL)
        reading = self.read(body)
        for byte in document(SMALL)[: int(ARRIVAL) - 1]:
            self.receive(body, bytes([byte]), end=False)
            self.reactor.advance(1)
        self.assertNoResult(reading)
        self.reactor.advance(1)
        self.assertIn("60 seconds", str(self.failureResultOf(reading, BodyCut).value))
        self.assertFalse(self.source.reads)
        self.assertEqual(self.budget.held, 0)


class TurnsTests(BodiesTestCase):
    """When bodies are parsed."""

    def test_large_ones_one_after_the_other(self) -> None:
        """Of many large bodies, one is worked on in each turn of the reactor, one step at a time."""
        self.budget = JsonBudget(1 << 40)
        self.bodies = JsonBodies(self.budget, self.threads, self.reactor)
        readings = [self.read(self.whole(document(QUICK + 1))) for _ in range(3)]
        for turn in range(1, 13):
            self.assertEqual(len(self.understood), min(3, max(0, turn - 7)))
            self.turns(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.understood), 3)
        self.go_on.callback(None)
        for reading in readings:
            self.successResultOf(reading)

    def test_quick_one(self) -> None:
        """A body of the usual size waits for no turn."""
        self.read(self.whole(document(MIB)))
        reading = self.read(self.whole(document(QUICK)))
        self.assertEqual(len(self.understood), 1)
        self.assertEqual(self.end(reading), json.loads(document(QUICK)))

    def test_much(self) -> None:
        """A body with many values is converted in a thread, and counted until the thread has ended."""
        data = b"[" + b"1," * FEW + b"1]"
        for gone in (False, True):
            reading = self.read(self.whole(data))
            self.turns()
            self.assertEqual((len(self.understood), len(self.threads.calls)), (0, 1))
            if gone:
                reading.cancel()
                self.failureResultOf(reading, CancelledError)
            held = self.budget.held
            self.assertGreater(held, len(data))
            self.threads.call()
            self.assertEqual(len(self.understood.pop()), FEW + 1)
            if not gone:
                self.assertEqual(self.budget.held, held)
                self.go_on.callback(None)
                self.successResultOf(reading)
            self.assertEqual(self.budget.held, 0)

    def test_much_that_is_wrong(self) -> None:
        """An error in the thread is raised in the route."""

        def forbid(document: object) -> None:
            raise Forbidden("no")

        self.understand = forbid  # type: ignore[method-assign]
        reading = self.read(self.whole(b"[" + b"1," * FEW + b"1]"))
        self.turns()
        self.threads.call()
        self.failureResultOf(reading, Forbidden)
        self.assertEqual(self.budget.held, 0)

    def test_not_parsed(self) -> None:
        """A body with too many values is refused before it is parsed, so an error in its JSON is not reported."""
        for data in (b"[" * 40 + b"x", b'{"a":' * 40 + b"x", b"[" + b"1," * 20_000 + b"x"):
            reading = self.read(self.whole(data))
            self.turns()
            self.assertNotIn("not JSON", str(self.failureResultOf(reading, Invalid, BodyTooLarge).value))
