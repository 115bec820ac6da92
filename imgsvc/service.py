"""The server as a service of twistd, in the process of twistd itself or in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort

from imgsvc import collector, descriptors
from imgsvc.compose import UNDO_TIME, Server, within
from imgsvc.config import Config
from imgsvc.log import LogOutput
from imgsvc.process import Place, Report, favour_reactor, on_sigterm, start_or_exit, stop
from imgsvc.web.site import StreamingSite


class ServerService(Service):
    """Serves at `places` from startService to the end of stopService.

    The first SIGTERM stops the reactor, and so the service; the second lets it not wait for transfers.
    """

    def __init__(
        self, server: Server, places: Sequence[Place], log_output: LogOutput, reactor: Any, report: Report
    ) -> None:
        self._server = server
        self._places = places
        self._log_output = log_output
        self._reactor = reactor
        self._report = report
        self._started: Deferred[None] | None = None
        self._signalled = False

    def startService(self) -> None:
        """Called before the reactor runs."""
        super().startService()
        self._report.begin()
        self._reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        favour_reactor()
        on_sigterm(self._reactor, self._sigterm)
        self._started = start_or_exit(self._serve(), self._reactor, self._report)

    async def _serve(self) -> None:
        descriptors.raise_limit()
        await self._server.start(self._listen)
        collector.tune()
        self._report.serving()

    async def _listen(self, site: StreamingSite) -> list[IListeningPort]:
        ports: list[IListeningPort] = []
        try:
            for place in self._places:
                ports.append(await place.listen(site))  # those before one that fails are closed
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        return ports

    def reopen_log(self) -> None:
        """See Reloadable."""
        self._log_output.reopen()

    def reload(self, config: Config) -> None:
        """See Reloadable."""
        contexts = [place.read_certificates() for place in self._places]
        self._server.reload(config)
        for place, context in zip(self._places, contexts, strict=True):
            place.renew(context)

    def hasten(self) -> None:
        """Of a stop that is under way: do not wait for transfers."""
        self._server.hasten()

    def _sigterm(self) -> None:
        """Stop at the first one, also if the parent said it already: who signals a group signals both."""
        if self._signalled:
            self.hasten()
        self._signalled = True
        stop(self._reactor)

    def stopService(self) -> Deferred[None]:
        """Called when the reactor stops, which it does when the Deferred has fired."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._started is not None:
            await within(UNDO_TIME, self._started, self._reactor)  # what has not begun cannot be ended
        await self._server.stop()
