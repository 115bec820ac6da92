"""When to try again, and when to give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.client.errors import ClientError, ImageChanged, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.logger import make_logger

log = make_logger()

RETRIES: Final = 5
FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 15.0
LONGEST_WAIT: Final = 60.0
"""Seconds. A server that asks for a longer pause (Retry-After) is not waited for: its user decides."""
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Refusals that another try may turn."""

Notice = Callable[[ClientError, float], None]
"""`notice(problem, pause)`: called before a pause, in seconds, after which something is tried again.

When the problem is Unsettled, the pause is the longest time that the server is asked for what became of an upload.
"""


def no_notice(problem: ClientError, pause: float) -> None:
    """Tells nobody but the log."""


class Patience:
    """Decides whether, and when, to try again: `retries` times in a row, with growing pauses.

    clock: for the pauses. notice: told of each of them.
    """

    def __init__(self, clock: IReactorTime, notice: Notice = no_notice, retries: int = RETRIES) -> None:
        self._clock = clock
        self._notice = notice
        self._retries = retries
        self._failures = 0

    def renew(self) -> None:
        """Something has got on: count from the beginning."""
        self._failures = 0

    async def after(self, problem: TransferInterrupted | RequestRefused | Unreachable) -> None:
        """Wait before the next try, or raise `problem`: it is one that no retry mends, or patience is at its end.

        The pause is as long as the server asks for, if that is longer (Retry-After: RFC 9110, section 10.2.3).
        """
        asked = (problem.retry_after or 0.0) if isinstance(problem, RequestRefused) else 0.0
        if not is_passing(problem) or self._failures >= self._retries or asked > LONGEST_WAIT:
            raise problem
        pause = max(asked, _pause(self._failures))
        self._failures += 1
        log.debug("{problem} Trying again in {pause} s.", problem=problem, pause=pause)
        self._notice(problem, pause)
        await deferLater(self._clock, pause)


def longest_wait(retries: int) -> float:
    """The seconds of all pauses of a Patience whose server asks for no longer ones."""
    return sum(map(_pause, range(retries)))


def _pause(failures: int) -> float:
    return min(FIRST_PAUSE * 2.0**failures, LAST_PAUSE)


def is_passing(problem: ClientError) -> bool:
    """Whether another try may mend it."""
    if isinstance(problem, RequestRefused):
        return problem.status in PASSING
    return isinstance(problem, (TransferInterrupted, Unreachable)) and not isinstance(problem, ImageChanged)
