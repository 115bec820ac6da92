"""Services that run in the background, beside the requests: the reaper and the runner of tasks."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from imgsvc.daemon.bounded import UNDO_TIME, within

__all__ = ["Background"]


class Background(MultiService):
    """Starts its parts in the order in which they were added, and stops them one by one in the opposite order.

    The stop waits at most UNDO_TIME for each part. Any service becomes a part by `setServiceParent`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock

    def add(self, start: Callable[[], None], stop: Callable[[], Deferred[None]]) -> None:
        """Add a part that is not a service.

        start: called when the server begins to serve. stop: stops the part, and fires when it has stopped.
        """
        Part(start, stop).setServiceParent(self)

    def stopService(self) -> Deferred[None]:
        """Stop all parts. Fires when each has stopped or has used up UNDO_TIME."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for part in reversed(list(self)):
            await within(UNDO_TIME, maybeDeferred(part.stopService), self._clock)


class Part(Service):
    """A service that two functions start and stop."""

    def __init__(self, start: Callable[[], None], stop: Callable[[], Deferred[None]]) -> None:
        self._start = start
        self._stop = stop

    def startService(self) -> None:
        """See IService."""
        super().startService()
        self._start()

    def stopService(self) -> Deferred[None]:
        """See IService."""
        super().stopService()
        return self._stop()
