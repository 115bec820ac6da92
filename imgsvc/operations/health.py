"""Whether what the server stands on works: the catalogue and every store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from imgsvc.errors import ObjectDamaged, ObjectMissing, StoreAway
from imgsvc.event_model import StoreDown, StoreUp
from imgsvc.interfaces import ICatalogueDatabase, IEvents, IStoreRegistry
from imgsvc.logger import make_logger
from imgsvc.operations.losses import Losses

log = make_logger()

CHECK_TIME: Final = 5.0
"""Seconds for which an answer is waited for."""
KEPT_TIME: Final = 1.0
"""Seconds for which a result is given again: asking often must be no load."""

OK: Final = "OK"
FAILED: Final = "FAILED"
LATE: Final = "NO ANSWER"
AWAY: Final = "AWAY"
"""The medium of a store is not there, or not its own."""
INCOMPLETE: Final = "OBJECTS MISSING"
"""A store works, but this process was asked for an object that is not there, or not as large as it must be."""


@frozen
class Finding:
    """What one check has found. name: `catalogue` or `store NAME`. result: one of the words above."""

    name: str
    result: str


class Health:
    """Checks all of them at once, at most every KEPT_TIME seconds, and each one at most once at a time."""

    def __init__(
        self,
        catalogue: ICatalogueDatabase,
        stores: IStoreRegistry,
        losses: Losses,
        events: IEvents,
        clock: IReactorTime,
    ) -> None:
        self._clock = clock
        self._checks = [
            _Check("catalogue", catalogue.check, clock),
            *(
                _Check(
                    f"store {store.store_id}",
                    _ask(stores, losses, store.store_id),
                    clock,
                    partial(_publish, events, store.store_id),
                )
                for store in stores.every()
            ),
        ]
        self._findings: Sequence[Finding] = ()
        self._found_at = float("-inf")
        self._looking = False
        self._waiting: list[Deferred[Sequence[Finding]]] = []

    def look(self) -> Deferred[Sequence[Finding]]:
        """What there is to be found, in no more than CHECK_TIME seconds. May be cancelled."""
        if self._clock.seconds() - self._found_at < KEPT_TIME:
            return succeed(self._findings)
        waiting: Deferred[Sequence[Finding]] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if not self._looking:
            self._looking = True
            gatherResults([check.run() for check in self._checks]).addCallback(self._found)
        return waiting

    def _found(self, findings: Sequence[Finding]) -> None:
        self._looking = False
        self._findings, self._found_at = findings, self._clock.seconds()
        waiting, self._waiting[:] = list(self._waiting), []
        for each in waiting:
            each.callback(findings)


class _Check:
    """One check. What hangs is not asked again before it has answered; changes are logged."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], Deferred[None]],
        clock: IReactorTime,
        changed: Callable[[str, str], None] = lambda result, reason: None,
    ) -> None:
        """changed: called with a result that is not that of before, and with why."""
        self._name = name
        self._changed = changed
        self._ask = ask
        self._clock = clock
        self._asked = False
        self._waiter: Deferred[Finding] | None = None
        self._timer: IDelayedCall | None = None
        self._latest = OK

    def run(self) -> Deferred[Finding]:
        """The finding. Never fails. One call at a time."""
        waiter: Deferred[Finding] = Deferred()
        self._waiter = waiter
        self._timer = self._clock.callLater(CHECK_TIME, self._tell, LATE, f"nothing within {CHECK_TIME} s")
        if not self._asked:
            self._asked = True
            maybeDeferred(self._ask).addBoth(self._answered)
        return waiter

    def _answered(self, answer: object) -> None:
        self._asked = False
        if isinstance(answer, Failure):
            self._tell(_word_for(answer), answer.getErrorMessage())
        else:
            self._tell(OK)

    def _tell(self, result: str, reason: str = "") -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return  # too late: the next look will show it
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if result != self._latest:
            self._latest = result
            level = log.info if result == OK else log.error
            level("health: {name}: {result} {reason}", name=self._name, result=result, reason=reason)
            self._changed(result, reason)
        waiter.callback(Finding(self._name, result))


def _word_for(failure: Failure) -> str:
    if failure.check(StoreAway):
        return AWAY
    return INCOMPLETE if failure.check(ObjectMissing, ObjectDamaged) else FAILED


def _publish(events: IEvents, store_id: str, result: str, reason: str) -> None:
    events.publish(StoreUp(store_id) if result == OK else StoreDown(store_id, f"{result} {reason}"))


def _ask(stores: IStoreRegistry, losses: Losses, store_id: str) -> Callable[[], Deferred[None]]:
    """The check of a store, which is looked up each time."""

    async def ask() -> None:
        await stores.find(store_id).usage()
        await losses.look(store_id)

    return lambda: Deferred.fromCoroutine(ask())
