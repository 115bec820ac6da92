"""Body: the blocks of a response, and backpressure to the server."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from zope.interface.verify import verifyObject

from imgsvc.client.body import BLOCK, HIGH_WATER, Body
from imgsvc.client.errors import TransferInterrupted


@define
class Response:
    """A response whose body the test delivers."""

    transport: StringTransport
    protocol: Any = None

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.transport)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.response = Response(StringTransport())
        self.body = Body(self.response, self.clock, stall_limit=10)
        self.transport = self.response.transport

    def send(self, size: int, block: int = 65536) -> None:
        for _ in range(0, size, block):
            self.response.protocol.dataReceived(b"x" * block)

    def end(self, reason: BaseException) -> None:
        self.response.protocol.connectionLost(Failure(reason))

    def take(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.__anext__())

    def test_transport(self) -> None:
        """The fake transport is a producer like the real one."""
        self.assertTrue(verifyObject(IPushProducer, self.transport))

    def test_blocks(self) -> None:
        """Small reads are joined, and the rest comes at the end."""
        first = self.take()
        self.send(BLOCK + 65536)
        self.assertEqual(len(self.successResultOf(first)), BLOCK)
        self.end(ResponseDone())
        self.assertEqual(len(self.successResultOf(self.take())), 65536)
        self.failureResultOf(self.take(), StopAsyncIteration)

    def test_back_pressure(self) -> None:
        """While nobody takes blocks, the transport is paused. It is resumed when blocks are taken."""
        self.send(HIGH_WATER)
        self.assertEqual(self.transport.producerState, "paused")
        self.successResultOf(self.take())
        self.assertEqual(self.transport.producerState, "producing")

    def test_waiting_is_no_stall(self) -> None:
        """A paused transport does not count as stalled."""
        self.send(HIGH_WATER)
        self.clock.advance(100)
        self.assertFalse(self.transport.disconnecting)
        self.successResultOf(self.take())
        waiting = self.take()
        self.clock.advance(10)
        self.failureResultOf(waiting, TransferInterrupted)
        self.assertTrue(self.transport.disconnecting)

    def test_bytes_put_off_the_stall(self) -> None:
        """Each byte restarts the time-out."""
        for _ in range(5):
            self.clock.advance(9)
            self.send(1, 1)
        self.assertFalse(self.transport.disconnecting)

    def test_cut(self) -> None:
        """Bytes before a cut are delivered, then the cut is reported."""
        self.send(10, 10)
        self.end(ResponseFailed([Failure(ConnectionLost())]))
        self.assertEqual(len(self.successResultOf(self.take())), 10)
        self.failureResultOf(self.take(), TransferInterrupted)

    def test_close(self) -> None:
        """Closing ends the connection and the timer, any number of times, also after the end."""
        self.body.close()
        self.body.close()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.send(10, 10)
        self.end(ResponseDone())
        self.body.close()

    def test_cancel(self) -> None:
        """Cancelling a wait closes the body."""
        waiting = self.take()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
