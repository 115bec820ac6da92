"""The life of a process that serves: its start, signals, stop and exit status."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from imgsvc.errors import ImgsvcError
from imgsvc.logger import make_logger

log = make_logger()


SWITCH_INTERVAL = 0.001
"""Seconds after which a busy thread must release the interpreter's lock to the reactor. Python's default is 0.005.

A request needs the lock several times: after each system call.
"""


def favour_reactor() -> None:
    """Shorten the time that other threads may hold the interpreter's lock while the reactor waits for it."""
    sys.setswitchinterval(SWITCH_INTERVAL)


class Report(Protocol):
    """Receives the outcome of a start, once."""

    def begin(self) -> None:
        """The start begins, in the process that calls this."""

    def serving(self) -> None:
        """The ports are open."""

    def failed(self, reason: str) -> None:
        """The start failed, and the process ends. reason: one line, which has been logged."""

    def rejected(self, reason: str) -> None:
        """The configuration is wrong, and the process ends. reason: one line, which has not been logged."""


def start_or_exit(starting: Coroutine[Any, Any, None], reactor: Any, report: Report) -> Deferred[None]:
    """Run `starting`. If it fails, log and report the reason, and end the process with status 1.

    The Deferred fires when `starting` has ended, whether or not it failed. By then the garbage collector is enabled.
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


def stop(reactor: Any) -> None:
    """Stop the reactor. Does nothing if it is stopping already."""
    with suppress(ReactorNotRunning):
        reactor.stop()


def on_sigterm(reactor: Any, told: Callable[[], None]) -> None:
    """Call `told` in the reactor at each SIGTERM. Without this, the signal ends twistd, and its status is not 0.

    To be called when the reactor runs, since its start sets another handler.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(told))


def on_sighup(reactor: Any, told: Callable[[], None]) -> None:
    """Call `told` in the reactor at each SIGHUP. Without this, the signal ends the process."""
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(told))


def exit_with(status: int) -> None:
    """Give the process this exit status when it ends. twistd itself has no way to set it."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)
