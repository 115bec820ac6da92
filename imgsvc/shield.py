"""Work that must go on to its end although nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.context import bound
from imgsvc.logger import make_logger

T = TypeVar("T")

log = make_logger()


def ignore(result: object) -> None:
    """For results that hold nothing."""


def warn(failure: Failure) -> None:
    """Log a failure that nobody waits for."""
    log.warn("A call that was given up failed: {error}", error=failure.value)


def shielded(
    work: Deferred[T], dispose: Callable[[T], object] = ignore, lost: Callable[[Failure], object] = warn
) -> Deferred[T]:
    """A Deferred that fires as `work` does, and whose cancellation leaves `work` alone.

    A call in a thread cannot be taken back: if the wait for it is cancelled, `dispose` gets what it brings in the end,
    and `lost` the failure.
    """
    answer: Deferred[T] = Deferred()

    def done(result: T | Failure) -> None:
        if not answer.called:
            answer.callback(result)
        elif isinstance(result, Failure):
            lost(result)
        else:
            dispose(result)

    work.addBoth(bound(done))
    return answer
