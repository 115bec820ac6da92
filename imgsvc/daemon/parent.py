"""The parent of several worker processes. It binds the ports; the workers accept connections from them.

The parent does not import the code that serves, which would take about 35 MiB of memory. So it cannot check the whole
configuration: a worker does, at the start and at each reload, and reports what is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from imgsvc import config as configuration
from imgsvc.config import Config
from imgsvc.daemon.child import COMMAND, FIRST_PORT_FD, LOG_FD, Worker, WorkerEnded
from imgsvc.daemon.listening import ListenEndpoint, address_of, listen_endpoints
from imgsvc.daemon.ports import ListeningReactor
from imgsvc.daemon.process import Report, exit_with, on_sighup, on_sigterm, start_or_exit, stop
from imgsvc.daemon.reload import Reloading
from imgsvc.errors import ConfigurationError
from imgsvc.log import LogOutput
from imgsvc.logger import make_logger

log = make_logger()

SHORT_LIFE = 5.0
"""Seconds. A worker that ends sooner is replaced only after PAUSE."""
PAUSE = 1.0
"""Seconds before such a worker is replaced."""
PATIENCE = 30.0
"""Seconds that a worker may take to accept or refuse another configuration."""
MARGIN = 10.0
"""Seconds that a worker may take to stop, in addition to `server.grace`."""


def make_service(
    config: Config,
    read: Callable[[], Config],
    data_folder: Path,
    log_output: LogOutput,
    reactor: Any,
    report: Report,
) -> IService:
    """The service that twistd runs if `server.workers` is more than 1. For the parameters see service.make_service.

    Raises ConfigurationError.
    """
    endpoints = listen_endpoints(ListeningReactor(reactor), config.server.listen)
    service = ParentService(config, data_folder, log_output, endpoints, reactor, report)
    on_sighup(reactor, Reloading(config, read, service))
    return service


@define(eq=False)
class ParentService(Service):
    """Binds the ports and runs `server.workers` processes that accept connections from them.

    The first worker checks the configuration. When it serves, the parent starts the others; when it cannot serve, the
    parent stops. After that, the parent replaces every worker that ends.
    """

    config: Config
    data_folder: Path
    log_output: LogOutput
    endpoints: Sequence[ListenEndpoint]
    reactor: Any
    report: Report
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _workers: set[Worker] = field(factory=set, init=False)
    _served: bool = field(default=False, init=False)

    def startService(self) -> None:
        """See IService. Called by twistd before the reactor runs."""
        Service.startService(self)
        self.report.begin()
        self.reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        on_sigterm(self.reactor, self._stop_or_stop_now)
        start_or_exit(self._bind(), self.reactor, self.report)

    async def _bind(self) -> None:
        for endpoint in self.endpoints:
            port: Any = await endpoint.listen(SilentFactory())
            port.stopReading()  # the workers accept
            port._shouldShutdown = False  # a worker may go on accepting until it has been told to stop
            self._ports.append(port)
        self._spawn()

    def _spawn(self) -> None:
        if not self.running:
            return
        worker = Worker(self.reactor, self._serving, self._ended)
        self._workers.add(worker)
        # The parent hands on SIGHUP and Ctrl-C. A signal to the whole process group must not end the worker, so it
        # inherits a mask that blocks both from its first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT})
        try:
            self._fork(worker)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        document = {
            "config": configuration.to_json(self.config),
            "data_folder": str(self.data_folder),
            "log_format": self.log_output.format,
            "log_path": self.log_output.path,
        }
        worker.tell(json.dumps(document))

    def _fork(self, worker: Worker) -> None:
        descriptors = [port.fileno() for port in self._ports]  # type: ignore[attr-defined]
        self.reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-c", COMMAND],
            env=os.environ,
            childFDs={
                **{0: "w", 1: "r", 2: "r", LOG_FD: self.log_output.stream.fileno()},
                **dict(enumerate(descriptors, FIRST_PORT_FD)),
            },
        )

    def _serving(self) -> None:
        if self._served or not self.running:
            return
        self._served = True
        number = self.config.server.workers
        log.info("{number} workers on {ports}", number=number, ports=", ".join(map(address_of, self._ports)))
        for _ in range(number - 1):
            self._spawn()
        self.report.serving()

    def _ended(self, worker: Worker, how: str, lived: float) -> None:
        self._workers.discard(worker)
        if not self.running:
            return
        if worker.rejection:
            how = f"{how}: {worker.rejection}"
        if not self._served:
            if worker.rejection:
                self.report.rejected(worker.rejection)
            else:
                self.report.failed(worker.failure or f"the worker ended ({how})")
            exit_with(1)
            stop(self.reactor)
            return
        log.error("worker {pid} ended ({how}) after {lived:.1f} s", pid=worker.pid, how=how, lived=lived)
        self.reactor.callLater(PAUSE if lived < SHORT_LIFE else 0, self._spawn)

    def reopen_log(self) -> None:
        """See Reloadable."""
        self.log_output.reopen()
        self._tell_all("reopen")

    async def reload(self, config: Config) -> None:
        """See Reloadable. One worker checks the configuration first. If it refuses, the others are not told."""
        for endpoint in self.endpoints:
            endpoint.read_certificates()  # only to check them; each worker reads them itself
        if not self._served and not self._workers:
            self.config = config  # the first worker has not been started, and will use it
            return
        document = configuration.to_json(config)
        for worker in list(self._workers):
            try:
                refusal = await worker.reload(document).addTimeout(PATIENCE, self.reactor)
            except (WorkerEnded, TimeoutError):
                continue
            if refusal is not None:
                raise ConfigurationError(refusal)
            self.config = config
            for other in self._workers - {worker}:
                Deferred.fromCoroutine(self._hand_on(document, other))
            return
        raise ConfigurationError("no worker answered")

    async def _hand_on(self, document: str, worker: Worker) -> None:
        with suppress(WorkerEnded):
            refusal = await worker.reload(document)
            if refusal is not None:  # although the first worker did not refuse
                log.error("worker {pid} did not reload: {error}", pid=worker.pid, error=refusal)

    def _tell_all(self, line: str) -> None:
        for worker in self._workers:
            worker.tell(line)

    def _stop_or_stop_now(self) -> None:
        if self.running:
            stop(self.reactor)
        else:
            self._tell_all("stop_now")

    def stopService(self) -> Deferred[None]:
        """See IService. The reactor stops when the Deferred has fired."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ended = gatherResults([worker.stop(self.config.server.grace + MARGIN) for worker in self._workers])
        for port in self._ports:
            closed = port.stopListening()
            if closed is not None:
                await closed
        await ended


class SilentFactory(Factory):
    """The factory of the parent's ports, from which only the workers accept."""

    noisy = False
