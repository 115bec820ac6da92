"""What every push producer of imgsvc promises its consumer."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IPushProducer)
class PushProducer:
    """Writes bytes to one consumer as that wants them, and says when all were written.

    These hold whatever the consumer calls, also from within `write` and `registerProducer`:

    - Nothing is written while the consumer has paused the producer.
    - No write begins within another one. What a resume within a write asks for is written after it.
    - After stopProducing the consumer hears nothing more. Who stops a producer ends the consumer.
    - Otherwise it registers with its consumer once, before the first write, and unregisters once, after the last.
    - The Deferred of startProducing fires once: with None after the last write, or with the failure that ended the
      bytes. After stopProducing it fails with CancelledError, or never fires; see `tells_of_stop`.

    A subclass says by `_next` what there is to write. It calls `_advance` when there is more, or no more, and `_end`
    when the bytes cannot go on. It overrides those of the methods "for subclasses" that it needs.
    """

    registers: ClassVar[bool] = True
    """Whether it registers with its consumer. The consumer of an IBodyProducer of the client does that by itself."""
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
        """Write all to `consumer`. To be called once.

        Deferred of None after the last write. Fails with what the bytes end with, and see `tells_of_stop`. Whoever
        cancels it stops the producer.
        """
        done: Deferred[None] = Deferred(self._cancel)
        self._done = done
        if self._stopped:
            self._end(Failure(CancelledError()))
            return done
        self._consumer = consumer
        if self.registers:
            consumer.registerProducer(self, True)
        if self._consumer is not None:  # not stopped by that
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
        """Write nothing more. Any number of times, also before startProducing and after the end."""
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
        """Do all that can be done now. Does nothing if called from within."""
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
        """Tell the consumer, unless it is gone, and the caller that nothing more comes. Any number of times."""
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
        self._consumer.write(data)  # which may pause, resume or stop us
        self._wrote(len(data))
        return True

    # --- for subclasses

    def _next(self) -> bytes | None:
        """The next bytes to write, which the caller writes; None while there are none."""
        raise NotImplementedError

    def _is_over(self) -> bool:
        """Whether the end can be told now: all was written, or `_failure` says why no more comes."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Called once, when the consumer is registered with; it may have paused already."""
        self._advance()

    def _fetch(self) -> bool:
        """Ask the source for more, also while paused. Whether that has changed anything."""
        return False

    def _wrote(self, size: int) -> None:
        """Called after each write of `size` bytes; the consumer may have paused or stopped the producer in it."""

    def _pause_source(self) -> None:
        """Called when the consumer pauses."""

    def _resume_source(self) -> None:
        """Called when the consumer has taken all that there was and wants more."""

    def _cancel(self, done: Deferred[None]) -> None:
        """Called when the Deferred of startProducing is cancelled."""
        self.stopProducing()

    def _clear(self) -> None:
        """Called at the end, and perhaps again: drop what was not written, and let go of the source."""
