"""Thread pools for blocking calls. Each pool has one owner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar, TypeVarTuple

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from imgsvc.context import bound
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = make_logger()

PATIENCE: Final = 2.0
"""Seconds that a pool may take to end. A hanging call to a disk or a server must not keep the process alive."""


@implementer(IThreads)
class ReactorThreads:
    """A pool of at most `size` threads. It starts with the first call."""

    def __init__(self, reactor: Any, name: str, size: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)
        self._stopped = False
        self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # a factory will do

    def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Deferred[T]:
        """See IThreads. Fails with CancelledError after `stop`."""
        if self._stopped:
            return fail(CancelledError())
        if not self._pool.started:
            self._pool.start()
        # The call keeps the current request, which is written to the log.
        return deferToThreadPool(self._reactor, self._pool, bound(lambda: function(*arguments)))

    def stop(self) -> None:
        """End the threads after their current calls. Waits for these for PATIENCE seconds at most."""
        self._stopped = True
        if not self._pool.started:
            return
        stopping = Thread(target=self._pool.stop, daemon=True)
        stopping.start()
        stopping.join(PATIENCE)
        if stopping.is_alive():
            log.error("the threads {name} hang and are left behind", name=self._pool.name)
