"""Uploads that are refused before their first byte, and the order of the checks."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from imgsvc.errors import StoreFull, StoreReadOnly, StoreUnavailable, StoreWriteDenied
from tests.web.rigs import (
    ADMIN,
    BEHIND_PROXY,
    MEMBER,
    MEMORY,
    ONE_STORE,
    READER,
    STRANGER,
    THREE_STORES,
    ApiTestCase,
    chunked,
    identity,
)

ABSENT = "11111111-2222-3333-4444-555555555555"


class RequestTests(ApiTestCase):
    """Refusals that depend on the request alone."""

    def test_content_type(self) -> None:
        """Anything but application/octet-stream is 415."""
        image = self.server.image()["id"]
        for given in ("application/json", "text/plain", "application/octet-streams", "", "octet-stream"):
            answer = self.server.put(image, b"data", **{"Content-Type": given})
            self.assertEqual(answer.status, 415, given)
        self.assertEqual(self.server.request("PUT", f"/v2/images/{image}/file", body=b"data").status, 415)
        self.assert_undone(image)

    def test_content_type_with_parameters(self) -> None:
        """Parameters and case of the Content-Type are ignored."""
        for given in ("application/octet-stream; charset=binary", "Application/Octet-Stream;q=1"):
            self.assertEqual(self.server.put(self.server.image()["id"], b"data", **{"Content-Type": given}).status, 204)

    def test_size_that_is_no_number(self) -> None:
        """An X-OpenStack-Image-Size that is not a number of bytes is 400."""
        image = self.server.image()["id"]
        for given in ("four", "-4", "4.0", "0x4", "", "4 4", "\xb2", "9" * 20):
            answer = self.server.put(image, b"data", **{"X-OpenStack-Image-Size": given})
            self.assertEqual(answer.status, 400, given)
        self.assert_undone(image)

    def test_part(self) -> None:
        """A request that names a part of the data is 400, because the image would become active with this part."""
        image = self.server.image()["id"]
        for given in ("bytes 0-3/10", "bytes 4-7/8", "bytes 0-3/4", "x"):
            self.assertEqual(self.server.put(image, b"data", **{"Content-Range": given}).status, 400, given)
        self.assert_undone(image)

    def test_content_encoding(self) -> None:
        """Encoded data is 415 before the body is requested. `identity` is not an encoding."""
        image = self.server.image()["id"]
        for given in (
            "gzip",
            "GZIP",
            "identity, gzip",
            "gzip, identity",
            "aws-chunked",
            "x",
            "identity\r\nContent-Encoding: br",
        ):
            connection = self.begin_put(image, 4, b"", f"Content-Encoding: {given}", "Expect: 100-continue")
            (answer,) = connection.answers()
            self.assertEqual((answer.status, answer.headers["accept-encoding"]), (415, "identity"), given)
        self.assertNotIn("writer", self.server.store().calls)
        self.assert_undone(image)
        for given in ("identity", "Identity", "identity, identity", ""):
            self.assertEqual(
                self.server.put(self.server.image()["id"], b"data", **{"Content-Encoding": given}).status, 204
            )

    def test_http_1_0(self) -> None:
        """A request of HTTP/1.0 must have a length, even of 0. Otherwise the end of the data is unknown."""
        image = self.server.image()["id"]
        head = self.put_headers(image).replace(b"HTTP/1.1", b"HTTP/1.0")
        connection = self.server.connect()
        connection.send(head + b"data")
        self.assertEqual(self.final_status(connection), 400)
        self.assert_queued(image)
        for data in (b"data", b""):
            image = self.server.image()["id"]
            connection = self.server.connect()
            head = self.put_headers(image, f"Content-Length: {len(data)}").replace(b"HTTP/1.1", b"HTTP/1.0")
            connection.send(head + data)
            self.assertEqual(self.final_status(connection), 204)
            self.assertEqual((self.show(image)["status"], self.show(image)["size"]), ("active", len(data)))

    def test_http_1_1_without_length(self) -> None:
        """A request of HTTP/1.1 without a length and without chunks has no body (RFC 9112 section 6.3): an
        image of 0 bytes.
        """
        image = self.server.image()["id"]
        connection = self.server.connect()
        connection.send(self.put_headers(image))
        self.assertEqual(self.final_status(connection), 204)
        self.assertEqual(self.show(image)["size"], 0)

    def test_formats(self) -> None:
        """An image without both formats takes no data: 400."""
        for missing in (
            {"disk_format": None},
            {"container_format": None},
            {"disk_format": None, "container_format": None},
        ):
            image = self.server.image(**missing)["id"]
            self.assertEqual(self.server.put(image, b"data").status, 400)
            self.assert_queued(image)
        self.assert_nothing_kept()

    def test_absent_and_deleted(self) -> None:
        """An image that never existed or was deleted is 404, and so is an impossible id."""
        image = self.server.image()["id"]
        self.server.request("DELETE", f"/v2/images/{image}")
        for image_id in (ABSENT, image, "x", "x" * 100, "%F0%9F%92%BE"):
            self.assertEqual(self.server.put(image_id, b"data").status, 404, image_id)
        self.assert_nothing_kept()

    def test_store_is_left_alone(self) -> None:
        """A refused upload does not call the store."""
        self.server.put(ABSENT, b"data")
        self.assertNotIn("writer", self.server.store().calls)


class StatusTests(ApiTestCase):
    """Only a queued image takes data."""

    def set_status(self, image_id: str, status: str) -> None:
        """Set the status in the database."""
        with sqlite3.connect(self.folder / "imgsvc.sqlite") as connection:
            connection.execute("UPDATE images SET status = ? WHERE id = ?", (status, image_id))
        connection.close()

    def test_each(self) -> None:
        """Every status except queued is 409, and stays."""
        for status in ("saving", "uploading", "importing", "deactivated", "killed"):
            image = self.server.image()["id"]
            self.set_status(image, status)
            self.assertEqual(self.server.put(image, b"data").status, 409, status)
            self.assertEqual(self.status(image), status)
        self.assert_nothing_kept()

    def test_active(self) -> None:
        """An image takes data only once."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"data").status, 204)
        before = self.show(image)
        self.assertEqual(self.server.put(image, b"others").status, 409)
        self.assertEqual(self.show(image), before)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_saving(self) -> None:
        """A second upload at the same time is 409, and does not harm the first."""
        image = self.server.image()["id"]
        first = self.begin_put(image, 4, b"da")
        self.assertEqual(self.status(image), "saving")
        self.assertEqual(self.server.put(image, b"others").status, 409)
        first.send(b"ta")
        self.assertEqual(self.final_status(first), 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_status_before_formats(self) -> None:
        """An image that is not queued is 409 even if its formats are missing."""
        image = self.server.image(disk_format=None)["id"]
        self.set_status(image, "importing")
        self.assertEqual(self.server.put(image, b"data").status, 409)

    def test_lost_race(self) -> None:
        """Of two uploads that both found the image queued, the later claim is 409."""
        image = self.server.image()["id"]
        catalogue = self.server.server.core.catalogue
        claim = catalogue.claim

        def claim_late(*arguments: Any) -> Any:
            catalogue.claim = claim
            self.assertEqual(self.server.put(image, b"first").status, 204)
            return claim(*arguments)

        catalogue.claim = claim_late  # type: ignore[method-assign]  # between the look-up and the claim
        self.assertEqual(self.server.put(image, b"second").status, 409)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"first")


class PermissionTests(ApiTestCase):
    """Which callers may upload, behind an identifying proxy."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def made(self, **fields: Any) -> str:
        """A new image of the project blue."""
        body = b'{"disk_format": "raw", "container_format": "bare", "visibility": "%s"}'
        visibility = fields.get("visibility", "shared").encode()
        headers = ADMIN if visibility == b"public" else MEMBER
        answer = self.server.request("POST", "/v2/images", headers, body % visibility)
        self.assertEqual(answer.status, 201)
        made: str = answer.json["id"]
        return made

    def put(self, image_id: str, who: dict[str, str]) -> int:
        """Upload as a caller."""
        return self.server.put(image_id, b"data", **who).status

    def test_member_and_admin(self) -> None:
        """A member of the owning project and an administrator of any project may upload."""
        self.assertEqual(self.put(self.made(), MEMBER), 204)
        self.assertEqual(self.put(self.made(), ADMIN), 204)

    def test_nobody(self) -> None:
        """Without a confirmed identity the response is 401, whatever else is wrong."""
        image = self.made()
        for headers in ({}, {**MEMBER, "X-Identity-Status": "Invalid"}):
            self.assertEqual(self.put(image, headers), 401)
            self.assertEqual(self.server.request("PUT", f"/v2/images/{image}/file", headers, b"data").status, 401)
            self.assertEqual(self.put(ABSENT, headers), 401)
        self.assert_queued(image, **MEMBER)

    def test_reader(self) -> None:
        """A reader of the owning project sees the image and may not upload: 403."""
        image = self.made()
        self.assertEqual(self.put(image, READER), 403)
        self.assert_queued(image, **MEMBER)
        self.assert_nothing_kept()

    def test_visible_to_strangers(self) -> None:
        """An image that a stranger sees, but may not write, is 403."""
        for visibility in ("public", "community"):
            image = self.made(visibility=visibility)
            self.assertEqual(self.put(image, STRANGER), 403, visibility)
            self.assert_queued(image, **MEMBER)

    def test_invisible_to_strangers(self) -> None:
        """An image that a stranger does not see is 404, whatever else is wrong."""
        for visibility in ("shared", "private"):
            image = self.made(visibility=visibility)
            self.assertEqual(self.put(image, STRANGER), 404, visibility)
            self.assertEqual(self.put(image, MEMBER), 204)
            self.assertEqual(self.put(image, STRANGER), 404, visibility)

    def test_without_reader_role(self) -> None:
        """A caller without a role sees no image: 404."""
        self.assertEqual(self.put(self.made(), identity("blue")), 404)

    def test_permission_before_status(self) -> None:
        """A reader gets 403 also for an active image."""
        image = self.made()
        self.put(image, MEMBER)
        self.assertEqual(self.put(image, READER), 403)


class LimitTestCase(ApiTestCase):
    """Uploads of one project."""

    def made(self) -> str:
        """A new image of the project blue."""
        answer = self.server.request(
            "POST", "/v2/images", MEMBER, b'{"disk_format": "raw", "container_format": "bare"}'
        )
        made: str = answer.json["id"]
        return made

    def put(self, image_id: str, size: int, **headers: str) -> int:
        """Upload so many bytes as a member."""
        return self.server.put(image_id, bytes(size), **MEMBER, **headers).status


class LimitTests(LimitTestCase):
    """Limits that an announced size exceeds, or that are reached."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "images": {"size_cap": 1000},
        "quotas": {"unified": True, "image_size_total": 2000, "image_count_uploading": 2, "user_storage": 1},
    }

    def test_size_cap(self) -> None:
        """A size over the cap is 413. The cap itself is allowed."""
        image = self.made()
        self.assertEqual(self.put(image, 1001), 413)
        self.assertEqual(self.put(image, 0, **{"X-OpenStack-Image-Size": "1001"}), 413)
        self.assert_queued(image, **MEMBER)
        self.assert_nothing_kept()
        self.assertEqual(self.put(image, 1000), 204)

    def test_size_total(self) -> None:
        """A size that exceeds the project's total is 413 before the image is looked up."""
        self.assertEqual(self.put(self.made(), 1000), 204)
        self.assertEqual(self.put(ABSENT, 1001), 413)
        self.assertEqual(self.put(ABSENT, 1000), 404)

    def test_size_total_is_of_the_project(self) -> None:
        """The usage of other projects does not count."""
        self.assertEqual(self.put(self.made(), 1000), 204)
        self.assertEqual(self.server.put(ABSENT, bytes(1001), **STRANGER).status, 404)

    def test_count_uploading(self) -> None:
        """One upload more than the limit of concurrent ones is 413 before the image is looked up."""
        first, second = self.made(), self.made()
        lines = [f"{name}: {value}" for name, value in MEMBER.items()]
        connections = [self.begin_put(image, 10, b"12345", *lines) for image in (first, second)]
        self.assertEqual(self.put(self.made(), 4), 413)
        self.assertEqual(self.put(ABSENT, 4), 413)
        self.assertEqual(self.server.put(ABSENT, b"data", **STRANGER).status, 404)
        for connection in connections:
            connection.send(b"67890")
            self.assertEqual(self.final_status(connection), 204)
        self.assertEqual(self.put(self.made(), 4), 204)

    def test_order(self) -> None:
        """Content-Type, size header, quota, store and image are checked in this order."""
        wrong = {"Content-Type": "text/plain", "X-OpenStack-Image-Size": "x"}
        self.assertEqual(self.server.put(ABSENT, b"", **MEMBER, **wrong).status, 415)
        del wrong["Content-Type"]
        self.assertEqual(self.server.put(ABSENT, b"", **MEMBER, **wrong).status, 400)
        self.assertEqual(self.put(ABSENT, 2001), 413)
        self.assertEqual(self.put(ABSENT, 1001), 404)


class UserStorageTests(LimitTestCase):
    """The storage of every owner, without limits of projects."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"user_storage": 1800, "image_size_total": 1, "image_count_uploading": 1},
    }

    def test_left(self) -> None:
        """A size over the rest of the owner's storage is 413."""
        self.assertEqual(self.put(self.made(), 1000), 204)
        image = self.made()
        self.assertEqual(self.put(image, 801), 413)
        self.assert_queued(image, **MEMBER)
        self.assertEqual(self.put(image, 800), 204)


class UsedUpTests(ApiTestCase):
    """A project that exceeds its total already."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"unified": True, "image_size_total": 4},
    }

    def test_any(self) -> None:
        """If the total is used up, any upload is 413, also without an announced size."""
        body = b'{"disk_format": "raw", "container_format": "bare"}'
        images = [self.server.request("POST", "/v2/images", MEMBER, body).json["id"] for _ in range(2)]
        self.assertEqual(self.server.put(images[0], b"data", **MEMBER).status, 204)
        chunks = {"Transfer-Encoding": "chunked", **MEMBER}
        self.assertEqual(self.server.put(images[1], chunked(b"x"), **chunks).status, 413)
        self.assert_queued(images[1], **MEMBER)


class StoreIdTests(ApiTestCase):
    """`X-Image-Meta-Store` with several stores."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": THREE_STORES}

    def test_named_and_default(self) -> None:
        """The data goes to the named store, or to the default store, and the image names it."""
        for headers, store_id in (({}, "fast"), ({"X-Image-Meta-Store": "cheap"}, "cheap")):
            image = self.server.image()["id"]
            self.assertEqual(self.server.put(image, b"data", **headers).status, 204)
            self.assertEqual(self.show(image)["stores"], store_id)
        self.assertEqual(self.server.store("far").calls.count("writer"), 0)

    def test_unknown(self) -> None:
        """A store that does not exist, or is reserved, is 400 before the image is looked up."""
        image = self.server.image()["id"]
        for store_id in ("slow", "os_glance_staging_store", "os_glance_tasks_store", "FAST", ""):
            self.assertEqual(self.server.put(image, b"data", **{"X-Image-Meta-Store": store_id}).status, 400, store_id)
            self.assertEqual(self.server.put(ABSENT, b"data", **{"X-Image-Meta-Store": store_id}).status, 400)
        self.assert_queued(image)
        self.assert_nothing_kept(("fast", "cheap", "far"))


class OneStoreIdTests(ApiTestCase):
    """`X-Image-Meta-Store` with one store."""

    def test_ignored(self) -> None:
        """The header is ignored."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"data", **{"X-Image-Meta-Store": "elsewhere"}).status, 204)


class RefusingStoreTests(ApiTestCase):
    """Stores that refuse to begin an object."""

    def test_each(self) -> None:
        """Read-only is 410, full 413, denied and unreachable 503. The image is queued again."""
        for error, status in (
            (StoreReadOnly("local", "takes no images."), 410),
            (StoreFull("local", "is full."), 413),
            (StoreWriteDenied("local", "may not be written."), 503),
            (StoreUnavailable("local", "does not answer."), 503),
        ):
            image = self.server.image()["id"]
            self.server.store().fail("writer", error)
            answer = self.server.put(image, b"data")
            self.assertEqual(answer.status, status)
            self.assertNotIn("retry-after", answer.headers)
            self.server.store().heal()
            self.assert_queued(image)
            self.assert_nothing_kept()
            self.assertEqual(self.server.put(image, b"again").status, 204)
            self.server.request("DELETE", f"/v2/images/{image}")

    def test_announced_size_does_not_fit(self) -> None:
        """A size for which the store has no space is 413 before the first byte is requested."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, MEMORY["capacity"] + 1, b"", "Expect: 100-continue")
        self.assertEqual([answer.status for answer in connection.answers()], [413])
        self.assert_undone(image)


class CatalogueTests(ApiTestCase):
    """A database that does not respond."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "database": {"busy_timeout": 0}}

    def test_locked(self) -> None:
        """An upload that cannot be claimed is 503, and can be tried again."""
        image = self.server.image()["id"]
        other = sqlite3.connect(self.folder / "imgsvc.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.assertEqual(self.server.put(image, b"data").status, 503)
        other.execute("ROLLBACK")
        self.assert_undone(image)

    def test_locked_at_the_end(self) -> None:
        """An upload that cannot be activated is 503. Its data and its claim are removed when the database
        responds again.
        """
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        other = sqlite3.connect(self.folder / "imgsvc.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 503)
        other.execute("ROLLBACK")
        self.assertEqual(self.status(image), "saving")
        self.server.expire_leases()
        self.server.run_reaper()
        self.assert_undone(image)


class ContinueTests(ApiTestCase):
    """`Expect: 100-continue`"""

    def answers(self, image_id: str, *lines: str) -> list[int]:
        """The statuses that a client gets that sends nothing before 100 Continue."""
        connection = self.begin_put(image_id, 4, b"", "Expect: 100-continue", *lines)
        return [answer.status for answer in connection.answers()]

    def test_accepted(self) -> None:
        """An accepted upload gets 100 Continue, and then its response."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"", "Expect: 100-continue")
        self.assertEqual([answer.status for answer in connection.answers()], [100])
        self.assertEqual(self.status(image), "saving")
        connection.send(b"data")
        self.assertEqual([answer.status for answer in connection.answers()], [100, 204])

    def test_refused(self) -> None:
        """A refusal comes without 100 Continue."""
        image = self.server.image()["id"]
        self.assertEqual(self.answers(ABSENT), [404])
        self.assertEqual(self.answers(image, "Content-Type: text/plain"), [415])
        self.assertEqual(self.answers(image, "X-OpenStack-Image-Size: x"), [400])
        self.server.store().fail("writer", StoreUnavailable("local", "does not answer."))
        self.assertEqual(self.answers(image), [503])
        self.server.store().heal()
        self.assertEqual(self.server.put(image, b"data").status, 204)
        self.assertEqual(self.answers(image), [409])
