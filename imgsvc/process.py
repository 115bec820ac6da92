"""How a process that serves begins, is told to stop, and what its exit status says."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from imgsvc.errors import ConfigurationError, ImgsvcError
from imgsvc.logger import make_logger
from imgsvc.ports import with_backlog
from imgsvc.tls import RenewableContext, TlsReactor

log = make_logger()


SWITCH_INTERVAL = 0.001
"""Seconds after which a thread that is busy with Python lets the reactor go on, five times as often as by default.

A request takes several turns at the interpreter's lock: one after each call of the kernel.
"""


def favour_reactor() -> None:
    """Have other threads keep the reactor waiting for less long than they may by default."""
    sys.setswitchinterval(SWITCH_INTERVAL)


class Report(Protocol):
    """Told once what became of a start."""

    def begin(self) -> None:
        """It begins, in the process that calls."""

    def serving(self) -> None:
        """The ports are open."""

    def failed(self, reason: str) -> None:
        """It failed, and the process ends. reason: one line."""


def start_or_exit(starting: Coroutine[Any, Any, None], reactor: Any, report: Report) -> Deferred[None]:
    """Run `starting`; if it fails, say why in one line, and end the process with status 1.

    The Deferred fires when it has ended, either way; then the collector of cycles is on.
    """

    def ended(result: None) -> None:
        gc.enable()

    def failed(failure: Failure) -> None:
        if failure.check(ImgsvcError):
            log.critical("cannot start: {error}", error=failure.getErrorMessage())
        else:
            log.failure("cannot start", failure=failure)
        report.failed(" ".join(failure.getErrorMessage().split()))
        exit_with(1)
        stop(reactor)

    return Deferred.fromCoroutine(starting).addErrback(failed).addCallback(ended)


@frozen
class Place:
    """One of server.listen: as it is written there, and what that means."""

    description: str
    endpoint: IStreamServerEndpoint
    _tls: TlsReactor

    async def listen(self, factory: IProtocolFactory) -> IListeningPort:
        """The open port. Raises ConfigurationError."""
        try:
            port: IListeningPort = await self.endpoint.listen(factory)
        except (CannotListenError, OSError, OverflowError, ValueError) as error:  # a number or a path that is none
            raise ConfigurationError(f"server.listen = {self.description!r}: {error}") from error
        return port

    def read_certificates(self) -> RenewableContext | None:
        """What its files say now, if it speaks TLS. Raises ConfigurationError."""
        return None if self._tls.context is None else read_certificates(self.description)

    def renew(self, context: RenewableContext | None) -> None:
        """Show new connections the certificate of `context`, which `read_certificates` gave."""
        if self._tls.context is not None and context is not None:
            self._tls.context.become(context)


def read_certificates(description: str) -> RenewableContext | None:
    """What the files of an endpoint say, if it speaks TLS. Binds nothing. Raises ConfigurationError."""
    place = _place(None, description)
    if not description.startswith("ssl:"):
        return None
    failures: list[Failure] = []
    place.endpoint.listen(Factory()).addErrback(failures.append)  # at once: there is no reactor
    for failure in failures:
        raise ConfigurationError(f"server.listen = {description!r}: {failure.getErrorMessage()}")
    return place._tls.context


def places(reactor: Any, descriptions: Sequence[str]) -> list[Place]:
    """What the strings of server.listen describe. Raises ConfigurationError."""
    return [_place(reactor, description) for description in descriptions]


def _place(reactor: Any, description: str) -> Place:
    tls = TlsReactor(reactor)
    try:
        return Place(description, serverFromString(tls, with_backlog(description)), tls)
    except OSError as error:
        raise ConfigurationError(f"server.listen = {description!r}: {error}") from error
    except Exception as error:  # each kind has a parser of its own
        raise ConfigurationError(
            f"server.listen = {description!r}: {error}; must be an endpoint, as tcp:9292:interface=127.0.0.1"
        ) from error


def stop(reactor: Any) -> None:
    """Stop the reactor, whether or not it stops already."""
    with suppress(ReactorNotRunning):
        reactor.stop()


def on_sigterm(reactor: Any, told: Callable[[], None]) -> None:
    """Call `told` in the reactor at each SIGTERM. Without this, twistd ends by the signal and not with status 0.

    To be called when the reactor runs, which sets its own handler.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(told))


def on_sighup(reactor: Any, told: Callable[[], None]) -> None:
    """Call `told` in the reactor at each SIGHUP, which would end the process without a word."""
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(told))


def exit_with(status: int) -> None:
    """Let the process end with this exit status, once twistd is done: it has no way to be told."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)
