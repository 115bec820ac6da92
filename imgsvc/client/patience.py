"""Decides when to try again after a failure, and when to give up."""

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
"""Seconds. If a server asks for a longer pause (Retry-After), the client gives up, and its user decides."""
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Status codes of refusals that may not come again at the next try."""

Notice = Callable[[ClientError, float], None]
"""`notice(problem, pause)`: called before a pause after which something is tried again.

problem: a ClientError, the reason. pause: seconds. If the problem is Unsettled, the client waits to find out what
became of an upload, and the pause is the longest time that it waits.
"""


def no_notice(problem: ClientError, pause: float) -> None:
    """A Notice that does nothing."""


class Patience:
    """Decides whether and when to try again, with pauses that grow.

    clock: for the pauses. notice: a Notice, called before each pause. retries: most tries in a row after the first.
    """

    def __init__(self, clock: IReactorTime, notice: Notice = no_notice, retries: int = RETRIES) -> None:
        self._clock = clock
        self._notice = notice
        self._retries = retries
        self._failures = 0

    def renew(self) -> None:
        """Count the tries from the beginning, because the last one made progress."""
        self._failures = 0

    async def after(self, problem: TransferInterrupted | RequestRefused | Unreachable) -> None:
        """Wait before the next try.

        problem: why the last try failed. If the server asks for a longer pause, the pause is that long (Retry-After:
        RFC 9110, section 10.2.3).

        Raises `problem` if another try would not help, or if there were enough tries.
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
    """Add up the pauses before `retries` tries, in seconds, if the server asks for no longer ones."""
    return sum(map(_pause, range(retries)))


def _pause(failures: int) -> float:
    return min(FIRST_PAUSE * 2.0**failures, LAST_PAUSE)


def is_passing(problem: ClientError) -> bool:
    """Whether another try may succeed."""
    if isinstance(problem, RequestRefused):
        return problem.status in PASSING
    return isinstance(problem, (TransferInterrupted, Unreachable)) and not isinstance(problem, ImageChanged)
