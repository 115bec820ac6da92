"""Uploads into stores that fail or make no progress, and the leases of uploads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from imgsvc.errors import CatalogueUnavailable, ObjectExists, StoreFull, StoreUnavailable, StoreWriteDenied
from imgsvc.lease_keeper import RENEWALS_IN_A_LEASE, STALLED_LEASES
from tests.support.server import fired
from tests.web.rigs import MEMORY, ONE_STORE, ApiTestCase

LEASE = 60.0
STALL_TIME = LEASE * STALLED_LEASES
BIG = 9 << 20
"""The data of an upload that is larger than one transfer's share of the memory."""


class FailingTests(ApiTestCase):
    """Stores that fail during a transfer."""

    errors = (
        (StoreFull("local", "is full."), 413),
        (StoreWriteDenied("local", "may not be written."), 503),
        (StoreUnavailable("local", "does not answer."), 503),
    )

    def test_write(self) -> None:
        """The client gets the error of the store, and the image is queued again."""
        for error, status in self.errors:
            image = self.server.image()["id"]
            self.server.store().fail("write", error)
            self.assertEqual(self.server.put(image, b"data").status, status)
            self.server.store().heal()
            self.assert_queued(image)
            self.assert_nothing_kept()

    def test_write_in_the_midst(self) -> None:
        """If a store fails after half of the data, the client is told at once, not at the end."""
        image = self.server.image()["id"]
        self.server.store().fail("write", StoreFull("local", "is full."))
        connection = self.begin_put(image, BIG, bytes(4 << 20))
        self.assertEqual(self.final_status(connection), 413)
        self.server.store().heal()
        self.assert_undone(image)

    def test_commit(self) -> None:
        """The same at the end. An object that exists already is 409."""
        for error, status in (*self.errors, (ObjectExists("local", "there is one."), 409)):
            image = self.server.image()["id"]
            self.server.store().fail("commit", error)
            self.assertEqual(self.server.put(image, b"data").status, status)
            self.server.store().heal()
            self.assert_queued(image)
            self.assert_nothing_kept()

    def test_commit_whose_answer_is_lost(self) -> None:
        """A commit that was done, but reported as failed, leaves no object."""
        image = self.server.image()["id"]
        self.server.store().fail("commit", StoreUnavailable("local", "the answer is lost."), done=True)
        self.assertEqual(self.server.put(image, b"data").status, 503)
        self.server.store().heal()
        self.assert_undone(image)

    def test_fault_that_is_no_error_of_the_domain(self) -> None:
        """An unexpected error is 500, is logged, and the upload is undone as usual."""
        image = self.server.image()["id"]
        self.server.store().fail("write", ZeroDivisionError("in a store"))
        self.assertEqual(self.server.put(image, b"data").status, 500)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.server.store().heal()
        self.assert_undone(image)

    def test_abort(self) -> None:
        """An undo that fails is left to the reaper. The claim stays until the store has removed the object."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.fail("commit", StoreUnavailable("local", "does not answer."), done=True)
        store.fail("abort", StoreUnavailable("local", "does not answer."))
        self.assertEqual(self.server.put(image, b"data").status, 503)
        self.assertEqual(self.status(image), "saving")
        store.fail("discard", StoreUnavailable("local", "does not answer."))
        self.server.expire_leases()
        self.server.run_reaper()
        self.assertEqual(self.status(image), "saving")
        store.heal()
        self.server.expire_leases()
        self.server.run_reaper()
        self.assert_undone(image)

    def test_finalize(self) -> None:
        """If `finalize` fails, the upload has succeeded, and the reaper finalizes it."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.fail("finalize_writer", StoreUnavailable("local", "does not answer."))
        self.assertEqual(self.server.put(image, b"data").status, 204)
        store.heal()
        self.server.run_reaper()
        self.assertEqual(store.calls.count("finalize"), 1)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")
        self.server.request("DELETE", f"/v2/images/{image}")
        self.assert_nothing_kept()


class StalledTests(ApiTestCase):
    """Stores that hang."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": {"default": "local", "local": MEMORY, "other": MEMORY}}

    def pass_time(self, seconds: float) -> None:
        """Advance the clock in steps of the renewals."""
        for _ in range(round(seconds / (LEASE / RENEWALS_IN_A_LEASE))):
            self.server.clock.advance(LEASE / RENEWALS_IN_A_LEASE)

    def stall_at(self, call: str) -> None:
        """If the store hangs in this call, its client gets 503 after the stall time, and no other upload waits."""
        image, other, free = (self.server.image()["id"] for _ in range(3))
        store = self.server.store()
        store.hang(call)
        connection = self.begin_put(image, 4, b"data")
        moving = self.begin_put(other, 4, b"da", "X-Image-Meta-Store: other")
        self.pass_time(STALL_TIME - LEASE)
        self.assertIsNone(self.final_status(connection))
        self.assertEqual(self.server.put(free, b"x", **{"X-Image-Meta-Store": "other"}).status, 204)
        self.pass_time(2 * LEASE)
        self.assertEqual(self.final_status(connection), 503)
        connection.lose()
        moving.lose()

    def assert_recovers(self) -> None:
        """When the store responds again, nothing is left but the complete image."""
        (image,) = self.server.request("GET", "/v2/images?status=saving").json["images"]
        self.server.expire_leases()
        self.server.store().heal()
        self.server.run_reaper()
        self.assertEqual(self.server.server.core.uploads.running, set())
        self.assert_queued(image["id"])
        self.assert_nothing_kept(["local"])

    def test_writer(self) -> None:
        """A store that hangs at the beginning."""
        self.stall_at("writer")
        self.assert_recovers()

    def test_write(self) -> None:
        """A store that hangs in a write."""
        self.stall_at("write")
        self.server.expire_leases()
        (image,) = self.server.request("GET", "/v2/images?status=saving").json["images"]
        self.server.run_reaper()  # another process undoes it while this one hangs
        self.assert_queued(image["id"])
        self.assertEqual(self.server.put(image["id"], b"new", **{"X-Image-Meta-Store": "other"}).status, 204)
        self.server.store().heal()  # then the late write is done, which must do no harm
        self.assertEqual(self.server.request("GET", f"/v2/images/{image['id']}/file").body, b"new")
        self.assertEqual(self.server.server.core.uploads.running, set())
        self.assert_nothing_kept(["local"])

    def test_commit(self) -> None:
        """A store that hangs in the commit."""
        self.stall_at("commit")
        (image,) = self.server.request("GET", "/v2/images?status=saving").json["images"]
        self.server.expire_leases()
        self.server.run_reaper()
        self.assert_queued(image["id"])
        self.server.store().heal()
        self.assert_queued(image["id"])
        self.assertEqual(self.server.server.core.uploads.running, set())
        self.assert_nothing_kept(["local"])

    def test_finalize(self) -> None:
        """A store that hangs in `finalize`. The upload has no lease any more, and needs none."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        image = self.server.image()["id"]
        store = self.server.store()
        store.hang("finalize_writer")
        self.assertEqual(self.server.put(image, b"data").status, 204)
        self.assertEqual(store.hung, 1)
        self.pass_time(LEASE)
        self.assertEqual([event for event in logged if event["log_level"] is LogLevel.error], [])
        store.heal()
        self.assertEqual(self.server.server.core.uploads.running, set())

    def test_slow_client(self) -> None:
        """A client that sends little, but more than `server.minimum_rate`, does not count as stalled, however
        long it takes.
        """
        image = self.server.image()["id"]
        piece = bytes(64 << 10)
        connection = self.begin_put(image, 12 * len(piece), piece)
        for _ in range(11):
            self.server.clock.advance(50)
            connection.send(piece)
        self.assertEqual(self.final_status(connection), 204)


class LeaseTests(ApiTestCase):
    """The lease of a running upload."""

    def expiry(self) -> list[int]:
        """The expiry of the leases of all uploads."""
        with sqlite3.connect(self.folder / "imgsvc.sqlite") as connection:
            rows = connection.execute("SELECT expires_at FROM leases").fetchall()
        connection.close()
        return [moment for (moment,) in rows]

    def test_renewed(self) -> None:
        """The lease is renewed as long as the upload runs, and is gone after it."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        self.server.expire_leases()
        self.server.clock.advance(LEASE / RENEWALS_IN_A_LEASE)
        self.assertGreater(self.expiry()[0], 0)
        connection.send(b"ta")
        self.assertEqual(self.expiry(), [])

    def test_renewed_while_the_store_is_slow(self) -> None:
        """It is also renewed while nothing moves, for less than the stall time."""
        image = self.server.image()["id"]
        self.server.store().hang("commit")
        connection = self.begin_put(image, 4, b"data")
        self.server.expire_leases()
        self.server.clock.advance(LEASE / RENEWALS_IN_A_LEASE)
        self.assertGreater(self.expiry()[0], 0)
        self.server.store().heal()
        self.assertEqual(self.final_status(connection), 204)

    def test_lost(self) -> None:
        """An upload whose claim was taken over ends at the next renewal, and leaves the image to its successor."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        self.server.expire_leases()
        self.server.run_reaper()
        next_one = self.begin_put(image, 3, b"ne")
        self.server.clock.advance(LEASE / RENEWALS_IN_A_LEASE)
        self.assertEqual(self.final_status(connection), 410)
        next_one.send(b"w")
        self.assertEqual(self.final_status(next_one), 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"new")


class UnreachableCatalogueTests(ApiTestCase):
    """A database that is locked when the lease is to be renewed."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "database": {"busy_timeout": 0}}

    def test_goes_on(self) -> None:
        """An upload goes on after a failed renewal, because the lease lasts for several."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        other = sqlite3.connect(self.folder / "imgsvc.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.server.clock.advance(LEASE / RENEWALS_IN_A_LEASE)
        other.execute("ROLLBACK")
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 204)


class DoubtfulCatalogue:
    """A catalogue whose activation fails before or after it was done. Its caller cannot tell which."""

    def __init__(self, inner: Any, happens: bool, then: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._happens = happens
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def activate(self, *arguments: Any) -> Deferred[None]:
        """See IUploadCatalogue."""
        error = CatalogueUnavailable("The answer got lost.")
        if not self._happens:
            return fail(error)

        def lose(_: None) -> Deferred[None]:
            self._then()
            return fail(error)

        return self._inner.activate(*arguments).addCallback(lose)  # type: ignore[no-any-return]


class DoubtfulActivationTests(ApiTestCase):
    """An activation whose outcome is unknown."""

    def test_happened(self) -> None:
        """The data of an image that has become active stays, and the client gets a success."""
        uploads = self.server.server.core.uploads
        uploads.claims = DoubtfulCatalogue(uploads.claims, happens=True)
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"data").status, 204)
        self.assertEqual(self.server.show(image)["status"], "active")
        self.assertEqual(fired(self.server.store().unfinished()), [])
        self.server.run_reaper()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_happened_and_deactivated(self) -> None:
        """The same holds for an image that was deactivated before the check."""
        uploads = self.server.server.core.uploads
        image = self.server.image()["id"]

        def deactivate() -> None:
            path = f"/v2/images/{image}/actions/deactivate"
            self.assertEqual(self.server.request("POST", path).status, 204)

        uploads.claims = DoubtfulCatalogue(uploads.claims, happens=True, then=deactivate)
        self.assertEqual(self.server.put(image, b"data").status, 204)
        self.server.run_reaper()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_did_not(self) -> None:
        """An image that has not become active is queued, and nothing is kept."""
        uploads = self.server.server.core.uploads
        uploads.claims = DoubtfulCatalogue(uploads.claims, happens=False)
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"data").status, 503)
        self.assert_queued(image)
        self.assert_nothing_kept()

    def test_deleted_at_the_last_moment(self) -> None:
        """An image that is deleted when its data has its final name leaves no data."""
        uploads = self.server.server.core.uploads
        image = self.server.image()["id"]
        inner = uploads.claims

        class Deleting(DoubtfulCatalogue):
            def activate(self, *arguments: Any) -> Deferred[None]:
                fired(inner.delete(image))
                return inner.activate(*arguments)  # type: ignore[no-any-return]

        uploads.claims = Deleting(inner, happens=True)
        self.assertEqual(self.server.put(image, b"data").status, 410)
        self.assert_nothing_kept()
