"""Providers of IThreads for tests that run in one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer

from imgsvc.interfaces import IThreads

__all__ = ["ImmediateThreads", "ManualThreads"]


@implementer(IThreads)
class ImmediateThreads:
    """Makes calls at once, in the calling thread."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        try:
            return succeed(function(*arguments))
        except Exception:
            return fail()

    def stop(self) -> None:
        """There is no thread to end."""


@implementer(IThreads)
class ManualThreads:
    """Makes calls when the test says so. size: threads of the pool; calls wait while all are busy."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.most = 0
        """The largest number of calls at one time."""
        self._stopped = False
        self._calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __len__(self) -> int:
        """The number of running and waiting calls."""
        return len(self._calls)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self._stopped:
            return fail(CancelledError())
        done: Deferred[Any] = Deferred()
        self._calls.append((done, function, arguments))
        self.most = max(self.most, len(self._calls))
        return done

    def finish(self, number: int = 0) -> None:
        """Make one of the running calls, and end it."""
        assert number < self.size, "no thread has begun with this call"
        done, function, arguments = self._calls.pop(number)
        try:
            result = function(*arguments)
        except Exception:
            done.errback()
        else:
            done.callback(result)

    def stop(self) -> None:
        """Drop all calls that wait or run."""
        self._stopped = True
        calls, self._calls = self._calls, []
        for done, _, _ in calls:
            done.errback(CancelledError())
