"""The body of a request, as a producer that reads nothing from the socket before it is asked to."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from imgsvc.errors import BodyCut, BodyTooLarge


class BodySource(Protocol):
    """Where a body comes from: the connection."""

    def pause_body(self) -> None:
        """Read no more from the socket."""

    def resume_body(self) -> None:
        """Read from the socket again."""

    def send_continue(self) -> None:
        """Send `100 Continue`."""


@implementer(IBodyProducer, IPushProducer)
class RequestBody:
    """One request's body, given to one consumer, once.

    length: bytes that were announced, or UNKNOWN_LENGTH. The Deferred of startProducing fails with BodyCut when the
    connection ends first, and with BodyMalformed when the framing is broken.
    """

    def __init__(self, source: BodySource, length: int | None, expects_continue: bool) -> None:
        self.length: Any = UNKNOWN_LENGTH if length is None else length
        self.complete = length == 0
        self.received = 0
        self._source = source
        self._expects_continue = expects_continue
        self._waiting: deque[bytes] = deque()
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._paused = True
        self._discard = False

    @property
    def announced(self) -> bool:
        """Whether the request says that it has a body: a length over 0, or a transfer encoding."""
        return self.length is UNKNOWN_LENGTH or self.length > 0

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IBodyProducer. Sends `100 Continue` if the client waits for it."""
        if self._consumer is not None or self._discard:
            raise RuntimeError("this body has been consumed")
        if self._failure is not None:
            return fail(self._failure)
        self._consumer = consumer
        self._done = done = Deferred(self._cancelled)
        if self._expects_continue and not self.received and not self.complete:
            self._source.send_continue()
        self._paused = False
        consumer.registerProducer(self, True)
        if not self._paused:
            self.resumeProducing()
        return done

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if not self._paused:
            self._paused = True
            self._source.pause_body()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        if self._consumer is None:
            return
        self._paused = False
        while self._waiting and not self._paused:
            self._consumer.write(self._waiting.popleft())
            if self._consumer is None:
                return
        if not self._paused:
            self._source.resume_body()  # also at the end: a lost connection must be noticed
            if self.complete:
                self._fire(None)

    def stopProducing(self) -> None:
        """See IBodyProducer. The Deferred of startProducing does not fire."""
        self._discard, self._consumer, self._done = True, None, None
        self._waiting.clear()

    # --- called by the request

    def data_received(self, data: bytes) -> None:
        """The next bytes from the connection: at most what one recv() held while paused."""
        self.received += len(data)
        if self._discard:
            return
        if self._paused or self._waiting or self._consumer is None:
            self._waiting.append(data)
        else:
            self._consumer.write(data)

    def all_received(self) -> None:
        """The body is whole."""
        self.complete = True
        if not self._paused and not self._waiting:
            self._fire(None)

    def lost(self, failure: Failure) -> None:
        """No more will come. Only noted: `tell` fires, after those who wait for the request's end were told."""
        if not self.complete and self._failure is None:
            self._failure = failure
            self._waiting.clear()

    def tell(self) -> None:
        """Fail the consumer if the body was lost."""
        if self._failure is not None:
            self._fire(self._failure)

    def _cancelled(self, done: Deferred[None]) -> None:
        if self._failure is not None:  # klein cancels the handlers of lost requests: say what was lost instead
            self._fire(self._failure)
        else:
            self.stopProducing()

    def _fire(self, result: Failure | None) -> None:
        consumer, self._consumer = self._consumer, None
        done, self._done = self._done, None
        self._discard = True
        if consumer is not None:
            consumer.unregisterProducer()
        if done is not None:
            done.callback(result)  # type: ignore[arg-type]  # a Failure makes it fail


@implementer(IConsumer)
class _Gatherer:
    """Joins a body in memory up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._producer: Any = None
        self.data = bytearray()
        self.too_large = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self._limit:
            self.too_large = True
            self.data.clear()
            self._producer.pauseProducing()
            raise BodyTooLarge(f"The body is longer than {self._limit} bytes.")
        self.data += data


async def read_all(body: RequestBody, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge over `limit` bytes, BodyCut, BodyMalformed."""
    if body.length is not UNKNOWN_LENGTH and body.length > limit:
        raise BodyTooLarge(f"The body is longer than {limit} bytes.")
    gatherer = _Gatherer(limit)
    await body.startProducing(gatherer)
    return bytes(gatherer.data)


def cut(reason: Any) -> Failure:
    """The Failure for a body whose connection ended."""
    return Failure(BodyCut(f"The connection ended before the body was whole ({reason.getErrorMessage()})."))
