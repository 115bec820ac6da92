"""The response of a remote server, with its body as a producer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer

from imgsvc.errors import RemoteUnavailable


@implementer(IPushProducer)
class Answer:
    """One response. The caller always ends it with stopProducing.

    length: bytes of its body; None if the server does not say. Holds no more than one read of the connection brought:
    while
    the consumer waits, the connection is not read, and the server has to wait.
    """

    def __init__(self, clock: Any, response: IResponse, timeout: float, abort: Callable[[], None]) -> None:
        """timeout: seconds that may pass between two pieces of the body. abort: ends the connection."""
        self.status: int = response.code
        self.length: int | None = None if response.length is UNKNOWN_LENGTH else response.length
        self._response = response
        self._abort = abort
        self._body = _Body(self, clock, timeout)
        self._expected = self.length
        self._received = 0
        self._waiting: deque[bytes] = deque()
        self._ended: Failure | None = None
        self._complete = False
        self._paused = False
        self._flushing = False
        self._stopped = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None

    def header(self, name: str) -> str | None:
        """The last value of a header of the response, decoded as Latin-1; None if there is no such header."""
        values = self._response.headers.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("latin-1") if values else None

    def expect(self, length: int) -> None:
        """Set the length that the body must have, in bytes. It counts also when the server declares no length."""
        self._expected = length

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Register with `consumer` as a push producer, write the body to it, and unregister. Call it once.

        The Deferred fires when the last byte was written. It fails with RemoteUnavailable when the body breaks off,
        stalls, or
        does not have the expected length; with CancelledError after stopProducing.
        """
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._done = done
        if self._stopped:
            self._finish(Failure(CancelledError()))
            return done
        self._consumer = consumer
        consumer.registerProducer(self, True)
        if not self._stopped:
            self._response.deliverBody(self._body)
            if not self._paused:
                self._body.watch()
        return done

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True
        self._body.pause()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False
        self._flush()
        if not self._paused:
            self._body.resume()

    def stopProducing(self) -> None:
        """End the response, and close the connection. May be called repeatedly, also without startProducing."""
        if self._stopped:
            return
        self._stopped = True
        self._consumer = None
        self._finish(Failure(CancelledError()))

    # --- called by the body

    def received(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._received += len(data)
        if self._expected is not None and self._received > self._expected:
            self._finish(Failure(RemoteUnavailable("Its body is longer than it must be.")))
            return
        self._waiting.append(data)
        self._flush()
        if self._paused:  # Twisted resumes its transport when the delivery begins, even if it was paused in between
            self._body.pause()

    def ended(self, failure: Failure | None) -> None:
        """Take the end of the body. failure: why it broke off; None: it is whole."""
        self._complete = True
        if failure is not None or (self._expected is not None and self._received != self._expected):
            self._ended = Failure(RemoteUnavailable("Its body breaks off."))
        self._flush()

    # --- inside

    def _flush(self) -> None:
        """Write the waiting bytes, and then the end, until the consumer pauses."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._waiting and not self._paused and self._consumer is not None:
                self._consumer.write(self._waiting.popleft())
        finally:
            self._flushing = False
        if self._complete and not self._waiting:
            self._finish(self._ended)

    def _finish(self, failure: Failure | None) -> None:
        """Close the connection, unregister from the consumer, and fire the Deferred of startProducing."""
        self._waiting.clear()
        self._body.end()
        self._abort()
        done, self._done = self._done, None
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.unregisterProducer()
        if done is None:
            return
        if failure is None:
            done.callback(None)
        else:
            done.errback(failure)


class _Body(Protocol, TimeoutMixin):
    """Receives the body from Twisted's HTTP client."""

    def __init__(self, answer: Answer, clock: Any, timeout: float) -> None:
        self._answer = answer
        self._clock = clock
        self._time = timeout
        self._over = False

    def callLater(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """See TimeoutMixin."""
        return self._clock.callLater(seconds, function, *arguments)

    def watch(self) -> None:
        """Start the timeout: bytes must arrive from now on."""
        if not self._over:
            self.setTimeout(self._time)

    def pause(self) -> None:
        """Stop reading."""
        self.setTimeout(None)
        transport: Any = self.transport
        if transport is not None and not self._over:
            transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        transport: Any = self.transport
        if transport is not None and not self._over:
            self.watch()
            transport.resumeProducing()

    def end(self) -> None:
        """Ignore everything that still arrives."""
        self._over = True
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        """See TimeoutMixin."""
        if not self._over:
            self._over = True
            self._answer.ended(Failure(RemoteUnavailable("It has stopped sending.")))

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        if not self._over:
            self.resetTimeout()
            self._answer.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        if not self._over:
            self._over = True
            self.setTimeout(None)
            self._answer.ended(None if reason.check(ResponseDone, PotentialDataLoss) else reason)
