"""Deletion of images and of their data."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail

from imgsvc.errors import ObjectInUse, ObjectMissing, StoreAway, StoreForbidden, StoreUnavailable
from imgsvc.shield import shielded
from tests.support.server import Connection
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, ApiTestCase

ABSENT = "11111111-2222-3333-4444-555555555555"


class HeldCatalogue:
    """A catalogue whose deletion of an image waits until `go_on` fires."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.go_on: Deferred[None] = Deferred()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def delete(self, image_id: str) -> Deferred[Any]:
        """See IDeletionCatalogue."""
        return shielded(self.go_on.addCallback(lambda _: self._inner.delete(image_id)))


class DeletionTests(ApiTestCase):
    """DELETE /v2/images/{image_id}"""

    def made(self) -> str:
        """An image with data."""
        image: str = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"data").status, 204)
        return image

    def delete(self, image_id: str) -> int:
        """The status of the response."""
        return self.server.request("DELETE", f"/v2/images/{image_id}").status

    def test_bytes_go(self) -> None:
        """204 without a body. Image and data are gone."""
        image = self.made()
        answer = self.server.request("DELETE", f"/v2/images/{image}")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assert_nothing_kept()
        for path in ("", "/file"):
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}{path}").status, 404)
        self.assertEqual(self.delete(image), 404)
        self.assertEqual(self.server.request("GET", "/v2/images").json["images"], [])

    def test_queued(self) -> None:
        """An image without data is deleted too. One that never existed is 404."""
        self.assertEqual(self.delete(self.server.image()["id"]), 204)
        self.assertEqual(self.delete(ABSENT), 404)

    def test_protected(self) -> None:
        """A protected image is 403 and stays."""
        image = self.server.image(protected=True)["id"]
        self.server.put(image, b"data")
        self.assertEqual(self.delete(image), 403)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_body(self) -> None:
        """A request with a body is 400, and nothing is deleted."""
        image = self.made()
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", body=b"{}").status, 400)
        self.assertEqual(self.status(image), "active")

    def test_store_that_cannot_now(self) -> None:
        """If the store is down, the image is deleted and does not come back. The reaper removes the data."""
        image = self.made()
        store = self.server.store()
        store.fail("delete", StoreUnavailable("local", "x"))
        self.assertEqual(self.delete(image), 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)
        self.server.run_reaper()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)
        store.heal()
        self.server.run_reaper()
        self.assert_nothing_kept()
        store.calls.clear()
        self.server.run_reaper()
        self.assertNotIn("delete", store.calls)

    def hanging_delete(self, image: str) -> tuple[Any, Connection]:
        """A store that does not respond, and the connection of a client that waits for its deletion."""
        store = self.server.store()
        store.hang("delete")
        connection = self.server.connect()
        connection.send(f"DELETE /v2/images/{image} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return store, connection

    def test_store_that_refuses(self) -> None:
        """403 or 409. The image is unchanged, also by the reaper, and can be deleted when the store allows it."""
        for error, status in (
            (StoreForbidden("local", "x"), 403),
            (ObjectInUse("local", "x"), 409),
            (StoreAway("local", "x"), 503),
        ):
            image: str = self.server.image(tags=["a"], os_distro="debian")["id"]
            self.assertEqual(self.server.put(image, b"data").status, 204)
            store = self.server.store()
            before = self.show(image)
            store.fail("delete", error)
            self.assertEqual(self.delete(image), status)
            after = self.show(image)
            self.assertEqual({**after, "updated_at": None}, {**before, "updated_at": None})
            self.assertIn(image, [each["id"] for each in self.server.request("GET", "/v2/images").json["images"]])
            store.heal()
            self.server.run_reaper()
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")
            self.assertEqual(self.delete(image), 204)
            self.assert_nothing_kept()

    def test_store_that_is_away(self) -> None:
        """503 before anything is done. The record stays, and no store was asked to delete."""
        image = self.made()
        store = self.server.store()
        before = self.show(image)
        store.fail("check", StoreAway("local", "x"))
        self.assertEqual(self.delete(image), 503)
        self.assertEqual(self.show(image), before)
        self.assertNotIn("delete", store.calls)
        store.heal()
        self.assertEqual(self.delete(image), 204)
        self.assert_nothing_kept()

    def test_store_that_cannot_say(self) -> None:
        """A store whose check fails without being away is asked to delete."""
        image = self.made()
        self.server.store().fail("check", StoreUnavailable("local", "x"))
        self.assertEqual(self.delete(image), 204)
        self.assert_nothing_kept()

    def test_store_that_is_no_more(self) -> None:
        """503 while the store of the data is not configured, because the data still exists."""
        image = self.made()
        stores = self.server.server.core.stores._stores
        store = stores.pop("local")
        self.assertEqual(self.delete(image), 503)
        self.assertEqual(self.status(image), "active")
        stores["local"] = store
        self.assertEqual(self.delete(image), 204)
        self.assert_nothing_kept()

    def test_reaper_meanwhile(self) -> None:
        """The reaper does not touch an image that is being deleted."""
        image = self.made()
        store, connection = self.hanging_delete(image)
        self.server.run_reaper()
        self.assertEqual(store.calls.count("delete"), 1)
        store.heal()
        self.assertEqual(self.final_status(connection), 204)
        self.assert_nothing_kept()

    def test_refusal_that_nobody_waits_for(self) -> None:
        """An image whose store refuses comes back, even if the client has disconnected."""
        image = self.made()
        store, connection = self.hanging_delete(image)
        connection.lose()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)
        store.inner.delete = lambda location: fail(ObjectInUse("local", "x"))
        store.heal()
        self.assertEqual(self.status(image), "active")

    def test_client_gone_before_the_record(self) -> None:
        """A client that disconnects before the record is deleted makes no difference either."""
        image = self.made()
        held = HeldCatalogue(self.server.server.core.catalogue)
        self.server.server.core.deletion.catalogue = held  # type: ignore[assignment]
        self.server.store().fail("delete", ObjectInUse("local", "x"))
        connection = self.server.connect()
        connection.send(f"DELETE /v2/images/{image} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.lose()
        held.go_on.callback(None)
        self.assertEqual(self.status(image), "active")
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").status, 200)

    def test_bytes_that_are_gone_already(self) -> None:
        """Data that is already missing in the store need not be deleted."""
        image = self.made()
        store = self.server.store()
        store.fail("delete", ObjectMissing("local", "x"), done=True)
        self.assertEqual(self.delete(image), 204)
        store.calls.clear()
        self.server.run_reaper()
        self.assertNotIn("delete", store.calls)

    def test_client_gone(self) -> None:
        """A client that does not wait for the store makes no difference."""
        image = self.made()
        store, connection = self.hanging_delete(image)
        connection.lose()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)
        store.heal()
        self.server.run_reaper()
        self.assert_nothing_kept()


class PermissionTests(ApiTestCase):
    """Which callers may delete images."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def test_each(self) -> None:
        """Members of the owning project and administrators may delete. Others who see the image get 403, the
        rest 404.
        """
        body = b'{"visibility": "%s"}'
        for visibility, stranger in ((b"community", 403), (b"shared", 404), (b"private", 404)):
            image = self.server.request("POST", "/v2/images", MEMBER, body % visibility).json["id"]
            path = f"/v2/images/{image}"
            statuses = [self.server.request("DELETE", path, who).status for who in ({}, STRANGER, READER, MEMBER)]
            self.assertEqual(statuses, [401, stranger, 403, 204])
            self.assertEqual(self.server.request("DELETE", path, MEMBER).status, 404)
        image = self.server.request("POST", "/v2/images", MEMBER, b"{}").json["id"]
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", ADMIN).status, 204)
