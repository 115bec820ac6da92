"""Notifications of a server, and their form."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.config import Notifications
from imgsvc.errors import ConfigurationError, StoreUnavailable
from imgsvc.events import Events
from imgsvc.interfaces import INotifier
from imgsvc.notification_model import Notification
from imgsvc.notifications.log_notifier import LogNotifier
from imgsvc.notifications.maker import make_publisher
from imgsvc.notifications.messages import LARGEST, envelope_of
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, STRANGER, ApiTestCase

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
JSON = {"Content-Type": "application/json"}
DATA = {"Content-Type": "application/octet-stream"}


@implementer(INotifier)
class Kept:
    """Keeps the notifications."""

    def __init__(self) -> None:
        self.kept: list[Notification] = []

    def notify(self, notification: Notification) -> None:
        """See INotifier."""
        self.kept.append(notification)

    def stop(self) -> Deferred[None]:
        """See INotifier."""
        return succeed(None)


@implementer(INotifier)
class Broken(Kept):
    """Fails."""

    def notify(self, notification: Notification) -> None:
        """See INotifier."""
        raise ValueError("of a notifier")


class NotificationTests(ApiTestCase):
    """A server behind a proxy, whose notifications are kept."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "notifications": {"drivers": ["log"], "disabled": ["image.prepare"]},
    }

    def setUp(self) -> None:
        super().setUp()
        self.notifier = Kept()
        publisher: Any = self.server.server.core.publisher
        publisher.notifiers = [self.notifier]

    def sent(self) -> list[Notification]:
        """The notifications since the last call."""
        self.server.clock.advance(0)
        kept, self.notifier.kept = self.notifier.kept, []
        return kept

    def image_of_member(self) -> str:
        """A new image of MEMBER, with a property and a tag."""
        body = b'{"disk_format": "raw", "container_format": "bare", "name": "one", "os": "linux", "tags": ["good"]}'
        image_id: str = self.server.request("POST", "/v2/images", {**MEMBER, **JSON}, body).json["id"]
        return image_id

    def test_types(self) -> None:
        """The types and priorities of the notifications of the life of an image, without the disabled one."""
        image_id = self.image_of_member()
        path = f"/v2/images/{image_id}"
        self.server.store().fail("write", StoreUnavailable("local", "does not answer."))
        self.server.request("PUT", f"{path}/file", {**MEMBER, **DATA}, b"data")
        self.server.store().heal()
        self.server.request("PUT", f"{path}/file", {**MEMBER, **DATA}, b"data")
        self.server.request("GET", f"{path}/file", MEMBER)
        self.server.request("PATCH", path, {**MEMBER, **PATCH}, b'[{"op": "add", "path": "/a", "value": "b"}]')
        self.server.request("POST", f"{path}/members", {**MEMBER, **JSON}, b'{"member": "red"}')
        self.server.request("PUT", f"{path}/members/red", {**STRANGER, **JSON}, b'{"status": "accepted"}')
        self.server.request("DELETE", f"{path}/members/red", MEMBER)
        self.server.request("DELETE", path, MEMBER)
        self.assertEqual(
            [(notification.event_type, notification.priority) for notification in self.sent()],
            [
                ("image.create", "INFO"),
                ("image.upload", "ERROR"),
                ("image.upload", "INFO"),
                ("image.activate", "INFO"),
                ("image.send", "INFO"),
                ("image.update", "INFO"),
                ("image.member.create", "INFO"),
                ("image.member.update", "INFO"),
                ("image.member.delete", "INFO"),
                ("image.delete", "INFO"),
            ],
        )

    def test_image(self) -> None:
        """The payload of an image."""
        image_id = self.image_of_member()
        [notification] = self.sent()
        shown = self.show(image_id, MEMBER)
        self.assertEqual(
            notification.payload,
            {
                "id": image_id,
                "name": "one",
                "status": "queued",
                "created_at": shown["created_at"],
                "updated_at": shown["updated_at"],
                "min_disk": 0,
                "min_ram": 0,
                "protected": False,
                "checksum": None,
                "owner": "blue",
                "disk_format": "raw",
                "container_format": "bare",
                "size": None,
                "virtual_size": None,
                "is_public": False,
                "visibility": "shared",
                "properties": {"os": "linux"},
                "tags": ["good"],
                "deleted": False,
                "deleted_at": None,
            },
        )

    def test_large(self) -> None:
        """Properties and tags are left out if they are very long. The rest is the same."""
        image_id = self.image_of_member()
        body = json.dumps([{"op": "add", "path": "/long", "value": "x" * LARGEST}]).encode()
        answer = self.server.request("PATCH", f"/v2/images/{image_id}", {**MEMBER, **PATCH}, body)
        self.assertEqual(answer.status, 200)
        small, large = self.sent()
        self.assertEqual(small.payload.keys() - large.payload.keys(), {"properties", "tags"})
        self.assertLess(large.size, LARGEST)

    def test_sent_member_deleted(self) -> None:
        """The payloads of a download, of members and of a deletion."""
        image_id = self.image_of_member()
        path = f"/v2/images/{image_id}"
        self.server.request("PUT", f"{path}/file", {**MEMBER, **DATA}, b"data")
        self.server.request("POST", f"{path}/members", {**MEMBER, **JSON}, b'{"member": "red"}')
        self.server.request("PUT", f"{path}/members/red", {**STRANGER, **JSON}, b'{"status": "accepted"}')
        self.server.request("GET", f"{path}/file", STRANGER)
        self.server.request("DELETE", f"{path}/members/red", MEMBER)
        self.server.request("DELETE", path, MEMBER)
        added, _, sent, removed, deleted = [dict(each.payload) for each in self.sent()[-5:]]
        self.assertEqual(
            sent,
            {
                "bytes_sent": 4,
                "image_id": image_id,
                "owner_id": "blue",
                "receiver_tenant_id": "red",
                "receiver_user_id": "user of red",
            },
        )
        self.assertEqual((added["member_id"], added["status"], added["deleted"]), ("red", "pending", False))
        self.assertEqual((removed["image_id"], removed["member_id"], removed["deleted"]), (image_id, "red", True))
        self.assertEqual((deleted["id"], deleted["status"], deleted["deleted"]), (image_id, "deleted", True))
        self.assertRegex(str(deleted["deleted_at"]), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_envelope(self) -> None:
        """The message in its envelope, with the caller, and without a token."""
        self.server.request("POST", "/v2/images", {**MEMBER, **JSON, "X-Auth-Token": "secret"}, b"{}")
        [notification] = self.sent()
        envelope = json.loads(json.dumps(envelope_of(notification)))
        self.assertEqual(envelope["oslo.version"], "2.0")
        self.assertNotIn("secret", envelope["oslo.message"])
        message = json.loads(envelope["oslo.message"])
        self.assertEqual(message["payload"], notification.payload)
        self.assertEqual((message["event_type"], message["priority"]), ("image.create", "INFO"))
        self.assertEqual(message["publisher_id"], "image.localhost")
        self.assertRegex(message["message_id"], "^[0-9a-f]{8}-[0-9a-f]{4}-")
        self.assertRegex(message["_unique_id"], "^[0-9a-f]{32}$")
        self.assertRegex(message["timestamp"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$")
        self.assertRegex(message["_context_request_id"], "^req-")
        self.assertEqual((message["_context_user_id"], message["_context_project_id"]), ("user of blue", "blue"))
        self.assertEqual(message["_context_roles"], ["member", "reader"])

    def test_broken(self) -> None:
        """A notifier that fails is logged, and another one gets the notification."""
        publisher: Any = self.server.server.core.publisher
        publisher.notifiers = [Broken(), self.notifier]
        self.image_of_member()
        self.assertEqual(len(self.sent()), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class LogNotifierTests(SynchronousTestCase):
    """Notifications in the log."""

    def setUp(self) -> None:
        self.seen: list[LogEvent] = []
        globalLogPublisher.addObserver(self.seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.seen.append)
        self.notifier = LogNotifier()
        verifyObject(INotifier, self.notifier)

    def test_whole(self) -> None:
        """A notification is logged as JSON."""
        payload = {"id": "1", "properties": {"a": "b"}}
        self.notifier.notify(Notification("image.create", "INFO", payload, {}, "image.localhost", "1", "now"))
        [event] = self.seen
        event_type, _, text = formatEvent(event).partition(" ")
        self.assertEqual(event_type, "image.create")
        self.assertEqual(json.loads(text), event["json_fields"]["notification"])
        self.assertEqual(json.loads(text)["payload"], payload)


class OptionTests(SynchronousTestCase):
    """The options of notifications."""

    def test_default(self) -> None:
        """Nobody gets notifications."""
        self.assertIsNone(make_publisher(Notifications(), Events(Clock()), Clock()))

    def test_unknown(self) -> None:
        """An unknown driver is refused, with those that exist."""
        with self.assertRaises(ConfigurationError) as raised:
            make_publisher(Notifications(drivers=("log", "fax")), Events(Clock()), Clock())
        self.assertIn("notifications.drivers = 'fax': must be of log", str(raised.exception))

    def test_disabled(self) -> None:
        """A group of types, a type, and no type whose name only begins alike, can be disabled."""
        publisher = make_publisher(Notifications(("log",), ("image.member", "task")), Events(Clock()), Clock())
        assert publisher is not None
        found = [publisher._is_disabled(name) for name in ("image.member.create", "task.success", "image.create")]
        self.assertEqual(found, [True, True, False])
