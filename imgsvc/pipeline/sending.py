"""Sends large JSON responses. Their memory is counted in the budget, and freed as the client receives them."""

from __future__ import annotations

from collections import deque

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from imgsvc.errors import Overloaded
from imgsvc.interfaces import IAnswers, IReservation, IResponseSink
from imgsvc.pipeline.json_budget import SMALL, JsonBudget, Reservation
from imgsvc.pipeline.stall import StallTimer

SLOWEST = 16 << 10
"""Bytes per second. A client has the timeout, and in addition the time that its response takes at this rate. Then it is
cut off, because it holds memory that others wait for.
"""


@implementer(IAnswers)
@define
class Answers:
    """Sends the large responses of a process.

    send_timeout: seconds for which a client may receive nothing, and for which a response waits for memory.
    """

    budget: JsonBudget
    clock: IReactorTime
    send_timeout: float

    def reserve(self, size: int) -> Deferred[IReservation]:
        """See IAnswers."""
        granted = self.budget.reserve(size)
        if not granted.called:
            granted.addTimeout(self.send_timeout, self.clock, _gave_up)
        return granted

    async def send(self, blocks: list[bytes], sink: IResponseSink, reservation: IReservation) -> None:
        """See IAnswers."""
        sending = _Sending(blocks, sink, reservation)
        stall = StallTimer(self.clock, self.send_timeout, sink.cut)
        end = self.clock.callLater(self.send_timeout + sending.left / SLOWEST, sink.cut)
        try:
            await sending.start(stall)
        finally:
            stall.stop()
            if end.active():
                end.cancel()
            sending.stopProducing()


def _gave_up(result: object, seconds: float) -> Reservation:
    raise Overloaded(f"The server has had no memory for a response of this size for {seconds:.0f} seconds.")


@implementer(IPushProducer)
class _Sending:
    """Writes a response at the pace of the transport, and gives back the memory of what is sent.

    left: bytes that are not written yet.
    """

    def __init__(self, blocks: list[bytes], sink: IResponseSink, reservation: IReservation) -> None:
        self._sink = sink
        self._reservation = reservation
        self._blocks = deque(blocks)
        blocks.clear()  # the caller's list would keep all blocks in memory until the end
        self._taken = 0
        self.left = sum(map(len, self._blocks))
        reservation.resize(self.left)
        self._done: Deferred[None] = Deferred()
        self._paused = False
        self._stall: StallTimer | None = None

    def start(self, stall: StallTimer) -> Deferred[None]:
        """Start writing. The Deferred fires when all is written."""
        self._stall = stall
        self._sink.registerProducer(self, True)
        self.resumeProducing()
        return self._done

    def resumeProducing(self) -> None:
        """See IPushProducer. The transport has sent everything that was written before."""
        self._paused = False
        assert self._stall is not None
        self._stall.moved()
        while self._blocks and not self._paused:
            piece = self._blocks[0][self._taken : self._taken + SMALL]
            self._taken += len(piece)
            if self._taken == len(self._blocks[0]):
                self._blocks.popleft()
                self._taken = 0
            self.left -= len(piece)
            self._reservation.resize(self.left)
            self._sink.write(piece)
        if not self._blocks and not self._done.called:
            self._sink.unregisterProducer()
            self._done.callback(None)

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True

    def stopProducing(self) -> None:
        """See IPushProducer. The connection or the response has ended."""
        self._paused = True
        self._blocks.clear()
