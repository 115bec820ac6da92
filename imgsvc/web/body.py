"""The body of a request, as a producer. It reads nothing from the socket until it is started."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from imgsvc.errors import BodyCut, BodyTooLarge
from imgsvc.producers import PushProducer

SCATTERED = 16
"""If one read brings more pieces, they are joined, because a write for each small chunk would cost more."""


class BodySource(Protocol):
    """The connection that a body comes from."""

    def pause_body(self) -> None:
        """Stop reading from the socket."""

    def resume_body(self) -> None:
        """Read from the socket again."""

    def send_continue(self) -> None:
        """Send `100 Continue`."""


@implementer(IBodyProducer)
class RequestBody(PushProducer):
    """The body of one request. It goes to one consumer, once.

    length: announced bytes, or UNKNOWN_LENGTH. The Deferred of startProducing fails with BodyCut when the connection
    ends first, and with BodyMalformed when the framing is broken.

    The parser only stores its decoded bytes here. `deliver` hands them on after the parser has returned from one read.
    So neither a consumer nor a response runs within the parser.
    """

    tells_of_stop = False

    def __init__(self, source: BodySource, length: int | None, expects_continue: bool) -> None:
        super().__init__()
        self.length: Any = UNKNOWN_LENGTH if length is None else length
        self.complete = length == 0
        self.received = 0
        self._source = source
        self._expects_continue = expects_continue
        self._waiting: deque[bytes] = deque()
        self._source_paused = True
        self._used = False
        self._ended = False

    @property
    def announced(self) -> bool:
        """Whether the request declares a body, by a length over 0 or by a transfer encoding."""
        return self.length is UNKNOWN_LENGTH or self.length > 0

    @property
    def rest(self) -> float:
        """Bytes that have not arrived yet; infinite if the number is unknown, or if they may never be sent."""
        if self.complete:
            return 0
        unknown = self.length is UNKNOWN_LENGTH or self._expects_continue or self._failure is not None
        return float("inf") if unknown else self.length - self.received

    @property
    def expected(self) -> float:
        """Bytes that will probably arrive. A body of unknown length is expected to double."""
        return min(self.rest, self.received) if self.length is UNKNOWN_LENGTH else self.rest

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IBodyProducer. Sends `100 Continue` if the client waits for it."""
        if self._failure is not None:
            return fail(self._failure)
        if self._used:
            raise RuntimeError("this body has been consumed")
        self._used = True
        if self._expects_continue and not self.complete:
            self._expects_continue = False
            if not self.received:
                self._source.send_continue()
        return super().startProducing(consumer)

    def stopProducing(self) -> None:
        """See IBodyProducer. The Deferred of startProducing does not fire, and reading from the socket stops."""
        self._leave_rest()
        super().stopProducing()

    # --- called by the request

    def data_received(self, data: bytes) -> None:
        """Take the next bytes from the parser."""
        self.received += len(data)
        if not self._ended:
            self._waiting.append(data)

    def all_received(self) -> None:
        """Note that the body is complete."""
        self.complete = True

    def lost(self, failure: Failure) -> None:
        """Note that the connection is lost.

        `deliver` fails later, after those who wait for the request's end know it.
        """
        if not self.complete:
            self._failure = self._failure or failure
            self._drop()

    def deliver(self) -> None:
        """Hand on the bytes that have arrived, and the end."""
        self._advance()

    def fail(self, failure: Failure) -> None:
        """End the body with this error, at any point."""
        self._leave_rest()
        self._failure = self._failure or failure
        self._drop()
        self.deliver()

    # ---

    def _next(self) -> bytes | None:
        if len(self._waiting) > SCATTERED:
            joined = b"".join(self._waiting)
            self._waiting.clear()
            return joined
        return self._waiting.popleft() if self._waiting else None

    def _is_over(self) -> bool:
        return self._failure is not None or (self.complete and self._flows)

    def _pause_source(self) -> None:
        self._source.pause_body()

    def _resume_source(self) -> None:
        self._source.resume_body()  # also after the last byte, to notice a lost connection

    def _cancel(self, done: Deferred[None]) -> None:
        if self._failure is not None:  # Klein cancels the handler of a lost request: fail with the reason instead
            self._end(self._failure)
        else:
            self.stopProducing()

    def _leave_rest(self) -> None:
        if not self.complete and self._failure is None:
            self._source.pause_body()

    def _clear(self) -> None:
        self._used = True
        self._drop()

    def _drop(self) -> None:
        self._ended = True
        self._waiting.clear()


@implementer(IConsumer)
class _Gatherer:
    """Collects a body in memory up to a limit. arrived: called with the number of bytes so far."""

    def __init__(self, body: RequestBody, limit: int, arrived: Callable[[int], None]) -> None:
        self._body = body
        self._limit = limit
        self._arrived = arrived
        self.data = bytearray()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer."""

    def unregisterProducer(self) -> None:
        """See IConsumer."""

    def write(self, data: bytes) -> None:
        """See IConsumer."""
        self.data += data
        if len(self.data) > self._limit:
            self._body.fail(Failure(too_large(self._limit)))
        else:
            self._arrived(len(self.data))


async def read_all(body: RequestBody, limit: int, arrived: Callable[[int], None] = lambda size: None) -> bytes:
    """The whole body. arrived: called with the number of bytes so far; may pause the body.

    Raises BodyTooLarge: it is longer than `limit` bytes. Raises BodyCut, BodyMalformed.
    """
    if body.length is not UNKNOWN_LENGTH and body.length > limit:
        raise too_large(limit)
    gatherer = _Gatherer(body, limit, arrived)
    await body.startProducing(gatherer)
    return bytes(gatherer.data)


def too_large(limit: int) -> BodyTooLarge:
    """The error for a body of more than `limit` bytes."""
    return BodyTooLarge(f"The body is longer than {limit} bytes.")


def cut(reason: Any) -> Failure:
    """The Failure for a body whose connection has ended."""
    return Failure(BodyCut(f"The connection ended before the body was complete ({reason.getErrorMessage()})."))
