"""Pools of threads for calls that block, each with one owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from imgsvc.interfaces import IThreads

T = TypeVar("T")


@implementer(IThreads)
class ReactorThreads:
    """At most `size` threads that answer to `reactor`. They begin with the first call."""

    def __init__(self, reactor: Any, name: str, size: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """See IThreads."""
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def stop(self) -> None:
        """End the threads after the calls that they are in; waits for these."""
        if self._pool.started:
            self._pool.stop()
