"""Protects work from cancellation, so that it goes on to its end."""

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
    """Does nothing: the result needs no cleanup."""


def warn(failure: Failure) -> None:
    """Log a failure that nobody waits for."""
    log.warn("A call that was given up failed: {error}", error=failure.value)


def shielded(
    work: Deferred[T], dispose: Callable[[T], object] = ignore, lost: Callable[[Failure], object] = warn
) -> Deferred[T]:
    """A Deferred that fires as `work` does. Cancelling it does not cancel `work`.

    A call in a thread cannot be cancelled. If the returned Deferred was cancelled, `dispose` gets the later result of
    `work`, or `lost` gets its failure.
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
