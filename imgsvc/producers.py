"""The base class of all push producers of imgsvc."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IPushProducer)
class PushProducer:
    """Writes bytes to one consumer, at the pace of the consumer.

    The following holds for all calls of the consumer, including those from within `write` and `registerProducer`:

    - While the consumer has paused the producer, nothing is written.
    - Writes are not nested. A resume within a write causes the next write after that one.
    - After stopProducing the consumer is not called any more. The caller of stopProducing ends the consumer.
    - Otherwise the producer registers with its consumer once, before the first write, and unregisters once, after the
    last.
    - The Deferred of startProducing fires once: with None after the last write, or with the failure of the source.
    After
      stopProducing it fails with CancelledError, or never fires; see `tells_of_stop`.

    A subclass returns the next bytes in `_next`. It calls `_advance` when there are more bytes or the source has ended,
    and `_end` when the source has failed. It overrides the methods "for subclasses" that it needs.
    """

    registers: ClassVar[bool] = True
    """Whether it registers with its consumer. For an IBodyProducer of the client, the consumer does that itself."""
    tells_of_stop: ClassVar[bool] = True
    """Whether the Deferred of startProducing fails after stopProducing. That of an IBodyProducer must not fire."""

    def __init__(self) -> None:
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._paused = False
        self._stopped = False
        self._source_paused = False
        self._advancing = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write all bytes to `consumer`. Call it once.

        The Deferred fires after the last write, or fails with the failure of the source; see also `tells_of_stop`.
        Cancelling it stops the producer.
        """
        done: Deferred[None] = Deferred(self._cancel)
        self._done = done
        if self._stopped:
            self._end(Failure(CancelledError()))
            return done
        self._consumer = consumer
        if self.registers:
            consumer.registerProducer(self, True)
        if self._consumer is not None:  # the consumer has not stopped it
            self._begin()
        return done

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if self._flows:
            self._paused = self._source_paused = True
            self._pause_source()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False
        self._advance()

    def stopProducing(self) -> None:
        """Stop writing. May be called repeatedly, also before startProducing and after the end."""
        if self._stopped:
            return
        self._stopped = True
        self._consumer = None
        if not self.tells_of_stop:
            self._done = None
        self._end(Failure(CancelledError()))

    # --- called by subclasses

    @property
    def _flows(self) -> bool:
        """Whether the consumer wants bytes now."""
        return self._consumer is not None and not self._paused

    def _advance(self) -> None:
        """Write and fetch as much as possible now. A nested call does nothing."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._consumer is not None and (self._write_next() or self._fetch()):
                pass
        finally:
            self._advancing = False
        if self._source_paused and self._flows and self._failure is None:
            self._source_paused = False
            self._resume_source()
        if self._consumer is not None and self._is_over():
            self._end(self._failure)

    def _end(self, failure: Failure | None) -> None:
        """Unregister from the consumer, and fire the Deferred of startProducing. May be called repeatedly."""
        consumer, self._consumer = self._consumer, None
        done, self._done = self._done, None
        self._clear()
        if consumer is not None and self.registers:
            consumer.unregisterProducer()
        if done is None:
            return
        if failure is None:
            done.callback(None)
        else:
            done.errback(failure)

    def _write_next(self) -> bool:
        data = None if self._paused else self._next()
        if data is None or self._consumer is None:
            return False
        self._consumer.write(data)  # the consumer may pause, resume or stop this producer here
        self._wrote(len(data))
        return True

    # --- for subclasses

    def _next(self) -> bytes | None:
        """The next bytes to write; None if there are none now."""
        raise NotImplementedError

    def _is_over(self) -> bool:
        """Whether the producer has ended: all bytes were written, or the source has failed with `_failure`."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Called once, after the registration with the consumer, which may have paused the producer already."""
        self._advance()

    def _fetch(self) -> bool:
        """Ask the source for more bytes, also during a pause. Returns whether that had any effect."""
        return False

    def _wrote(self, size: int) -> None:
        """Called after each write of `size` bytes.

        The consumer may have paused or stopped the producer in that write.
        """

    def _pause_source(self) -> None:
        """Called when the consumer pauses."""

    def _resume_source(self) -> None:
        """Called when the consumer has received all available bytes and wants more."""

    def _cancel(self, done: Deferred[None]) -> None:
        """Called when the Deferred of startProducing is cancelled."""
        self.stopProducing()

    def _clear(self) -> None:
        """Drop the bytes that were not written, and release the source. Called at the end, perhaps repeatedly."""
