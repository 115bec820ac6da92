"""Waits that end: what hangs does not keep a process from its end."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from imgsvc.logger import make_logger

log = make_logger()

UNDO_TIME: Final = 5.0
"""Seconds that the undo of transfers may take which were cut off at the end of the grace, and each step after it."""


async def within(seconds: float, work: Deferred[None], clock: IReactorTime) -> None:
    """Wait for work, but no longer than this: what a disk that hangs leaves undone is done after the next start."""
    work.addErrback(lambda failure: log.failure("what is being cleaned up failed", failure=failure))
    late: Deferred[None] = Deferred()
    timer = clock.callLater(seconds, late.callback, None)
    await DeferredList([work, late], fireOnOneCallback=True, consumeErrors=True)
    if timer.active():
        timer.cancel()
    else:
        log.warn("what is being cleaned up did not end in {seconds} s", seconds=seconds)
