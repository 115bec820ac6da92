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
    """Calls at once, in the calling thread."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        try:
            return succeed(function(*arguments))
        except Exception:
            return fail()

    def stop(self) -> None:
        """There is no thread to end."""


@implementer(IThreads)
class ManualThreads:
    """Calls when the test says so. size: threads of the pool; the calls that come when all are busy wait."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.most = 0
        """Calls that were there at once, at most."""
        self._stopped = False
        self._calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __len__(self) -> int:
        """Calls that run, or wait for a thread."""
        return len(self._calls)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self._stopped:
            return fail(CancelledError())
        done: Deferred[Any] = Deferred()
        self._calls.append((done, function, arguments))
        self.most = max(self.most, len(self._calls))
        return done

    def finish(self, number: int = 0) -> None:
        """Make one of the calls that run, and end it."""
        assert number < self.size, "no thread has begun with this call"
        done, function, arguments = self._calls.pop(number)
        try:
            result = function(*arguments)
        except Exception:
            done.errback()
        else:
            done.callback(result)

    def stop(self) -> None:
        """End all that waits or runs."""
        self._stopped = True
        calls, self._calls = self._calls, []
        for done, _, _ in calls:
            done.errback(CancelledError())
