"""How parts of the server learn what others have done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zope.interface import Interface

from imgsvc.event_model import Event

E = TypeVar("E", bound=Event)

__all__ = ["IEvents"]


class IEvents(Interface):
    """Hands facts on from those who publish them to those who have subscribed, of this process only."""

    def publish(event: Event) -> None:
        """Tell all subscribers, in later turns of the reactor. Never fails, and never waits for them."""

    def subscribe(kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """Call `subscriber(event)` with each event of a kind, or of one that is derived from it.

        Events come in the order in which they were published. What a subscriber raises is logged, and nothing else
        comes of it. It must return soon: who has more to do begins it there and goes on by itself.
        Gives what ends the subscription.
        """
