"""POST /v2/images/{image_id}/actions/deactivate and .../reactivate"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve

from imgsvc.model import Status
from tests.support.server import fired
from tests.web.changing import ABSENT, ChangeTestCase, replace
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, READER, STRANGER, THREE_STORES


class ActionTests(ChangeTestCase):
    """Deactivate and reactivate images."""

    def act(self, action: str, image_id: str, headers: dict[str, str] = MEMBER, body: bytes | None = None) -> int:
        """The status of the response."""
        answer = self.server.request("POST", f"/v2/images/{image_id}/actions/{action}", headers, body)
        if answer.status == 204:
            self.assertEqual(answer.body, b"")
        return answer.status

    def assert_no_change(self, status: int, action: str, image_id: str, headers: dict[str, str] = MEMBER) -> None:
        """The response has this status, and the image is exactly as before."""
        before = self.kept(image_id)
        self.assertEqual(self.act(action, image_id, headers), status)
        self.assertEqual(self.kept(image_id), before)

    def test_life(self) -> None:
        """active -> deactivated -> active. Each action is sent twice and has an effect once. Only updated_at
        changes.
        """
        for headers in (MEMBER, ADMIN):
            image = self.made_active(tags=["t"], key="value")
            before = self.kept(image)
            self.assert_no_change(204, "reactivate", image, headers)
            self.assertEqual(self.act("deactivate", image, headers), 204)
            deactivated = self.kept(image)
            self.assertGreater(deactivated.updated_at, before.updated_at)
            expected = evolve(before, status=Status.DEACTIVATED, updated_at=deactivated.updated_at)
            self.assertEqual(deactivated, expected)
            self.assert_no_change(204, "deactivate", image, headers)
            self.assertEqual(self.act("reactivate", image, headers), 204)
            active = self.kept(image)
            self.assertGreater(active.updated_at, deactivated.updated_at)
            self.assertEqual(active, evolve(before, updated_at=active.updated_at))
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"data")

    def test_downloads(self) -> None:
        """Only administrators download a deactivated image, not even its owner."""
        image = self.made_active(visibility="community")
        path = f"/v2/images/{image}/file"
        self.assertEqual(self.act("deactivate", image), 204)
        for headers in (MEMBER, STRANGER, READER):
            self.assertEqual(self.server.request("GET", path, headers).status, 403)
            self.assertEqual(self.server.request("GET", path, {**headers, "Range": "bytes=0-1"}).status, 403)
            self.assertEqual(self.show(image, headers)["status"], "deactivated")
        answer = self.server.request("GET", path, ADMIN)
        self.assertEqual((answer.status, answer.body), (200, b"data"))

    def test_running_download(self) -> None:
        """A download that has begun continues."""
        image = self.made_active()
        store = self.server.store()
        store.hang("reader")
        connection = self.server.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in MEMBER.items())
        connection.send(f"GET /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        self.assertEqual((store.hung, connection.received), (1, b""))
        self.assertEqual(self.act("deactivate", image), 204)
        store.heal()
        self.assertEqual(connection.answers()[0].body, b"data")
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).status, 403)

    def test_statuses(self) -> None:
        """The response is 403 for an image in any other status."""
        for action in ("deactivate", "reactivate"):
            image = self.made()
            self.assert_no_change(403, action, image)
            self.assert_no_change(403, action, image, ADMIN)
            connection = self.begin_put(image, 4, b"da", *(f"{name}: {value}" for name, value in MEMBER.items()))
            self.assertEqual(self.show(image, MEMBER)["status"], "saving")
            self.assert_no_change(403, action, image)
            connection.lose()
            for status in (Status.UPLOADING, Status.IMPORTING):
                before = self.kept(image)
                fired(self.server.server.core.catalogue.update(before, evolve(before, status=status)))
                self.assert_no_change(403, action, image)
            self.server.request("DELETE", f"/v2/images/{image}", MEMBER)
            self.assertEqual(self.act(action, image), 404)
            self.assertEqual(self.act(action, image, ADMIN), 404)

    def test_permission(self) -> None:
        """Members of the owning project and administrators may act. Others who see the image get 403, the rest 404."""
        for action in ("deactivate", "reactivate"):
            for visibility, stranger in (("community", 403), ("shared", 404), ("private", 404)):
                image = self.made_active(visibility=visibility)
                if action == "reactivate":
                    self.act("deactivate", image)
                self.assert_no_change(401, action, image, {})
                self.assert_no_change(stranger, action, image, STRANGER)
                self.assert_no_change(403, action, image, READER)
            self.assertEqual(self.act(action, ABSENT), 404)

    def test_requests(self) -> None:
        """A body is 400, another method 405, another action 404. An empty body of any type is not a body."""
        image = self.made_active()
        for action in ("deactivate", "reactivate"):
            self.assertEqual(self.act(action, image, body=b"{}"), 400)
            for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
                answer = self.server.request(method, f"/v2/images/{image}/actions/{action}", MEMBER)
                self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        self.assertEqual(self.act("delete", image), 404)
        self.assertEqual(self.server.request("POST", f"/v2/images/{image}/actions", MEMBER).status, 404)
        self.assertEqual(self.show(image, MEMBER)["status"], "active")
        typed = {**MEMBER, "Content-Type": "application/octet-stream"}  # as glanceclient has it
        self.assertEqual(self.act("deactivate", image, typed, b""), 204)

    def test_deletion(self) -> None:
        """A deactivated image is deleted like any other, with its data."""
        image = self.made_active()
        self.act("deactivate", image)
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
        self.assert_nothing_kept()

    def test_upload(self) -> None:
        """A deactivated image takes no data."""
        image = self.made_active()
        self.act("deactivate", image)
        self.assertEqual(self.server.put(image, b"other", **MEMBER).status, 409)
        self.assertEqual(self.show(image, MEMBER)["status"], "deactivated")


class PlacesTests(ChangeTestCase):
    """Who sees the locations of a deactivated image."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": THREE_STORES,
        "identity": BEHIND_PROXY,
        "images": {"show_locations": True, "show_direct_url": True},
    }

    def test_shown(self) -> None:
        """Administrators see them. The owner does not, until the image is active again."""
        image = self.made_active()
        places = {"stores", "locations", "direct_url"}
        self.assertLessEqual(places, self.show(image, MEMBER).keys())
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", MEMBER)
        for shown in (self.show(image, MEMBER), self.patch(image, [replace("name", "x")]).json):
            self.assertEqual(places & shown.keys(), set())
        self.assertLessEqual(places, self.show(image, ADMIN).keys())
        listed = self.server.request("GET", "/v2/images", MEMBER).json["images"]
        self.assertEqual([places & shown.keys() for shown in listed], [set()])
        self.server.request("POST", f"/v2/images/{image}/actions/reactivate", MEMBER)
        self.assertLessEqual(places, self.show(image, MEMBER).keys())
