"""The server of one process: starts and stops its parts in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort

from imgsvc import __version__
from imgsvc.catalogue import locate, without_password
from imgsvc.config import Config
from imgsvc.daemon.api import make_api
from imgsvc.daemon.bounded import UNDO_TIME, within
from imgsvc.daemon.core import Core
from imgsvc.daemon.descriptors import most_connections
from imgsvc.daemon.listening import address_of
from imgsvc.errors import ConfigurationError
from imgsvc.folders import Folders
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger
from imgsvc.peers import THIS_MACHINE, Peers
from imgsvc.store_model import Scope
from imgsvc.threads import ReactorThreads
from imgsvc.web.access_log import log_access
from imgsvc.web.buffers import BODY_READS
from imgsvc.web.crowd import CrowdLimits
from imgsvc.web.site import AccessLog, StreamingSite

log = make_logger()

Listen = Callable[[StreamingSite], Awaitable[list[IListeningPort]]]


class Server:
    """Serves the API in one process. Call start() and then stop(), once each."""

    def __init__(
        self,
        config: Config,
        data_folder: Path,
        reactor: Any,
        make_threads: Callable[[str, int], IThreads] | None = None,
    ) -> None:
        """data_folder: relative paths of the configuration start from it. reactor: provides IReactorTime and
        IReactorThreads. make_threads: makes a thread pool of a name and a size; None for pools of the reactor.

        Raises ConfigurationError.
        """
        self._config = config
        self._reactor = reactor
        self._database_url = locate(config.database.url, data_folder)
        self._ports: list[IListeningPort] = []
        self._grace = config.server.grace
        self._data_folder = data_folder
        self._folders = Folders()
        self._patient_until = 0.0
        self.core = Core(
            config,
            data_folder,
            reactor,
            make_threads or (lambda name, size: ReactorThreads(reactor, name, size)),
            self._folders,
        )
        self._check_scopes()
        self.site = StreamingSite(
            make_api(config, self.core, data_folder, reactor),
            reactor,
            config.server.idle_timeout,
            limits_of(config),
            config.server.minimum_rate,
            access_log_of(config),
            min(BODY_READS, self.core.budgets.uploads.size // 8),
        )

    def _check_scopes(self) -> None:
        """Several processes cannot share a store whose objects only one of them has. Raises ConfigurationError."""
        workers = self._config.server.workers
        for info in (store.info for store in self.core.stores.every()):
            if workers > 1 and info.scope is Scope.PROCESS:
                raise ConfigurationError(
                    f"server.workers = {workers}: must be 1 with stores.{info.id} of kind {info.kind},"
                    " which keeps images where no other process can read them"
                )

    async def start(self, listen: Listen) -> None:
        """Open the ports, the catalogue and the stores, and then serve.

        listen: opens the ports for a site. A start that fails removes the folders that it has made.

        Raises ConfigurationError, CatalogueUnavailable,
        StoreError.
        """
        self._ports = await listen(self.site)
        try:
            for port in self._ports:
                port.stopReading()  # type: ignore[attr-defined]  # clients that connect already wait in the backlog
            self._make_data_folder()
            await self.core.catalogue.start()
            await self.core.stores.start()
            if self.core.audit is not None:
                self.core.audit.start()
        except BaseException:
            self._folders.undo()
            raise
        self._folders.started(self._data_folder)
        self.core.background.startService()
        for port in self._ports:
            port.startReading()  # type: ignore[attr-defined]
        log.info("digests are computed by {hasher}", hasher=str(self.core.hashing_choice))
        log.info(
            "imgsvc {version} on {addresses}; database {database}; stores {stores}, default {default};"
            " identity {identity}",
            version=__version__,
            addresses=", ".join(address_of(port) for port in self._ports),
            database=without_password(self._database_url),
            stores=", ".join(f"{store.store_id} ({store.info.kind})" for store in self.core.stores.every()),
            default=self.core.stores.default.store_id,
            identity=self._config.identity.mode,
        )

    def _make_data_folder(self) -> None:
        try:
            self._folders.make(self._data_folder)
        except OSError as error:
            raise ConfigurationError(f"--data = {str(self._data_folder)!r}: {error.strerror}") from error

    async def stop(self) -> None:
        """Accept no more connections, give running transfers `server.grace` seconds to finish, and close everything."""
        for port in self._ports:
            await _maybe(port.stopListening())
        self.site.finish_connections()
        await self._until_idle(self._grace)
        self.site.cut_connections()
        await within(UNDO_TIME, Deferred.fromCoroutine(self.core.stop_requests()), self._reactor)
        await self._until_idle(UNDO_TIME)
        await self.core.background.stopService()
        self.core.events.stop()
        for observer in (self.core.audit, self.core.publisher):
            if observer is not None:
                await within(UNDO_TIME, observer.stop(), self._reactor)
        await within(UNDO_TIME, self.core.catalogue.stop(), self._reactor)
        await within(UNDO_TIME, self.core.stores.stop(), self._reactor)
        self.core.digest_scheduler.stop()
        for threads in self.core.threads:
            threads.stop()
        self._folders.close()
        log.info("stopped")

    def reload(self, config: Config) -> None:
        """Use another configuration for new requests. Running requests keep the one that they began with.

        config: differs from the first configuration only in options that can change without a restart.

        Raises ConfigurationError: nothing has changed.
        """
        limits = limits_of(config)
        core = self.core.renewed(config)
        api = make_api(config, core, self._data_folder, self._reactor)
        core.take_over()
        self._config, self.core, self._grace = config, core, config.server.grace
        self.site.renew(api, config.server.idle_timeout, limits, config.server.minimum_rate, access_log_of(config))

    def stop_now(self) -> None:
        """Stop waiting for transfers, during a stop or before it begins."""
        self._grace = 0.0
        self._patient_until = self._reactor.seconds()

    async def _until_idle(self, seconds: float) -> None:
        """Wait until no connection is open and no upload is running, but no longer than `seconds`."""
        self._patient_until = self._reactor.seconds() + seconds
        while (self.site.connections or self.core.uploads.running) and self._reactor.seconds() < self._patient_until:
            pause: Deferred[None] = Deferred()
            self._reactor.callLater(0.05, pause.callback, None)
            await pause
        if self.site.connections or self.core.uploads.running:
            log.warn(
                "{connections} connections and {uploads} uploads did not end in time",
                connections=len(self.site.connections),
                uploads=len(self.core.uploads.running),
            )


def limits_of(config: Config) -> CrowdLimits:
    """The limits on connections. Raises ConfigurationError."""
    server = config.server
    return CrowdLimits(
        most_connections(server.connections),
        server.connections_per_peer,
        Peers((*THIS_MACHINE, *server.proxy_peers), "server.proxy_peers"),
    )


def access_log_of(config: Config) -> AccessLog | None:
    """The function to call with each finished request; None if there is no access log."""
    return log_access if config.server.access_log else None


async def _maybe(result: Any) -> Any:
    return await result if isinstance(result, Deferred) else result
