"""Sends notifications to a URL, one after the other, in order.

A receiver that hangs, fails or is away delays only the notifications: they wait, up to a number of bytes, and are sent
again after pauses that become longer.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.config import NotificationsWebhook
from imgsvc.context import working_for
from imgsvc.errors import ServiceAnswerTooLarge, ServiceUnavailable
from imgsvc.interfaces import INotifier
from imgsvc.logger import make_logger
from imgsvc.notification_model import Notification
from imgsvc.notifications.drops import Drops
from imgsvc.notifications.messages import envelope_of
from imgsvc.remote.json_service import JsonService, connect
from imgsvc.remote.service_calls import ServiceLimits, ServiceRequest

__all__ = ["WebhookNotifier", "make_webhook"]

log = make_logger()

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts. Each pause is twice as long as the one before."""
LAST_SECONDS: Final = 3.0
"""Seconds that the end of the server waits for what can still be sent."""
REFUSING: Final = frozenset({400, 413, 415, 422})
"""Statuses that say that a notification is wrong, so that it is of no use to send it again."""


@implementer(INotifier)
@define(eq=False)
class WebhookNotifier:
    """Sends notifications to `path` of `service`.

    headers: sent with each. limit: bytes that may wait; a notification may always wait alone. keep: seconds after which
    one that could not be sent is dropped.
    """

    service: JsonService
    path: str
    clock: IReactorTime
    headers: dict[str, str]
    limit: int
    keep: float
    drops: Drops = field(factory=lambda: Drops("notifications for the webhook"))
    _waiting: deque[tuple[Notification, float]] = field(factory=deque, init=False)
    """With the time at which each has come."""
    _size: int = field(default=0, init=False)
    _sending: Deferred[None] | None = field(default=None, init=False)
    _pause: Deferred[None] | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    def notify(self, notification: Notification) -> None:
        """See INotifier."""
        if self._waiting and self._size + notification.size > self.limit:
            self.drops.add(1, f"{self.limit} bytes wait already.")
            return
        self._waiting.append((notification, self.clock.seconds()))
        self._size += notification.size
        if self._sending is None:
            with working_for(None):  # a request would end the calls at its deadline
                sending = Deferred.fromCoroutine(self._send_all())
            self._sending = sending
            sending.addBoth(self._ended)

    def stop(self) -> Deferred[None]:
        """See INotifier."""
        self._stopping = True
        self._end_pause()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        sending = self._sending
        if sending is not None:
            ended: Deferred[None] = Deferred(lambda _: sending.cancel())
            sending.addBoth(lambda result: None if ended.called else ended.callback(None))
            ended.addTimeout(LAST_SECONDS, self.clock)
            with suppress(TimeoutError):
                await ended
        self.drops.add(len(self._waiting), "the server ends.")
        self._waiting.clear()
        self.drops.tell()
        await self.service.stop()

    def _ended(self, result: Any) -> None:
        self._sending = None

    async def _send_all(self) -> None:
        pause = FIRST_PAUSE
        while self._waiting:
            notification, since = self._waiting[0]
            try:
                why = await self._send(notification)
            except CancelledError:
                return
            if why is None:
                self._forget()
                pause = FIRST_PAUSE
                if not self._waiting:
                    self.drops.tell()
                continue
            if self.clock.seconds() - since >= self.keep:
                self._forget()
                self.drops.add(1, why)
            if self._stopping:
                return
            await self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _send(self, notification: Notification) -> str | None:
        """Send a notification, or drop one that the receiver refuses. Returns why it must be sent again, else None."""
        try:
            request = ServiceRequest("POST", self.path, document=envelope_of(notification), headers=self.headers)
            answer = await self.service.ask(request)
        except ServiceAnswerTooLarge:
            return None  # the receiver has it, and nobody needs the answer
        except ServiceUnavailable as error:
            return str(error)
        except CancelledError:
            raise
        except Exception:  # the next notifications must not wait for ever
            log.failure("{event_type} was not sent", failure=Failure(), event_type=notification.event_type)
            return "The webhook has failed."
        if answer.status in REFUSING:
            self.drops.add(1, f"{notification.event_type} was refused with {answer.status}.")
        elif answer.status >= 400:
            return f"The receiver has answered {answer.status}."
        return None

    def _forget(self) -> None:
        notification, _ = self._waiting.popleft()
        self._size -= notification.size

    async def _wait(self, seconds: float) -> None:
        pause = self._pause = Deferred()
        self._timer = self.clock.callLater(seconds, self._end_pause)
        await pause

    def _end_pause(self) -> None:
        pause, self._pause = self._pause, None
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if pause is not None:
            pause.callback(None)


def make_webhook(options: NotificationsWebhook, reactor: Any) -> WebhookNotifier:
    """The notifier of the configuration. reactor: see `connect`. Raises ConfigurationError: the URL is wrong."""
    limits = ServiceLimits(timeout=options.timeout, attempts=1)
    parts = re.fullmatch(r"(https?://[^/?#\s]+)(/[^#\s]*)", options.url)
    server, path = parts.groups() if parts is not None else (options.url, "")
    service = connect("Webhook", server, reactor, limits, option="notifications.webhook.url")
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    return WebhookNotifier(service, path, reactor, headers, options.queue, options.keep)
