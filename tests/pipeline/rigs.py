"""Producers, lanes and sinks that a test controls."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from imgsvc.hashing import Piece
from imgsvc.interfaces import IResponseSink


class ManualLane:
    """A consumer of blocks that finishes when the test says so, or at once."""

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once
        self.data = bytearray()
        self.calls: list[list[Piece]] = []
        self._working: Deferred[None] | None = None

    def consume(self, pieces: list[Piece]) -> Deferred[None]:
        """Accepts a list of pieces, and refuses a second call meanwhile."""
        assert self._working is None, "a call before the last one was done"
        self.calls.append(list(pieces))
        for piece in pieces:
            self.data += piece
        done: Deferred[None] = Deferred()
        self._working = done
        if self.at_once:
            self.finish()
        return done

    @property
    def working(self) -> bool:
        """Whether a call is running."""
        return self._working is not None

    def finish(self, result: Failure | None = None) -> None:
        """End the running call."""
        done, self._working = self._working, None
        assert done is not None
        done.callback(result)  # type: ignore[arg-type]  # a Failure makes it fail


@implementer(IBodyProducer, IPushProducer)
class Client:
    """Sends when the test says so. What is sent while it is paused waits."""

    length = UNKNOWN_LENGTH

    def __init__(self) -> None:
        self.sent = bytearray()
        self.paused = False
        self.stopped = False
        self.pauses = 0
        self._waiting: deque[bytes] = deque()
        self._ending = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        done: Deferred[None] = Deferred()
        self._done = done
        consumer.registerProducer(self, True)
        return done

    def pauseProducing(self) -> None:
        assert not self.stopped, "paused after it was stopped"
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        assert not self.stopped, "resumed after it was stopped"
        self.paused = False
        self._flow()

    def stopProducing(self) -> None:
        assert not self.stopped, "stopped twice"
        self.stopped = True
        self._waiting.clear()
        self._consumer = self._done = None

    @property
    def open(self) -> bool:
        """Whether it can still send."""
        return self._done is not None and not self._ending

    def send(self, data: bytes) -> None:
        """Send now, or when resumed."""
        self.sent += data
        self._waiting.append(data)
        self._flow()

    def end(self) -> None:
        """End the data."""
        self._ending = True
        self._flow()

    def lose(self, failure: Failure) -> None:
        """Lose the connection."""
        self._waiting.clear()
        self._fire(failure)

    def _flow(self) -> None:
        while self._waiting and not self.paused and self._consumer is not None:
            self._consumer.write(self._waiting.popleft())
        if self._ending and not self._waiting and not self.paused:
            self._fire(None)

    def _fire(self, result: Failure | None) -> None:
        consumer, self._consumer = self._consumer, None
        done, self._done = self._done, None
        if consumer is not None:
            consumer.unregisterProducer()
        if done is not None:
            done.callback(result)  # type: ignore[arg-type]  # a Failure makes it fail


@implementer(IResponseSink)
class Sink:
    """Keeps what is written. transport: the transport that it lends; None: it has no plain socket."""

    def __init__(self, transport: Any = None) -> None:
        self.data = bytearray()
        self.producer: Any = None
        self.started = False
        self.was_cut = 0
        self.counted = 0
        self.took_back: int | None = None
        """Bytes that were counted since the transport was lent."""
        self._transport = transport

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None and streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.started = True
        self.data += data

    @property
    def sent(self) -> int:
        return len(self.data) + self.counted

    def plain_transport(self) -> Any:
        return self._transport

    def lend_transport(self) -> None:
        self.started = True
        self.counted = 0
        self._transport.write(b"headers\r\n")

    def count(self, sent: int) -> None:
        self.counted += sent

    def take_back_transport(self) -> None:
        self.took_back = self.counted

    def cut(self) -> None:
        self.was_cut += 1
        if self._transport is not None:
            self._transport.abortConnection()
