"""The response of a remote server, with its body as a producer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from imgsvc.errors import RemoteUnavailable
from imgsvc.producers import PushProducer
from imgsvc.response_body import ResponseBody


class RemoteResponse(PushProducer):
    """One response. The caller always ends it with stopProducing, which closes the connection.

    length: bytes of its body; None if the server does not say. Holds no more than one read of the connection brought:
    while the consumer waits, the connection is not read, and the server has to wait.
    """

    def __init__(self, clock: Any, response: IResponse, timeout: float, abort: Callable[[], None]) -> None:
        """timeout: seconds that may pass between two pieces of the body. abort: ends the connection."""
        super().__init__()
        self.status: int = response.code
        self.length: int | None = None if response.length is UNKNOWN_LENGTH else response.length
        self._response = response
        self._abort = abort
        self._body = ResponseBody(clock, timeout, self.received, self.ended)
        self._expected = self.length
        self._received = 0
        self._waiting: deque[bytes] = deque()
        self._complete = False

    def header(self, name: str) -> str | None:
        """The last value of a header of the response, decoded as Latin-1; None if there is no such header."""
        values = self._response.headers.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("latin-1") if values else None

    def expect(self, length: int) -> None:
        """Set the length that the body must have, in bytes. It counts also when the server declares no length."""
        self._expected = length

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the body to `consumer`. To be called once.

        The Deferred fires when the last byte was written. It fails with RemoteUnavailable when the body breaks off,
        stalls, or does not have the expected length; with CancelledError after stopProducing.
        """
        return super().startProducing(consumer)

    # --- called by the body

    def received(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._received += len(data)
        if self._expected is not None and self._received > self._expected:
            self._end(Failure(RemoteUnavailable("Its body is longer than it must be.")))
            return
        self._waiting.append(data)
        self._advance()
        if self._paused:  # Twisted resumes its transport when the delivery begins, even if it was paused in between
            self._body.pause()

    def ended(self, failure: Failure | None) -> None:
        """Take the end of the body. failure: why it broke off; None: it is whole."""
        self._complete = True
        if failure is not None or (self._expected is not None and self._received != self._expected):
            self._failure = Failure(RemoteUnavailable("Its body breaks off."))
        self._advance()

    # --- inside

    def _begin(self) -> None:
        self._response.deliverBody(self._body)
        if self._flows:
            self._body.watch()

    def _next(self) -> bytes | None:
        return self._waiting.popleft() if self._waiting else None

    def _is_over(self) -> bool:
        return self._complete and not self._waiting

    def _pause_source(self) -> None:
        self._body.pause()

    def _resume_source(self) -> None:
        self._body.resume()

    def _clear(self) -> None:
        self._waiting.clear()
        self._body.end()
        self._abort()
