"""Makes the notifiers of the configuration. A new kind of notifier is one more row of MAKERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from imgsvc.config import Notifications
from imgsvc.errors import ConfigurationError
from imgsvc.event_model import Event
from imgsvc.interfaces import IEvents, INotifier
from imgsvc.notifications.log_notifier import LogNotifier
from imgsvc.notifications.publisher import Publisher

__all__ = ["make_publisher"]


def _webhook(options: Notifications, reactor: Any) -> INotifier:
    # This imports an HTTP client, which a server without a webhook does not need.
    from imgsvc.notifications.webhook import make_webhook

    return make_webhook(options.webhook, reactor)


MAKERS: Final[Mapping[str, Callable[[Notifications, Any], INotifier]]] = {
    "log": lambda options, reactor: LogNotifier(),
    "webhook": _webhook,
}
"""By the name in `notifications.drivers`: makes a notifier of the options, with the reactor."""


def make_publisher(options: Notifications, events: IEvents, reactor: Any) -> Publisher | None:
    """The publisher of the configuration, which follows the events from now on; None if nobody gets notifications.

    reactor: provides IReactorTime, IReactorTCP and IReactorPluggableNameResolver. Raises ConfigurationError.
    """
    for name in options.drivers:
        if name not in MAKERS:
            raise ConfigurationError(f"notifications.drivers = {name!r}: must be of {', '.join(MAKERS)}")
    if not options.drivers:
        return None
    notifiers = [MAKERS[name](options, reactor) for name in dict.fromkeys(options.drivers)]
    publisher = Publisher(notifiers, options.disabled, options.publisher_id)
    events.subscribe(Event, publisher.heard)
    return publisher
