"""The interface of what sends notifications to other programs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from imgsvc.notification_model import Notification

__all__ = ["INotifier"]


class INotifier(Interface):
    """Sends notifications to one receiver, or writes them somewhere."""

    def notify(notification: Notification) -> None:
        """Take one notification. Returns at once: what takes long goes on after it has returned.

        The notifier bounds the notifications that it keeps, and drops and counts those beyond.
        """

    def stop() -> Deferred[None]:
        """Send what can be sent within a few seconds, and end. Called once; `notify` is not called after it."""
