"""The server as a Twisted service, in the process of twistd or in a worker."""

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
    """The service that twistd runs if `server.workers` is 1.

    read: reads the configuration again, at SIGHUP. data_folder: relative paths of the configuration start from it.
    report: receives the outcome of the start.

    Raises ConfigurationError.
    """
    server = Server(config, data_folder, reactor)
    endpoints = listen_endpoints(ListeningReactor(reactor), config.server.listen)
    service = ServerService(server, endpoints, log_output, reactor, report)
    on_sighup(reactor, Reloading(config, read, service))
    return service


class ServerService(Service):
    """Serves at `endpoints` from startService to the end of stopService.

    The first SIGTERM stops the reactor, and so the service. The second makes the stop no longer wait for transfers.
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
        """See IService. Called before the reactor runs."""
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
                ports.append(await endpoint.listen(site))  # if one fails, those opened before are closed below
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
        """Use this configuration from the next request on. Raises ConfigurationError: nothing has changed."""
        contexts = [endpoint.read_certificates() for endpoint in self._endpoints]
        self._server.reload(config)
        for endpoint, context in zip(self._endpoints, contexts, strict=True):
            endpoint.renew(context)

    def stop_now(self) -> None:
        """Stop waiting for transfers, during a stop or before it begins."""
        self._server.stop_now()

    def _sigterm(self) -> None:
        """Stop at the first SIGTERM, even after the parent's `stop`: a signal to the group reaches both processes."""
        if self._signalled:
            self.stop_now()
        self._signalled = True
        stop(self._reactor)

    def stopService(self) -> Deferred[None]:
        """See IService. The reactor stops when the Deferred has fired."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._started is not None:
            await within(UNDO_TIME, self._started, self._reactor)  # a part that is still starting cannot be stopped
        await self._server.stop()
