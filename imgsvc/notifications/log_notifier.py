"""Writes notifications to the log."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from imgsvc.interfaces import INotifier
from imgsvc.logger import make_logger
from imgsvc.notification_model import Notification
from imgsvc.notifications.messages import message_of

log = make_logger()


@implementer(INotifier)
class LogNotifier:
    """Writes each notification to the log, as JSON, without an envelope."""

    def notify(self, notification: Notification) -> None:
        """See INotifier."""
        message = message_of(notification)
        log.info(
            "{event_type} {text}",
            event_type=notification.event_type,
            text=json.dumps(message, separators=(",", ":")),
            json_fields={"notification": message},
        )

    def stop(self) -> Deferred[None]:
        """See INotifier."""
        return succeed(None)
