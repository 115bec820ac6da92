"""Passes the notifications of events to all notifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attrs import define
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from imgsvc.event_model import Event
from imgsvc.interfaces import INotifier
from imgsvc.logger import make_logger
from imgsvc.notifications.actors import actor_of
from imgsvc.notifications.messages import notifications_of

log = make_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class Publisher:
    """Makes notifications of events, and passes them to notifiers.

    disabled: types, or groups of types, that are not sent. publisher_id: of this server. now: the time in UTC.
    """

    notifiers: Sequence[INotifier]
    disabled: Sequence[str]
    publisher_id: str
    now: Callable[[], datetime] = _now

    def heard(self, event: Event) -> None:
        """Pass the notifications of an event to all notifiers. One that fails does not affect the others."""
        for notification in notifications_of(event, actor_of(event), self.now(), self.publisher_id):
            if self._is_disabled(notification.event_type):
                continue
            for notifier in self.notifiers:
                try:
                    notifier.notify(notification)
                except Exception:
                    log.failure("{event_type} was not sent", failure=Failure(), event_type=notification.event_type)

    def _is_disabled(self, event_type: str) -> bool:
        return any(f"{event_type}.".startswith(f"{name}.") for name in self.disabled)

    def stop(self) -> Deferred[None]:
        """Stop all notifiers. Fires when all have ended."""
        stopped: Deferred[list[None]] = gatherResults([notifier.stop() for notifier in self.notifiers])
        return stopped.addCallback(lambda _: None)
