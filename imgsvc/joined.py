"""Work that several callers need at the same time is done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Joined"]

K = TypeVar("K")
T = TypeVar("T")


class Joined(Generic[K, T]):
    """Pieces of work that are being done, by their keys."""

    def __init__(self) -> None:
        self._works: dict[K, _Work[T]] = {}

    def __len__(self) -> int:
        return len(self._works)

    def wait(self, key: K, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """The result of the work of a key, or its failure.

        begin: begins the work, if it is not being done. Cancelling the Deferred ends this wait only. When nobody waits
        any more, the work is cancelled.
        """
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = _Work(lambda work: self._drop(key, work))
            work.run(begin())
        return work.wait()

    def _drop(self, key: K, work: _Work[T]) -> None:
        if self._works.get(key) is work:
            del self._works[key]


class _Work(Generic[T]):
    """One piece of work. over: called when it has ended, or is cancelled."""

    def __init__(self, over: Callable[[_Work[T]], None]) -> None:
        self._over = over
        self._waiting: list[Deferred[T]] = []
        self._results: list[T | Failure] = []

    def run(self, work: Deferred[T]) -> None:
        self._work = work
        work.addBoth(self._tell)

    def wait(self) -> Deferred[T]:
        waiting: Deferred[T] = Deferred(self._leave)
        if self._results:
            waiting.callback(self._results[0])
        else:
            self._waiting.append(waiting)
        return waiting

    def _leave(self, waiting: Deferred[T]) -> None:
        self._waiting.remove(waiting)
        if not self._waiting:
            self._over(self)  # whoever comes now must not get a result that is cancelled
            self._work.cancel()

    def _tell(self, result: T | Failure) -> None:
        self._results.append(result)
        self._over(self)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)
