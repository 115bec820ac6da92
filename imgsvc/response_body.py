"""Receives the body of another server's response from Twisted's HTTP client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss


class ResponseBody(Protocol, TimeoutMixin):
    """The protocol that receives a body (see IResponse.deliverBody). It can pause the connection.

    timeout: seconds for which the server may send nothing, except during a pause. received: called with each piece.
    ended: called once, with None if the body is complete, as far as that is known, else with the failure, which is
    TimeoutError after the timeout. Neither is called after `end`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        received: Callable[[bytes], None],
        ended: Callable[[Failure | None], None],
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._received = received
        self._ended = ended
        self._over = False

    def callLater(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> IDelayedCall:
        """See TimeoutMixin."""
        return self._clock.callLater(seconds, function, *arguments)

    def watch(self) -> None:
        """Start the timeout: bytes must arrive from now on."""
        if not self._over:
            self.setTimeout(self._timeout)

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

    def _end(self, failure: Failure | None) -> None:
        if not self._over:
            self.end()
            self._ended(failure)

    def timeoutConnection(self) -> None:
        """See TimeoutMixin."""
        self._end(Failure(TimeoutError()))

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        if not self._over:
            self.resetTimeout()
            self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        self._end(None if reason.check(ResponseDone, PotentialDataLoss) else reason)
