"""Reads the body of an answer no faster than its caller takes it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from imgsvc.client.errors import TransferInterrupted

BLOCK: Final = 256 * 1024
HIGH_WATER: Final = 2 * BLOCK


class Body:
    """The body of one response, as an asynchronous iterator of blocks of about BLOCK bytes.

    It holds at most HIGH_WATER bytes and one read of the transport. Then the server has to wait. The caller must
    iterate it to its end, or close it.

    whole: whether the answer is the whole image and not a range. start: offset in bytes of the first byte in the image.
    total: bytes of the whole image; None if the server does not say. etag: a strong entity tag, or None.
    """

    def __init__(self, response: IResponse, clock: IReactorTime, stall_limit: float) -> None:
        self.whole = True
        self.start = 0
        self.total: int | None = None
        self.etag: str | None = None
        self._receiver = _Receiver(clock, stall_limit)
        response.deliverBody(self._receiver)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        block = await self._receiver.take()
        if not block:
            raise StopAsyncIteration
        return block

    def close(self) -> None:
        """Stop reading and close the connection. May be called several times, also after the end."""
        self._receiver.close()


class _Receiver(Protocol):
    """Collects what arrives into blocks. One caller at a time may wait for a block."""

    def __init__(self, clock: IReactorTime, stall_limit: float) -> None:
        self._clock = clock
        self._stall_limit = stall_limit
        self._stall: IDelayedCall | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._end: Failure | None = None
        self._taker: Deferred[bytes] | None = None

    def connectionMade(self) -> None:
        self._stall = self._clock.callLater(self._stall_limit, self._stalled)

    def dataReceived(self, data: bytes) -> None:
        if self._end is not None:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._stall is not None:
            self._stall.reset(self._stall_limit)
        if self._taker is not None and self._held >= BLOCK:
            taker, self._taker = self._taker, None
            taker.callback(self._gathered())
        elif self._held >= HIGH_WATER:
            self._pause()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._finish(reason)

    def take(self) -> Deferred[bytes]:
        """Take the next block: a Deferred of bytes, b"" at the end.

        It fails with TransferInterrupted when the body is cut off or stalls.
        """
        taker: Deferred[bytes] = Deferred(lambda _: self.close())
        if self._held >= BLOCK or self._end is not None:
            self._answer(taker)
        else:
            self._taker = taker
        if self._held < BLOCK:
            self._resume()
        return taker

    def close(self) -> None:
        transport: Any = self.transport
        self._taker = None
        self._pieces, self._held = [], 0
        self._finish(Failure(TransferInterrupted("The answer was not read to its end.")))
        if transport is not None:
            transport.loseConnection()

    def _gathered(self) -> bytes:
        block = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return block

    def _answer(self, taker: Deferred[bytes]) -> None:
        if self._held or self._end is None or self._end.check(ResponseDone, PotentialDataLoss):
            taker.callback(self._gathered())
        elif self._end.check(TransferInterrupted):
            taker.errback(self._end)
        else:
            taker.errback(Failure(TransferInterrupted("The connection was cut in the middle of the answer.")))

    def _finish(self, reason: Failure) -> None:
        if self._end is not None:
            return
        self._end = reason
        self._stop_watching()
        taker, self._taker = self._taker, None
        if taker is not None:
            self._answer(taker)

    def _stalled(self) -> None:
        self._stall = None
        transport: Any = self.transport
        self._finish(Failure(TransferInterrupted(f"The server sent nothing for {self._stall_limit:.0f} seconds.")))
        transport.loseConnection()

    def _stop_watching(self) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            stall.cancel()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._stop_watching()
            transport: Any = self.transport
            transport.pauseProducing()

    def _resume(self) -> None:
        if self._paused and self._end is None:
            self._paused = False
            self.connectionMade()
            transport: Any = self.transport
            transport.resumeProducing()
