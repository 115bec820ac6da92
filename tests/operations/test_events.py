"""The events that the calls of the API publish."""

from __future__ import annotations

from typing import Any, ClassVar

from imgsvc.errors import StoreUnavailable
from imgsvc.event_model import Event, ImageEvent, ImageSent, MemberEvent, MemberRemoved, RequestFailed, StoreDown
from tests.web.rigs import ONE_STORE, ApiTestCase

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


class PublishedTests(ApiTestCase):
    """A server, and all events that it publishes."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE}

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[Event] = []
        self.server.server.core.events.subscribe(Event, self.seen.append)

    def published(self) -> list[str]:
        """The names of the events since the last call."""
        self.server.clock.advance(0)
        names = [type(event).__name__ for event in self.seen]
        self.latest = list(self.seen)
        self.seen.clear()
        return names

    def statuses(self) -> list[str]:
        """The statuses of the images of these events."""
        return [event.image.status.value for event in self.latest if isinstance(event, ImageEvent)]

    def test_life(self) -> None:
        """The events of an image that is created, filled, read, changed, deactivated, reactivated and deleted."""
        image_id = self.server.image()["id"]
        self.assertEqual(self.published(), ["ImageCreated"])
        self.assertEqual(self.server.put(image_id, b"data").status, 204)
        self.assertEqual(self.published(), ["ImageUploading", "ImageUploaded"])
        self.assertEqual(self.statuses(), ["saving", "active"])
        activated = self.latest[-1]
        assert isinstance(activated, ImageEvent)
        shown = self.server.request("GET", f"/v2/images/{image_id}").json
        self.assertEqual(activated.image.os_hash_value, shown["os_hash_value"])
        self.assertEqual((activated.image.size, len(activated.image.locations)), (4, 1))
        self.server.request("GET", f"/v2/images/{image_id}/file", {"Range": "bytes=1-2"})
        self.assertEqual(self.published(), ["ImageSent"])
        sent = self.latest[-1]
        assert isinstance(sent, ImageSent)
        self.assertEqual((sent.image.id, sent.size), (image_id, 2))
        body = b'[{"op": "replace", "path": "/name", "value": "other"}]'
        self.assertEqual(self.server.request("PATCH", f"/v2/images/{image_id}", PATCH, body).status, 200)
        self.assertEqual(self.published(), ["ImageUpdated"])
        self.server.request("PUT", f"/v2/images/{image_id}/tags/good")
        self.assertEqual(self.published(), ["ImageUpdated"])
        self.server.request("PUT", f"/v2/images/{image_id}/tags/good")
        self.assertEqual(self.published(), [], "nothing has changed")
        self.server.request("POST", f"/v2/images/{image_id}/actions/deactivate")
        self.server.request("POST", f"/v2/images/{image_id}/actions/reactivate")
        self.assertEqual(self.published(), ["ImageDeactivated", "ImageReactivated"])
        self.server.request("DELETE", f"/v2/images/{image_id}")
        self.assertEqual(self.published(), ["ImageDeleted"])

    def test_failed_upload(self) -> None:
        """A failed upload publishes that the image is queued, and that the request has failed."""
        image_id = self.server.image()["id"]
        self.published()
        self.server.store().fail("write", StoreUnavailable("local", "does not answer."))
        self.assertEqual(self.server.put(image_id, b"data").status, 503)
        self.server.store().heal()
        self.assertEqual(self.published(), ["ImageUploading", "ImageQueued", "RequestFailed"])
        self.assertEqual(self.statuses(), ["saving", "queued"])

    def test_refused(self) -> None:
        """A refused request publishes that it has failed, and nothing else."""
        image_id = self.server.image()["id"]
        self.published()
        self.server.request("DELETE", f"/v2/images/{image_id}/tags/none")
        self.server.request("GET", f"/v2/images/{image_id}/file")
        self.server.request("POST", f"/v2/images/{image_id}/actions/deactivate")
        self.assertEqual(self.published(), ["RequestFailed", "RequestFailed"])
        failed = self.latest[-1]
        assert isinstance(failed, RequestFailed)
        self.assertEqual((failed.method, failed.image_id, failed.status), ("POST", image_id, 403))
        self.assertIn("it is queued", failed.reason)

    def test_members(self) -> None:
        """The events of a member that is added, accepts, and is removed."""
        image_id = self.server.image()["id"]
        self.published()
        members = f"/v2/images/{image_id}/members"
        json = {"Content-Type": "application/json"}
        self.assertEqual(self.server.request("POST", members, json, b'{"member": "guests"}').status, 200)
        self.assertEqual(self.published(), ["MemberAdded"])
        self.assertEqual(self.server.request("PUT", f"{members}/guests", json, b'{"status": "accepted"}').status, 200)
        self.assertEqual(self.published(), ["MemberChanged"])
        changed = self.latest[-1]
        assert isinstance(changed, MemberEvent)
        self.assertEqual((changed.image.id, changed.member.status), (image_id, "accepted"))
        self.assertEqual(self.server.request("DELETE", f"{members}/guests").status, 204)
        self.assertEqual(self.published(), ["MemberRemoved"])
        removed = self.latest[-1]
        assert isinstance(removed, MemberRemoved)
        self.assertEqual(removed.member_id, "guests")

    def test_store(self) -> None:
        """The events of a store that fails its health check, and then passes it."""
        self.server.store().fail("usage", StoreUnavailable("local", "does not answer."))
        self.server.request("GET", "/healthcheck?detail")
        self.assertEqual(self.published(), ["StoreDown"])
        down = self.latest[-1]
        assert isinstance(down, StoreDown)
        self.assertEqual(down.store_id, "local")
        self.assertIn("does not answer", down.reason)
        self.server.request("GET", "/healthcheck?detail")
        self.assertEqual(self.published(), [], "it is as it was")
        self.server.store().heal()
        self.server.clock.advance(2)
        self.server.request("GET", "/healthcheck?detail")
        self.assertEqual(self.published(), ["StoreUp"])
