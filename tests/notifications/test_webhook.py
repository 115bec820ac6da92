"""The webhook, with a receiver on a real port that hangs, fails, is away and comes back.

The pauses between attempts follow a test's clock; connections follow the reactor.
"""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from zope.interface.verify import verifyObject

from imgsvc.config import NotificationsWebhook
from imgsvc.context import working_for
from imgsvc.errors import ConfigurationError
from imgsvc.interfaces import INotifier
from imgsvc.model import Caller, RequestContext
from imgsvc.notification_model import Notification
from imgsvc.notifications.webhook import FIRST_PAUSE, LAST_SECONDS, LONGEST_PAUSE, WebhookNotifier, make_webhook
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import ServiceLimits
from tests.support.json_website import Behaviour, JsonWebsite, cut, document, silence

DONE = document({})
SIZE = 1000


def notification(name: str) -> Notification:
    """A notification of an image with a name, that counts for SIZE bytes."""
    return Notification("image.create", "INFO", {"name": name}, {}, "image.localhost", "1-2", "now", SIZE)


class WebhookTests(TestCase):
    """A webhook that keeps 5 notifications, each for 100 s."""

    def serve(self, *behaviours: Behaviour, url: str | None = None) -> None:
        """A receiver with these responses, and a webhook that sends to it. url: of another receiver."""
        self.site = JsonWebsite(*behaviours)
        self.addCleanup(self.site.close)
        self.clock = Clock()
        service = JsonService(
            "Webhook",
            url or self.site.url,
            Agent(reactor),
            self.clock,
            ServiceLimits(timeout=10.0, attempts=1),
            option="notifications.webhook.url",
        )
        self.hook = WebhookNotifier(service, "/hook", self.clock, {"Authorization": "Bearer secret"}, 5 * SIZE, 100.0)
        verifyObject(INotifier, self.hook)

    def notify(self, *names: str) -> None:
        """Pass on a notification for each name."""
        for name in names:
            self.hook.notify(notification(name))

    def names(self) -> list[str]:
        """The names in the requests so far."""
        messages = [json.loads(json.loads(asked.body)["oslo.message"]) for asked in self.site.asked]
        return [message["payload"]["name"] for message in messages]

    def paused(self) -> Deferred[None]:
        """Fires when the webhook waits for its next attempt, by polling it in turns of the reactor."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if self.hook._pause is not None:
                done.callback(None)
            else:
                reactor.callLater(0.001, look)  # type: ignore[attr-defined]

        look()
        return done

    async def test_in_order(self) -> None:
        """Notifications are sent by POST, in order, with the token."""
        self.serve(DONE)
        self.notify("a", "b", "c")
        await self.site.has_asked(3)
        self.assertEqual(self.names(), ["a", "b", "c"])
        asked = self.site.asked[0]
        self.assertEqual((asked.method, asked.target), ("POST", "/hook"))
        self.assertEqual(asked.headers["authorization"], "Bearer secret")
        self.assertEqual(asked.headers["content-type"], "application/json")
        self.assertEqual(json.loads(asked.body)["oslo.version"], "2.0")
        await self.hook.stop()
        self.assertEqual(self.hook.drops.total, 0)

    async def test_fails(self) -> None:
        """After 500, 404 and a cut connection the notification is sent again, after pauses that become longer."""
        self.serve(document({}, 500), document({}, 404), cut, DONE)
        self.notify("a", "b")
        for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
            await self.paused()
            self.assertEqual([call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls()], [pause])
            self.clock.advance(pause)
        await self.site.has_asked(5)
        self.assertEqual(self.names(), ["a", "a", "a", "a", "b"])
        await self.hook.stop()
        self.assertEqual(self.hook.drops.total, 0)

    async def test_hangs(self) -> None:
        """A receiver that does not respond is left after the timeout, and asked again."""
        self.serve(silence, DONE)
        self.notify("a")
        await self.site.has_asked(1)
        self.clock.advance(10)
        await self.paused()
        self.clock.advance(FIRST_PAUSE)
        await self.site.has_asked(2)
        self.assertEqual(self.names(), ["a", "a"])
        await self.hook.stop()

    async def test_queue(self) -> None:
        """While the receiver hangs, notifications wait up to the limit. The others are dropped and counted."""
        self.serve(silence, DONE)
        self.notify(*"abcdefg")
        self.assertEqual(self.hook.drops.total, 2)
        await self.site.has_asked(1)
        self.clock.advance(10)
        await self.paused()
        self.clock.advance(FIRST_PAUSE)
        await self.site.has_asked(6)
        self.assertEqual(self.names(), list("aabcde"))
        await self.hook.stop()
        self.assertEqual(self.hook.drops.total, 2)

    async def test_away(self) -> None:
        """While nobody listens, attempts go on with pauses of up to a minute. When it is back, all are sent."""
        gone = JsonWebsite(DONE)
        port = gone._port.getHost().port
        await gone.close()
        self.serve(DONE, url=f"http://127.0.0.1:{port}")
        self.notify("a", "b")
        for _ in range(3):
            await self.paused()
            self.clock.advance(LONGEST_PAUSE / 4)
        await self.paused()
        back = reactor.listenTCP(port, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.clock.advance(LONGEST_PAUSE)
        await self.site.has_asked(2)
        self.assertEqual(self.names(), ["a", "b"])
        await self.hook.stop()
        await back.stopListening()

    async def test_old(self) -> None:
        """A notification that is too old is dropped after its attempt, and the next one is tried."""
        self.serve(document({}, 500), document({}, 500), DONE)
        self.notify("a")
        await self.paused()
        self.clock.advance(100)
        self.notify("b")
        await self.site.has_asked(2)
        await self.paused()
        self.assertEqual(self.hook.drops.total, 1)
        self.clock.advance(LONGEST_PAUSE)
        await self.site.has_asked(3)
        self.assertEqual(self.names(), ["a", "a", "b"])
        await self.hook.stop()

    async def test_refused(self) -> None:
        """A notification that the receiver calls wrong is dropped and counted, and the next one is sent at once."""
        self.serve(document({}, 422), DONE)
        self.notify("a", "b")
        await self.site.has_asked(2)
        self.assertEqual(self.names(), ["a", "b"])
        await self.hook.stop()
        self.assertEqual(self.hook.drops.total, 1)

    async def test_large(self) -> None:
        """A notification that is larger than the limit is sent if no other waits."""
        self.serve(DONE)
        self.hook.limit = SIZE - 1
        self.notify("a", "b")
        await self.site.has_asked(1)
        await self.hook.stop()
        self.assertEqual((self.names(), self.hook.drops.total), (["a"], 1))

    async def test_unexpected(self) -> None:
        """An error that nobody expects is logged, and sending goes on."""
        self.serve(DONE)
        self.hook.notify(
            Notification("image.create", "INFO", {"name": object()}, {}, "image.localhost", "1", "now", SIZE)
        )
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.notify("b")
        self.clock.advance(100)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.clock.advance(LONGEST_PAUSE)
        await self.site.has_asked(1)
        await self.hook.stop()
        self.assertEqual((self.names(), self.hook.drops.total), (["b"], 1))

    async def test_stop_sends(self) -> None:
        """A stop during a pause sends what waits, if the receiver is well again."""
        self.serve(document({}, 500), DONE)
        self.notify("a", "b")
        await self.paused()
        await self.hook.stop()
        self.assertEqual(self.names(), ["a", "a", "b"])
        self.assertEqual((self.hook.drops.total, self.clock.getDelayedCalls()), (0, []))

    async def test_stop_while_hanging(self) -> None:
        """A stop ends although the receiver hangs, and counts what was not sent."""
        self.serve(silence)
        self.notify("a", "b")
        await self.site.has_asked(1)
        stopped = self.hook.stop()
        self.assertNoResult(stopped)
        self.clock.advance(LAST_SECONDS)
        await stopped
        self.assertEqual((self.hook.drops.total, self.clock.getDelayedCalls()), (2, []))
        await self.site.idle()

    async def test_stop_while_failing(self) -> None:
        """A stop does not begin a new pause."""
        self.serve(document({}, 500))
        self.notify("a", "b")
        await self.paused()
        await self.hook.stop()
        self.assertEqual((self.hook.drops.total, self.clock.getDelayedCalls()), (2, []))

    async def test_deadline(self) -> None:
        """The deadline of the request that has caused a notification does not count."""
        self.serve(DONE)
        with working_for(RequestContext("req-1", Caller(), deadline=0.0)):
            self.notify("a")
        await self.site.has_asked(1)
        self.assertNotIn("x-openstack-request-id", self.site.asked[0].headers)
        await self.hook.stop()

    def test_url(self) -> None:
        """The driver needs a URL."""
        with self.assertRaises(ConfigurationError) as raised:
            make_webhook(NotificationsWebhook(), reactor)
        self.assertIn("notifications.webhook.url = ''", str(raised.exception))

    async def test_options(self) -> None:
        """A webhook made of options sends to its URL."""
        self.serve(DONE)
        hook = make_webhook(NotificationsWebhook(url=f"{self.site.url}/hook/?a=b", token="other"), reactor)
        hook.notify(notification("a"))
        await self.site.has_asked(1)
        self.assertEqual(self.site.asked[0].headers["authorization"], "Bearer other")
        self.assertEqual(self.site.asked[0].target, "/hook/?a=b")
        await hook.stop()
