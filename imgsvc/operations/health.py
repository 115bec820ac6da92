"""Checks whether the catalogue and every store work."""

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
"""Seconds that a check may take."""
KEPT_TIME: Final = 1.0
"""Seconds for which a result is cached, so that frequent requests cause no load."""

OK: Final = "OK"
FAILED: Final = "FAILED"
LATE: Final = "NO ANSWER"
AWAY: Final = "AWAY"
"""The medium of a store is missing, or is another one."""
INCOMPLETE: Final = "OBJECTS MISSING"
"""A store works, but an object that this process was asked for is missing or has the wrong size."""


@frozen
class Finding:
    """The result of one check. name: `catalogue` or `store NAME`. result: OK, FAILED, LATE, AWAY or INCOMPLETE."""

    name: str
    result: str


class Health:
    """Runs all checks concurrently, at most every KEPT_TIME seconds. No check runs twice at the same time."""

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
        """The results of all checks, within CHECK_TIME seconds. The Deferred may be cancelled."""
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
    """One check. It does not start again while it hangs. Changes of its result are logged."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], Deferred[None]],
        clock: IReactorTime,
        changed: Callable[[str, str], None] = lambda result, reason: None,
    ) -> None:
        """name: for the log and the finding. ask: runs the check. changed: called with a new result, and its reason."""
        self._name = name
        self._changed = changed
        self._ask = ask
        self._clock = clock
        self._asked = False
        self._waiter: Deferred[Finding] | None = None
        self._timer: IDelayedCall | None = None
        self._latest = OK

    def run(self) -> Deferred[Finding]:
        """The finding. The Deferred never fails. Call it again only after it has fired."""
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
            return  # too late: the next run reports it
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
    """The check of a store. It looks the store up each time, because a reload may replace it."""

    async def ask() -> None:
        await stores.find(store_id).usage()
        await losses.look(store_id)

    return lambda: Deferred.fromCoroutine(ask())
