"""The interface by which parts of the server learn about events in other parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zope.interface import Interface

from imgsvc.event_model import Event

E = TypeVar("E", bound=Event)

__all__ = ["IEvents"]


class IEvents(Interface):
    """Passes events from publishers to subscribers in the same process."""

    def publish(event: Event) -> None:
        """Call all subscribers of the event, in later turns of the reactor. Never fails, and does not wait for them."""

    def subscribe(kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """Call `subscriber(event)` for each event of the class `kind` or of a subclass, in the order of publication.

        The subscriber is called with the request of the publisher (`context.current_request`), so it knows who has
        caused the event. An exception from a subscriber is logged and has no other effect. A subscriber must return
        soon; longer work must go on after it has returned.
        Returns a function that ends the subscription.
        """
