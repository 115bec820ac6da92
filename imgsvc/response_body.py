"""The body of an answer of another server, as Twisted's client delivers it."""

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
    """Takes the bytes of a response, see IResponse.deliverBody, and can let the server wait.

    timeout: seconds for which the server may send nothing while it does not wait. received: called with each piece.
    ended: called once, with None when the body is whole, as far as can be told, else with the failure: TimeoutError
    when nothing came for too long. Neither is called after `end`.
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
        """Something must come from now on."""
        if not self._over:
            self.setTimeout(self._timeout)

    def pause(self) -> None:
        """Take nothing for now."""
        self.setTimeout(None)
        transport: Any = self.transport
        if transport is not None and not self._over:
            transport.pauseProducing()

    def resume(self) -> None:
        """Go on."""
        transport: Any = self.transport
        if transport is not None and not self._over:
            self.watch()
            transport.resumeProducing()

    def end(self) -> None:
        """Nothing that still comes counts."""
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
