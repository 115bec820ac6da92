"""Delivers published events to subscribers. The publisher does not wait for them, and does not see their errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.context import bound
from imgsvc.event_model import Event
from imgsvc.interfaces import IEvents
from imgsvc.logger import make_logger

E = TypeVar("E", bound=Event)

log = make_logger()

DELIVERED_AT_ONCE: Final = 16
"""Calls of subscribers in one turn of the reactor."""


@implementer(IEvents)
@define(eq=False)
class Events:
    """Calls subscribers in a later turn of the reactor. The failure of a subscriber does not affect others."""

    clock: IReactorTime
    _subscribers: dict[type[Event], list[Callable[[Any], None]]] = field(factory=dict, init=False)
    _waiting: deque[tuple[Callable[[Any], None], Event]] = field(factory=deque, init=False)
    _turn: IDelayedCall | None = field(default=None, init=False)

    def publish(self, event: Event) -> None:
        """See IEvents. Cheap while the event has no subscribers."""
        for kind in type(event).__mro__:
            for subscriber in self._subscribers.get(kind, ()):
                self._waiting.append((bound(subscriber), event))
        self._go_on()

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """See IEvents. Events that were published before the end of a subscription are still delivered."""
        subscribers = self._subscribers.setdefault(kind, [])
        subscribers.append(subscriber)
        return lambda: subscribers.remove(subscriber) if subscriber in subscribers else None

    def stop(self) -> None:
        """Deliver all waiting events at once. The owner calls this when all publishers have ended."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        while self._waiting:
            self._deliver()

    def _go_on(self) -> None:
        if self._waiting and self._turn is None:
            self._turn = self.clock.callLater(0, self._deliver_some)

    def _deliver_some(self) -> None:
        self._turn = None
        for _ in range(min(DELIVERED_AT_ONCE, len(self._waiting))):
            self._deliver()
        self._go_on()

    def _deliver(self) -> None:
        subscriber, event = self._waiting.popleft()
        try:
            subscriber(event)
        except Exception:
            log.failure("a subscriber failed with {event}", failure=Failure(), event=type(event).__name__)
