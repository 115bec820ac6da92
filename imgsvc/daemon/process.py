"""How a process that serves begins, is told to stop, and what its exit status says."""

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
        """It failed, and the process ends. reason: one line, which was logged."""

    def rejected(self, reason: str) -> None:
        """The same, but the configuration is wrong, and that was not logged."""


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
