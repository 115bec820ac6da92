"""Waiting with a time limit, so that work that hangs does not keep a process from stopping."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from imgsvc.logger import make_logger

log = make_logger()

UNDO_TIME: Final = 5.0
"""Seconds that a stop waits for the undo of transfers that it has cut off, and for each step after that."""


async def within(seconds: float, work: Deferred[None], clock: IReactorTime) -> None:
    """Wait until `work` has ended, but no longer than `seconds`. A failure of the work is logged.

    Work that does not end in time, as on a disk that hangs, is left undone. The next start of the server does it.
    """
    work.addErrback(lambda failure: log.failure("a step of the stop failed", failure=failure))
    late: Deferred[None] = Deferred()
    timer = clock.callLater(seconds, late.callback, None)
    await DeferredList([work, late], fireOnOneCallback=True, consumeErrors=True)
    if timer.active():
        timer.cancel()
    else:
        log.warn("a step of the stop did not end in {seconds} s", seconds=seconds)
