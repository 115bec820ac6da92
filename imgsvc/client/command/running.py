"""Runs a subcommand in the reactor, tells its errors, handles signals, and ends with its exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine
from io import StringIO
from types import FrameType
from typing import Any, Final, NoReturn

import click
from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react

from imgsvc.client.answers import printable
from imgsvc.client.api import ImageClient
from imgsvc.client.command.progress import ProgressLine
from imgsvc.client.command.settings import Settings
from imgsvc.client.errors import (
    BadResponse,
    ClientError,
    LocalFileError,
    NoImageEndpoint,
    NoSuchStore,
    RequestRefused,
    TransferInterrupted,
    Unreachable,
    Unsettled,
    VerificationFailed,
)
from imgsvc.output import abandon, abandon_output

REFUSED: Final = 1
UNREACHABLE: Final = 3
WRONG_BYTES: Final = 4
INCOMPLETE: Final = 5
LOCAL_FILE: Final = 6
SIGNALLED: Final = 128
"""The exit code after a signal is this plus its number, as in shells: 130 for Ctrl-C."""
EXIT_CODES: Final[tuple[tuple[type[ClientError], int], ...]] = (
    (Unreachable, UNREACHABLE),
    (BadResponse, UNREACHABLE),
    (VerificationFailed, WRONG_BYTES),
    (TransferInterrupted, INCOMPLETE),
    (LocalFileError, LOCAL_FILE),
    (NoImageEndpoint, UNREACHABLE),
)
"""The exit code of each error; the first kind that fits counts. All other ClientErrors have the code REFUSED.

Wrong usage has the code 2, which is click's.
"""
WHO_ASKS: Final = (
    "Say who you are, before the subcommand: --token, or --user with the variable IMGSVC_PASSWORD, or --os-cloud."
)
ONE_STORE: Final = "Leave out the option --store."


class Reporter:
    """Tells the user of problems. progress: a ProgressLine, which is ended before each message."""

    def __init__(self, progress: ProgressLine) -> None:
        self._progress = progress
        self._told: BaseException | None = None
        self._last = ""

    def problem(self, problem: ClientError | CancelledError) -> None:
        """Tell why the command failed. Each problem is told once, so that the code that cleans up can tell it first."""
        self._progress.end()
        if problem is self._told:
            return
        self._told = problem
        say("Interrupted." if isinstance(problem, CancelledError) else str(problem))
        if isinstance(problem, RequestRefused) and problem.status == 401:
            say(WHO_ASKS)
        if isinstance(problem, NoSuchStore) and not problem.stores:
            say(ONE_STORE)

    def retrying(self, problem: ClientError, pause: float) -> None:
        """A Notice. Each reason is told once, however many connections have it."""
        if str(problem) != self._last:
            self._last = str(problem)
            self._progress.end()
            if isinstance(problem, Unsettled):
                say(f"{problem} Waiting up to {pause:.0f} s {problem.awaited}.")
            else:
                say(f"{problem} Trying again in {pause:g} s.")


@frozen
class Tools:
    """The objects that a subcommand needs while the reactor runs."""

    client: ImageClient
    reactor: Any
    progress: ProgressLine
    reporter: Reporter


Work = Callable[[Tools], Coroutine[Deferred[Any], Any, int]]


def run(settings: Settings, work: Work) -> NoReturn:
    """Run the reactor until the work has ended, and exit with its exit code.

    settings: Settings of the client. work: a coroutine function that takes Tools and returns an exit code.

    SIGINT and SIGTERM cancel the work, and the reactor runs until the work has cleaned up. A second signal ends the
    process at once.
    """
    react(_react, (settings, work))


class _Interruption:
    """Cancels a Deferred at the first SIGINT or SIGTERM. received: the number of the signal, or None."""

    def __init__(self, reactor: Any, working: Deferred[int]) -> None:
        self.received: int | None = None
        self._reactor = reactor
        self._working = working

    def heed(self) -> None:
        """Handle the signals. To be called when the reactor runs, because it installs handlers of its own first."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has SIGINT for what runs in the background
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        # A second signal ends the process at once.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        self._reactor.callFromThread(self._working.cancel)


async def _react(reactor: Any, settings: Settings, work: Work) -> NoReturn:
    progress = ProgressLine(sys.stderr or StringIO(), reactor)  # None: closed by whoever started the command
    reporter = Reporter(progress)
    try:
        client = ImageClient(
            settings.endpoint, reactor, headers=settings.headers, login=settings.login, notice=reporter.retrying
        )
    except ClientError as problem:  # a file of TLS
        reporter.problem(problem)
        raise SystemExit(exit_code(problem)) from None
    working = Deferred.fromCoroutine(work(Tools(client, reactor, progress, reporter)))
    interruption = _Interruption(reactor, working)
    reactor.callWhenRunning(interruption.heed)
    try:
        code = await working
    except (ClientError, CancelledError) as problem:
        reporter.problem(problem)
        code = INCOMPLETE if isinstance(problem, CancelledError) else exit_code(problem)
        if interruption.received is not None:
            code = SIGNALLED + interruption.received
    except click.UsageError as problem:
        say(problem.message)
        code = problem.exit_code
    except OSError as error:
        abandon_output(error)  # errors of all other files are ClientErrors
        code = LOCAL_FILE
    finally:
        progress.end()
        await client.close()
    raise SystemExit(code)


def exit_code(error: ClientError) -> int:
    """Get the exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), REFUSED)


def say(text: str) -> None:
    """Print a message to standard error. If nobody can read it any more, the exit code still tells what happened."""
    try:
        click.echo(printable(text), err=True)
    except OSError:
        abandon(sys.stderr)
