"""Reads the body of an answer no faster than its caller takes it."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse

from imgsvc.client.errors import TransferInterrupted
from imgsvc.response_body import ResponseBody

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
        self._gatherer = _Gatherer(response, clock, stall_limit)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        block = await self._gatherer.take()
        if not block:
            raise StopAsyncIteration
        return block

    def close(self) -> None:
        """Stop reading and close the connection. May be called several times, also after the end."""
        self._gatherer.close()


class _Gatherer:
    """Collects what arrives into blocks. One caller at a time may wait for a block."""

    def __init__(self, response: IResponse, clock: IReactorTime, stall_limit: float) -> None:
        self._stall_limit = stall_limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._ended = False
        self._failure: Failure | None = None
        self._taker: Deferred[bytes] | None = None
        self._body = ResponseBody(clock, stall_limit, self._received, self._over)
        response.deliverBody(self._body)
        if not self._paused:
            self._body.watch()

    def take(self) -> Deferred[bytes]:
        """Take the next block: a Deferred of bytes, b"" at the end.

        It fails with TransferInterrupted when the body is cut off or stalls.
        """
        taker: Deferred[bytes] = Deferred(lambda _: self.close())
        if self._held >= BLOCK or self._ended:
            self._answer(taker)
        else:
            self._taker = taker
        if self._paused and self._held < BLOCK:
            self._paused = False
            self._body.resume()
        return taker

    def close(self) -> None:
        """See Body."""
        self._taker = None
        self._pieces, self._held = [], 0
        self._end(TransferInterrupted("The answer was not read to its end."))
        self._lose_connection()

    def _received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._taker is not None and self._held >= BLOCK:
            taker, self._taker = self._taker, None
            taker.callback(self._gathered())
        elif self._held >= HIGH_WATER and not self._paused:
            self._paused = True
            self._body.pause()

    def _over(self, failure: Failure | None) -> None:
        """The body has ended."""
        if failure is None:
            self._end(None)
        elif failure.check(TimeoutError):
            self._end(TransferInterrupted(f"The server sent nothing for {self._stall_limit:.0f} seconds."))
            self._lose_connection()
        else:
            self._end(TransferInterrupted("The connection was cut in the middle of the answer."))

    def _end(self, error: TransferInterrupted | None) -> None:
        """Nothing more comes. What is held is still given, and then the error. The first end counts."""
        if self._ended:
            return
        self._ended = True
        self._failure = None if error is None else Failure(error)
        self._body.end()
        taker, self._taker = self._taker, None
        if taker is not None:
            self._answer(taker)

    def _answer(self, taker: Deferred[bytes]) -> None:
        if self._held or self._failure is None:
            taker.callback(self._gathered())
        else:
            taker.errback(self._failure)

    def _gathered(self) -> bytes:
        block = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return block

    def _lose_connection(self) -> None:
        if self._body.transport is not None:
            self._body.transport.loseConnection()
