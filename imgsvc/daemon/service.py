"""The server as a service of twistd, in the process of twistd itself or in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort

from imgsvc.config import Config
from imgsvc.daemon import collector, descriptors
from imgsvc.daemon.bounded import UNDO_TIME, within
from imgsvc.daemon.listening import ListenEndpoint, listen_endpoints
from imgsvc.daemon.ports import ListeningReactor
from imgsvc.daemon.process import Report, favour_reactor, on_sighup, on_sigterm, start_or_exit, stop
from imgsvc.daemon.reload import Reloading
from imgsvc.daemon.server import Server
from imgsvc.log import LogOutput
from imgsvc.web.site import StreamingSite


def make_service(
    config: Config,
    read: Callable[[], Config],
    data_folder: Path,
    log_output: LogOutput,
    reactor: Any,
    report: Report,
) -> IService:
    """What twistd runs where `server.workers` is 1.

    read: gives the configuration as it is now, for SIGHUP. report: told what becomes of the start. Raises
    ConfigurationError.
    """
    server = Server(config, data_folder, reactor)
    endpoints = listen_endpoints(ListeningReactor(reactor), config.server.listen)
    service = ServerService(server, endpoints, log_output, reactor, report)
    on_sighup(reactor, Reloading(config, read, service))
    return service


class ServerService(Service):
    """Serves at `endpoints` from startService to the end of stopService.

    The first SIGTERM stops the reactor, and so the service; the second lets it not wait for transfers.
    """

    def __init__(
        self, server: Server, endpoints: Sequence[ListenEndpoint], log_output: LogOutput, reactor: Any, report: Report
    ) -> None:
        self._server = server
        self._endpoints = endpoints
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
            for endpoint in self._endpoints:
                ports.append(await endpoint.listen(site))  # those before one that fails are closed
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        return ports

    def reopen_log(self) -> None:
        """See Reloadable."""
        self._log_output.reopen()

    async def reload(self, config: Config) -> None:
        """See Reloadable."""
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Do as this configuration says. Raises ConfigurationError: nothing has changed."""
        contexts = [endpoint.read_certificates() for endpoint in self._endpoints]
        self._server.reload(config)
        for endpoint, context in zip(self._endpoints, contexts, strict=True):
            endpoint.renew(context)

    def stop_now(self) -> None:
        """Of a stop that is under way: do not wait for transfers."""
        self._server.stop_now()

    def _sigterm(self) -> None:
        """Stop at the first one, also if the parent said it already: who signals a group signals both."""
        if self._signalled:
            self.stop_now()
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
