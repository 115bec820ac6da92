"""Runs a subcommand in the reactor: from its settings to its exit code, through errors and signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

import click
from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react

from imgsvc.client.answers import printable
from imgsvc.client.api import ImageClient
from imgsvc.client.errors import Broken, ClientError, LocalFileError, Malformed, Unreachable, VerificationFailed
from imgsvc.client.progress import ProgressLine

REFUSED: Final = 1
UNREACHABLE: Final = 3
WRONG_BYTES: Final = 4
INCOMPLETE: Final = 5
LOCAL_FILE: Final = 6
EXIT_CODES: Final[tuple[tuple[type[ClientError], int], ...]] = (
    (Unreachable, UNREACHABLE),
    (Malformed, UNREACHABLE),
    (VerificationFailed, WRONG_BYTES),
    (Broken, INCOMPLETE),
    (LocalFileError, LOCAL_FILE),
)
"""What ends with which code, the first that fits; every other ClientError is the server's no, REFUSED.

2 is click's: wrong usage.
"""


@frozen
class Settings:
    """How to reach the server."""

    endpoint: str
    token: str | None
    headers: dict[str, str]
    auth: tuple[str, str] | None


@frozen
class Tools:
    """What a subcommand works with while the reactor runs."""

    client: ImageClient
    reactor: Any
    progress: ProgressLine


Work = Callable[[Tools], Coroutine[Deferred[Any], Any, int]]


def run(settings: Settings, work: Work) -> NoReturn:
    """Run the reactor until `work` has given its exit code, and exit with it.

    SIGINT and SIGTERM cancel the work; the reactor goes on until its cleaning up has ended. A second one does not
    wait for that.
    """
    react(_react, (settings, work))


async def _react(reactor: Any, settings: Settings, work: Work) -> NoReturn:
    progress = ProgressLine(sys.stderr, reactor)
    client = ImageClient(settings.endpoint, reactor, token=settings.token, headers=settings.headers, auth=settings.auth)
    working = Deferred.fromCoroutine(work(Tools(client, reactor, progress)))
    ended: Deferred[None] = Deferred()

    def interrupt() -> Deferred[None]:
        # A second signal ends the process at once, as it would end any other.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        working.cancel()
        return ended

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    try:
        code = await working
    except CancelledError:
        progress.end()
        say("Interrupted.")
        code = INCOMPLETE
    except ClientError as error:
        progress.end()
        say(f"{error}")
        code = exit_code(error)
    except BrokenPipeError:
        # Nobody reads the output any more; what is still buffered must not fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = LOCAL_FILE
    finally:
        progress.end()
        await client.close()
        ended.callback(None)
    raise SystemExit(code)


def exit_code(error: ClientError) -> int:
    """The exit code that tells of this error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), REFUSED)


def say(text: str) -> None:
    """A message to the user, beside the output."""
    click.echo(printable(text), err=True)
