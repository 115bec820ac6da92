"""The audit of a server."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imgsvc import event_model
from imgsvc.errors import StoreUnavailable
from imgsvc.event_model import ImageEvent
from imgsvc.notifications.audit_records import _NAMES
from imgsvc.notifications.messages import _OF_IMAGE
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, STRANGER, ApiTestCase

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
JSON = {"Content-Type": "application/json"}
DATA = {"Content-Type": "application/octet-stream"}


class AuditFileTests(ApiTestCase):
    """A server behind a proxy, that writes its audit to a file."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "audit": {"output": "file", "file": "who.log"},
    }

    def records(self) -> list[dict[str, Any]]:
        """The records since the last call."""
        self.server.clock.advance(0)
        path = self.folder / "who.log"
        if not path.exists():
            return []
        lines = path.read_bytes().splitlines()
        path.unlink()
        return [json.loads(line) for line in lines]

    def image_of_member(self) -> str:
        """A new image of MEMBER."""
        body = b'{"disk_format": "raw", "container_format": "bare"}'
        image_id: str = self.server.request("POST", "/v2/images", {**MEMBER, **JSON}, body).json["id"]
        return image_id

    def test_who_did_what(self) -> None:
        """A record says who did what to which image."""
        image_id = self.image_of_member()
        [record] = self.records()
        self.assertRegex(record.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertRegex(record.pop("request_id"), "^req-")
        self.assertEqual(
            record,
            {
                "event": "image.create",
                "outcome": "success",
                "user": "user of blue",
                "project": "blue",
                "roles": "member,reader",
                "client": "192.168.1.1",
                "image": image_id,
                "owner": "blue",
                "status": "queued",
                "visibility": "shared",
            },
        )

    def test_life(self) -> None:
        """The records of the life of an image, all with the caller."""
        image_id = self.image_of_member()
        path = f"/v2/images/{image_id}"
        self.server.request("PUT", f"{path}/file", {**MEMBER, **DATA}, b"data")
        self.server.request("GET", f"{path}/file", {**MEMBER, "Range": "bytes=1-2"})
        self.server.request("PATCH", path, {**MEMBER, **PATCH}, b'[{"op": "add", "path": "/a", "value": "b"}]')
        self.server.request("POST", f"{path}/members", {**MEMBER, **JSON}, b'{"member": "red"}')
        self.server.request("PUT", f"{path}/members/red", {**STRANGER, **JSON}, b'{"status": "accepted"}')
        self.server.request("DELETE", f"{path}/members/red", MEMBER)
        self.server.request("DELETE", path, MEMBER)
        records = self.records()
        self.assertEqual(
            [(record["event"], record["user"]) for record in records],
            [
                ("image.create", "user of blue"),
                ("image.prepare", "user of blue"),
                ("image.upload", "user of blue"),
                ("image.send", "user of blue"),
                ("image.update", "user of blue"),
                ("image.member.create", "user of blue"),
                ("image.member.update", "user of red"),
                ("image.member.delete", "user of blue"),
                ("image.delete", "user of blue"),
            ],
        )
        self.assertEqual({record["image"] for record in records}, {image_id})
        self.assertEqual({record["outcome"] for record in records}, {"success"})
        sent, changed, answered = records[3], records[4], records[6]
        self.assertEqual((sent["asked"], sent["sent"]), (2, 2))
        self.assertEqual(changed["changed"], "properties")
        self.assertEqual((answered["member"], answered["member_status"]), ("red", "accepted"))

    def test_denied(self) -> None:
        """A denied attempt has a record, with the reason."""
        image_id = self.image_of_member()
        body = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
        self.server.request("PATCH", f"/v2/images/{image_id}", {**MEMBER, **PATCH}, body)
        self.server.request("DELETE", f"/v2/images/{image_id}", STRANGER)
        self.server.request("GET", "/v2/images")
        denied = self.records()[1:]
        self.assertEqual(
            [(record["outcome"], record["http_status"], record.get("user")) for record in denied],
            [("failure", 403, "user of blue"), ("failure", 404, "user of red"), ("failure", 401, None)],
        )
        self.assertEqual((denied[1]["method"], denied[1]["image"]), ("DELETE", image_id))
        self.assertIn(image_id, denied[1]["reason"])

    def test_not_found(self) -> None:
        """A read that finds nothing has no record, but one that fails to get data has."""
        self.server.request("GET", "/v2/images/none", MEMBER)
        self.assertEqual(self.records(), [])
        self.server.request("GET", "/v2/images/none/file", MEMBER)
        self.assertEqual([record["http_status"] for record in self.records()], [404])

    def test_failed_upload(self) -> None:
        """A failed upload has the record of the request, and that of the image."""
        image_id = self.image_of_member()
        self.records()
        self.server.store().fail("write", StoreUnavailable("local", "does not answer."))
        self.server.request("PUT", f"/v2/images/{image_id}/file", {**MEMBER, **DATA}, b"data")
        self.server.store().heal()
        self.assertEqual(
            [(record["event"], record["outcome"], record["user"]) for record in self.records()],
            [
                ("image.prepare", "success", "user of blue"),
                ("image.upload", "failure", "user of blue"),
                ("request", "failure", "user of blue"),
            ],
        )

    def test_cut_download(self) -> None:
        """A download that the client breaks off has a record, with the bytes that it got."""
        image_id = self.image_of_member()
        self.server.request("PUT", f"/v2/images/{image_id}/file", {**MEMBER, **DATA}, bytes(1 << 10))
        self.records()
        store = self.server.store()
        store.cut_after = 100
        store.fail("read", ConnectionResetError("reset"))
        connection = self.server.connect()
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "imgsvc-test", **MEMBER}.items())
        connection.send(f"GET /v2/images/{image_id}/file HTTP/1.1\r\n{head}\r\n".encode())
        connection.lose()
        store.heal()
        [record] = self.records()
        self.assertEqual((record["event"], record["outcome"]), ("image.send", "failure"))
        self.assertEqual((record["asked"], record["sent"]), (1 << 10, 100))


class AuditLogTests(ApiTestCase):
    """A server that writes its audit to the log."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "audit": {"output": "log"}}

    def test_log(self) -> None:
        """The record is the message, and a field of JSON lines."""
        seen: list[LogEvent] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        image_id = self.server.image()["id"]
        self.server.clock.advance(0)
        [event] = [each for each in seen if "audit" in each.get("json_fields", {})]
        self.assertEqual(json.loads(formatEvent(event))["image"], image_id)
        self.assertEqual(event["json_fields"]["audit"]["event"], "image.create")


class NoAuditTests(ApiTestCase):
    """A server without an audit, which is the default."""

    def test_none(self) -> None:
        """Nothing follows the events for it."""
        self.assertIsNone(self.server.server.core.audit)


class AllEventsTests(SynchronousTestCase):
    """Events that the audit and notifications must know."""

    def test_all(self) -> None:
        """Every kind of event of images has a record and a notification."""
        kinds = {
            kind
            for kind in vars(event_model).values()
            if isinstance(kind, type) and issubclass(kind, ImageEvent) and kind is not ImageEvent
        }
        own = {event_model.ImageSent, event_model.ImageNotSent}
        self.assertEqual(kinds - _NAMES.keys() - own, {event_model.ImageUpdated})
        self.assertEqual(kinds - _OF_IMAGE.keys() - own, {event_model.ImageDeleted})
