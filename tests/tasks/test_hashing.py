"""Digests of images that were registered by their location."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.monkey import MonkeyPatcher

from imgsvc.catalogue import Catalogue
from imgsvc.errors import CatalogueUnavailable, ObjectMissing, StoreAway, StoreUnavailable
from imgsvc.lease_model import Task, TaskStatus, TaskType
from imgsvc.model import Status
from imgsvc.tasks.runner import AT_ONCE
from tests.support.faults import FaultyStore
from tests.support.server import MemoryServer, fired
from tests.web.location_rigs import DATA, HOST, SERVICE, URL, LocationTestCase, digest
from tests.web.rigs import ADMIN, MEMBER, STRANGER
from tests.web.test_upload_bytes import QCOW2, QCOW2_ON_A_BACKING_FILE

LOCK = "os_glance_import_task"
LEASE = 60.0


class HashingTestCase(LocationTestCase):
    """A server, and a site that holds back its responses."""

    def setUp(self) -> None:
        super().setUp()
        self.site.holding = True

    def begun(
        self, validated: bool = False, value: str | None = None, who: dict[str, str] = MEMBER, **fields: Any
    ) -> str:
        """The id of an image whose data is about to be read, with a digest that it must have, or without."""
        image = self.made(who, **fields)
        data = {"os_hash_algo": "sha256", "os_hash_value": value or digest("sha256")} if validated else {}
        self.assertEqual(self.post(image, {"url": URL, "validation_data": data}, who).status, 202)
        self.assertEqual(self.shown(image)["status"], "importing" if validated else "active")
        return image

    def release(self) -> None:
        """Let the site respond."""
        self.site.release()
        self.network.advance(0)

    def pass_time(self, seconds: int) -> None:
        """Let time pass in steps of a second."""
        self.network.pump([1] * seconds)

    @property
    def running(self) -> Any:
        """The running tasks."""
        return self.server.server.core.tasks.running

    def claims(self) -> int:
        """The number of claims in the catalogue."""
        return len(self.server.query("SELECT resource_id FROM leases"))

    def assert_hashed(self, image_id: str, algorithm: str = "sha512") -> None:
        """The image has its digests, and the task has ended."""
        shown = self.shown(image_id)
        self.assertEqual(
            ("active", digest("md5"), algorithm, digest(algorithm)),
            tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value")),
        )
        self.assert_ended(image_id)

    def assert_ended(self, image_id: str) -> None:
        """The task has ended, and nothing of it is left."""
        self.assertNotIn(LOCK, self.shown(image_id))
        self.assertEqual((dict(self.running), self.claims()), ({}, 0))
        self.assertTrue(all(exchange.closed for exchange in self.network.exchanges))

    def assert_requeued(self, image_id: str) -> None:
        """The image takes other data, and the task has ended."""
        self.assert_queued(image_id, **ADMIN)
        self.assertEqual(self.shown(image_id)["locations"], [])
        self.assert_ended(image_id)


class OutcomeTests(HashingTestCase):
    """The outcomes of a task."""

    def test_right(self) -> None:
        """The data is right, with a given digest or without."""
        plain, validated = self.begun(), self.begun(validated=True)
        self.release()
        self.assert_hashed(plain)
        self.assert_hashed(validated, "sha256")

    def test_wrong(self) -> None:
        """The data does not have the given digest."""
        image = self.begun(validated=True, value=digest("sha256", b"other"))
        self.release()
        self.assert_requeued(image)

    def test_lock(self) -> None:
        """While the task runs, the image is locked, and other locations are refused."""
        image = self.begun(validated=True)
        self.assertTrue(self.shown(image)[LOCK])
        self.assertEqual(self.post(image, URL).status, 409)
        self.release()
        self.assert_hashed(image, "sha256")

    def test_lock_of_another(self) -> None:
        """A queued image that another task has locked takes no location."""
        image = self.made()
        catalogue = self.server.server.core.catalogue
        before = fired(catalogue.image(image))
        fired(catalogue.update(before, evolve(before, properties={LOCK: "some-task"})))
        self.assertEqual(self.post(image, URL).status, 409)
        self.assertEqual(self.shown(image)["status"], "queued")

    def test_changed_meanwhile(self) -> None:
        """Changes of the image while the data is read are kept."""
        image = self.begun()
        self.assertEqual(self.patch(image, {"op": "replace", "path": "/name", "value": "new"}).status, 200)
        self.assertEqual(self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN).status, 204)
        self.release()
        shown = self.shown(image)
        self.assertEqual(
            ("deactivated", "new", digest("md5"), digest("sha512")),
            tuple(shown[name] for name in ("status", "name", "checksum", "os_hash_value")),
        )
        self.assert_ended(image)

    def test_changed_at_the_end(self) -> None:
        """A change between the last look-up of the image and the end of the task is kept too."""
        image = self.begun()
        catalogue = self.server.server.core.catalogue
        end_task = catalogue.end_task

        def late(*arguments: Any) -> Any:
            catalogue.end_task = end_task
            self.assertEqual(self.patch(image, {"op": "replace", "path": "/name", "value": "late"}).status, 200)
            return end_task(*arguments)

        catalogue.end_task = late
        self.release()
        self.assert_hashed(image)
        self.assertEqual(self.shown(image)["name"], "late")

    def test_deleted_meanwhile(self) -> None:
        """The task and its connection end. The image stays deleted."""
        for validated in (False, True):
            image = self.begun(validated)
            self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
            self.network.advance(0)
            self.assertEqual((dict(self.running), self.claims()), ({}, 0))
            self.assertTrue(all(exchange.closed for exchange in self.network.exchanges))
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}", ADMIN).status, 404)

    def test_deleted_by_another_process(self) -> None:
        """The deletion is noticed when the lease is renewed."""
        image = self.begun(validated=True)
        fired(self.server.server.core.catalogue.delete(image))
        self.pass_time(21)
        self.assertEqual((dict(self.running), self.claims()), ({}, 0))

    def test_deleted_at_the_end(self) -> None:
        """The image is deleted just before its digests are written."""
        image = self.begun()
        fired(self.server.server.core.catalogue.delete(image))
        self.release()
        self.assertEqual((dict(self.running), self.claims()), ({}, 0))


class InspectionTests(HashingTestCase):
    """Data in another format than declared, or unsafe in it."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def assert_logged(self, image_id: str, why: str) -> None:
        """The log says why the location of the image is refused."""
        lines = [formatEvent(event) or "" for event in self.events]
        self.assertTrue(
            [line for line in lines if f"image {image_id}: its location is refused" in line and why in line]
        )

    def assert_deactivated(self, image_id: str) -> None:
        """Only administrators get the data, and the task has ended."""
        shown = self.shown(image_id)
        self.assertEqual(
            ("deactivated", None, None, None),
            tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value")),
        )
        self.assertEqual(len(shown["locations"]), 1)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image_id}/file", MEMBER).status, 403)
        self.assert_ended(image_id)

    def test_unsafe(self) -> None:
        """A backing file is found in every inspected container format."""
        self.site.objects["/disk"] = QCOW2_ON_A_BACKING_FILE
        value = digest("sha256", QCOW2_ON_A_BACKING_FILE)
        for container in ("bare", "ovf", "docker", "ami"):
            fields = {"disk_format": "qcow2", "container_format": container}
            self.site.holding = True
            active, importing = self.begun(**fields), self.begun(validated=True, value=value, **fields)
            self.release()
            self.assert_deactivated(active)
            self.assert_requeued(importing)
            for image in (active, importing):
                self.assert_logged(image, "backing_file: Image has a backing file")
            self.assertEqual(self.server.put(importing, QCOW2, **MEMBER).status, 204)

    def test_not_looked_at(self) -> None:
        """An archive is not inspected, and raw data is not refused for its appearance."""
        self.site.objects["/disk"] = QCOW2_ON_A_BACKING_FILE
        for fields in ({"disk_format": "qcow2", "container_format": "ova"}, {"disk_format": "raw"}):
            self.site.holding = True
            image = self.begun(**fields)
            self.release()
            self.assertEqual(self.shown(image)["status"], "active")
            self.assertEqual(self.shown(image)["checksum"], digest("md5", QCOW2_ON_A_BACKING_FILE))

    def test_mismatch(self) -> None:
        """Another format is found in the first bytes, so the rest is not read."""
        self.site.objects["/disk"] = bytes(1 << 20)
        active, importing = self.begun(disk_format="vmdk"), self.begun(validated=True, disk_format="vmdk")
        self.release()
        self.assert_deactivated(active)
        self.assert_requeued(importing)
        self.assert_logged(active, "its content is raw")

    def test_mismatch_at_the_end(self) -> None:
        """Another format is found in the last bytes."""
        active, importing = self.begun(disk_format="vhd"), self.begun(validated=True, disk_format="vhd")
        self.release()
        self.assert_deactivated(active)
        self.assert_requeued(importing)

    def test_deactivated_meanwhile(self) -> None:
        """An image that an administrator has deactivated stays deactivated."""
        image = self.begun(disk_format="qcow2")
        self.assertEqual(self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN).status, 204)
        self.release()
        self.assert_deactivated(image)

    def test_formats_changed_meanwhile(self) -> None:
        """The formats of an `importing` image can be changed. Its data is inspected for the last ones."""
        self.site.objects["/disk"] = QCOW2_ON_A_BACKING_FILE
        image = self.begun(validated=True, value=digest("sha256", QCOW2_ON_A_BACKING_FILE))
        self.assertEqual(self.patch(image, {"op": "replace", "path": "/disk_format", "value": "qcow2"}).status, 200)
        self.release()
        self.assert_requeued(image)
        self.assert_logged(image, "backing_file")

    def test_formats_taken_away(self) -> None:
        """An image without formats cannot become active."""
        image = self.begun(validated=True)
        self.assertEqual(self.patch(image, {"op": "replace", "path": "/disk_format", "value": None}).status, 200)
        self.release()
        self.assert_requeued(image)

    def test_taken_over(self) -> None:
        """A process that takes a task over inspects the data too."""
        self.site.objects["/disk"] = QCOW2_ON_A_BACKING_FILE
        image = self.begun(disk_format="qcow2")
        fired(self.server.server.core.tasks.stop())
        self.site.holding = False
        other = MemoryServer(self.server.folder, self.tables, FaultyStore, self.network)
        self.addCleanup(other.stop)
        other.run_reaper()
        self.network.advance(0)
        self.assertEqual(self.shown(image)["status"], "deactivated")


class UncheckedTests(HashingTestCase):
    """`check_format = false`"""

    images: ClassVar[dict[str, Any]] = {"check_format": False}

    def test_hashed(self) -> None:
        """No data is refused."""
        image = self.begun(disk_format="qcow2")
        self.release()
        self.assert_hashed(image)


class FailureTests(HashingTestCase):
    """Reads that fail."""

    def gets(self) -> int:
        """The number of requests for the data."""
        return sum(line.startswith("GET") for line in self.site.asked)

    def test_repeated(self) -> None:
        """A failed read is repeated after growing pauses."""
        image = self.begun(validated=True)
        self.site.status = 503
        self.release()
        self.assertEqual(self.gets(), 1)
        for seconds, gets in ((1, 2), (1, 2), (1, 3)):
            self.pass_time(seconds)
            self.assertEqual(self.gets(), gets)
        self.site.status = None
        self.pass_time(4)
        self.assertEqual(self.gets(), 4)
        self.assert_hashed(image, "sha256")

    def test_given_up(self) -> None:
        """In the end the image is queued again if a digest was given. Otherwise it is active without digests."""
        validated, plain = self.begun(validated=True), self.begun()
        self.site.status = 500
        self.release()
        self.pass_time(1 + 2 + 4)
        self.assertEqual(self.gets(), 8)
        self.assert_requeued(validated)
        shown = self.shown(plain)
        self.assertEqual(
            ("active", None, None, None),
            tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value")),
        )
        self.assert_ended(plain)

    def test_gone(self) -> None:
        """A missing object is not requested again."""
        image = self.begun(validated=True)
        self.site.objects.clear()
        self.release()
        self.assertEqual(self.gets(), 1)
        self.assert_requeued(image)

    def test_breaks_off(self) -> None:
        """Digests are begun anew in every attempt."""
        image = self.begun(validated=True)
        (exchange,) = self.site.held
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode()
        exchange.send(head + DATA[:1000])
        exchange.close()
        self.site.held.clear()
        self.site.holding = False
        self.pass_time(2)
        self.assert_hashed(image, "sha256")

    def test_silent(self) -> None:
        """A site that stops in the middle is asked again."""
        image = self.begun(validated=True)
        (exchange,) = self.site.held
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:1000])
        self.site.held.clear()
        self.site.holding = False
        self.pass_time(29)
        self.assertEqual(self.shown(image)["status"], "importing")
        self.pass_time(3)
        self.assert_hashed(image, "sha256")

    def test_store_that_hangs(self) -> None:
        """A store without progress for three leases counts as failed. The claim is kept meanwhile."""
        self.site.holding = False
        store = self.server.store("web")
        store.hang("reader")
        image = self.begun(validated=True)
        self.pass_time(170)
        self.assertEqual((self.shown(image)["status"], self.claims()), ("importing", 1))
        store.heal()
        store.calls.clear()
        self.pass_time(20)
        self.assert_hashed(image, "sha256")

    def test_store_that_is_no_more(self) -> None:
        """An image whose store is not configured any more is queued again."""
        image = self.begun(validated=True)
        del self.server.server.core.stores._stores["web"]
        self.site.status = 500
        self.release()
        self.pass_time(1)
        self.assertEqual(self.shown(image)["status"], "queued")

    def test_store_away(self) -> None:
        """If the medium is away, the image keeps its status, and the next process that takes the task over
        tries again.
        """
        image = self.begun(validated=True)
        self.server.store("web").fail("reader", StoreAway("web", "is away."))
        self.site.status = 500
        self.release()
        self.pass_time(1)
        self.assertEqual((dict(self.running), self.claims()), ({}, 1))
        self.assertEqual(self.shown(image)["status"], "importing")

    def test_catalogue_down(self) -> None:
        """If digests cannot be written, the process that takes the task over computes them again."""
        image = self.begun(validated=True)
        catalogue = self.server.server.core.catalogue
        end_task, catalogue.end_task = catalogue.end_task, lambda *_: fail(CatalogueUnavailable("x"))
        self.release()
        self.assertEqual((dict(self.running), self.claims()), ({}, 1))
        self.assertEqual(self.shown(image)["status"], "importing")
        catalogue.end_task = end_task
        self.server.expire_leases()
        self.server.run_reaper()
        self.network.advance(0)
        self.assert_hashed(image, "sha256")


class ManyTests(HashingTestCase):
    """Many tasks."""

    more: ClassVar[dict[str, Any]] = {"quotas": {"user_storage": 0}}

    def test_in_turn(self) -> None:
        """Only a few are read at a time. All finish, and one that is deleted while it waits does not run."""
        images = [self.begun(validated=True) for _ in range(AT_ONCE + 3)]
        self.assertEqual(len(self.site.held), AT_ONCE)
        deleted = images.pop()
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{deleted}", MEMBER).status, 204)
        self.pass_time(25)
        self.release()
        for image in images:
            self.assert_hashed(image, "sha256")
        self.assertEqual(sum(line.startswith("GET") for line in self.site.asked), AT_ONCE + 2)

    def test_slow_servers_of_others(self) -> None:
        """Slow reads for one project hold up no images of others."""
        for _ in range(AT_ONCE + 1):
            self.begun(validated=True)
        slow, self.site.held = self.site.held, []
        image = self.begun(validated=True, who=STRANGER)
        self.release()
        self.assertEqual(self.shown(image)["status"], "active")
        self.assertFalse(any(exchange.closed for exchange in slow))


class LeaseTests(HashingTestCase):
    """Processes that end, and those that take over."""

    def other(self) -> Any:
        """Another process with the same catalogue and site."""
        server = MemoryServer(self.server.folder, self.tables, FaultyStore, self.network)
        self.addCleanup(server.stop)
        server.run_reaper()
        self.network.advance(0)
        return server

    def test_renewed(self) -> None:
        """While its process lives, nobody takes a task over."""
        self.begun(validated=True)
        expires = self.server.query("SELECT expires_at FROM leases")
        self.pass_time(20)
        self.assertGreater(self.server.query("SELECT expires_at FROM leases"), expires)
        other = self.other()
        self.assertEqual(other.server.core.tasks.running, {})

    def test_dead_process(self) -> None:
        """Another process starts from the beginning and finishes the image. The first one does no harm."""
        for validated in (True, False):
            image = self.begun(validated)
            held, self.site.held = self.site.held, []
            self.server.expire_leases()
            self.site.holding = False
            other = self.other()
            shown = self.shown(image)
            algorithm = "sha256" if validated else "sha512"
            self.assertEqual(("active", digest(algorithm)), (shown["status"], shown["os_hash_value"]))
            self.assertEqual((dict(other.server.core.tasks.running), self.claims()), ({}, 0))
            updated = shown["updated_at"]
            for exchange in held:
                self.site(exchange)
            self.network.advance(0)
            self.assert_hashed(image, algorithm)
            self.assertEqual(self.shown(image)["updated_at"], updated)
            self.site.holding = True

    def test_dead_process_and_wrong_digest(self) -> None:
        """The digest that the data must have is kept when the process dies."""
        image = self.begun(validated=True, value=digest("sha256", b"other"))
        self.server.expire_leases()
        self.site.holding = False
        self.other()
        self.assertEqual(self.shown(image)["status"], "queued")

    def test_dead_process_and_deleted_image(self) -> None:
        """Nothing is left of the task of a deleted image."""
        image = self.begun(validated=True)
        fired(self.server.server.core.catalogue.delete(image))
        self.server.expire_leases()
        self.other()
        self.assertEqual(self.claims(), 0)

    def test_stop(self) -> None:
        """A server that stops ends its tasks at once. The next one takes them over at its start."""
        validated, plain = self.begun(validated=True), self.begun()
        stopping: Deferred[None] = self.server.server.core.tasks.stop()
        self.network.advance(0)
        fired(stopping)
        self.assertEqual(dict(self.running), {})
        self.assertTrue(all(exchange.closed for exchange in self.network.exchanges))
        self.assertEqual(self.shown(validated)["status"], "importing")
        self.site.holding = False
        self.other()
        for image, algorithm in ((validated, "sha256"), (plain, "sha512")):
            shown = self.shown(image)
            self.assertEqual(("active", digest(algorithm)), (shown["status"], shown["os_hash_value"]))

    def test_stop_in_a_pause(self) -> None:
        """The same holds for a stop between two attempts, and after an attempt that failed because of the stop."""
        image = self.begun(validated=True)
        self.site.status = 500
        self.release()
        fired(self.server.server.core.tasks.stop())
        self.assertEqual((self.shown(image)["status"], self.claims()), ("importing", 1))

    def test_stop_in_the_last_attempt(self) -> None:
        """A stop does not count as a failure."""
        image = self.begun(validated=True)
        self.site.status = 500
        self.release()
        self.pass_time(3)
        self.site.holding = True
        self.pass_time(4)
        stopping = self.server.server.core.tasks.stop()
        self.network.advance(0)
        fired(stopping)
        self.assertEqual((self.shown(image)["status"], self.claims()), ("importing", 1))

    def test_nothing_begins_after_the_stop(self) -> None:
        """A location that is registered during the stop is left to the next server."""
        fired(self.server.server.core.tasks.stop())
        image = self.begun(validated=True)
        self.assertEqual((dict(self.running), self.claims()), ({}, 1))
        self.server.expire_leases()
        self.site.holding = False
        self.other()
        self.assertEqual(self.shown(image)["status"], "active")


class TaskRecordTests(HashingTestCase):
    """The records of tasks."""

    def task(self, image_id: str) -> Task:
        """The task of an image."""
        [(task_id,)] = self.server.query(f"SELECT task_id FROM tasks WHERE image_id = '{image_id}'")
        task: Task = fired(self.server.server.core.catalogue.task(task_id))
        return task

    def test_under_way(self) -> None:
        """The record has the caller, the request and the progress. The image is locked by its id."""
        image = self.begun(validated=True, who={**MEMBER, "X-Openstack-Request-Id": "req-mine"})
        task = self.task(image)
        self.assertEqual((task.type, task.status), (TaskType.HASH_LOCATION, TaskStatus.PROCESSING))
        self.assertEqual((task.owner, task.user_id), ("blue", "user of blue"))
        self.assertIn("req-mine", task.request_id or "")
        self.assertEqual((self.shown(image)[LOCK], task.input), (task.id, {"image_id": image}))
        (exchange,) = self.site.held
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:1000])
        self.pass_time(20)
        self.assertEqual(self.task(image).progress, 1000)

    def assert_failure(self, image_id: str, why: str) -> None:
        """The task has failed, and the record says why."""
        task = self.task(image_id)
        self.assertIs(task.status, TaskStatus.FAILURE)
        self.assertIn(why, task.message)
        self.assertIsNotNone(task.expires_at)

    def test_outcomes(self) -> None:
        """A task succeeds, or fails with a message."""
        right, wrong = self.begun(validated=True), self.begun(validated=True, value=digest("sha256", b"other"))
        refused = self.begun(disk_format="vmdk")
        self.release()
        task = self.task(right)
        self.assertEqual((task.status, task.message), (TaskStatus.SUCCESS, ""))
        self.assert_failure(wrong, digest("sha256"))
        self.assert_failure(refused, "vmdk")

    def test_unreadable(self) -> None:
        """A task whose location cannot be read fails, although the image stays active."""
        image = self.begun()
        self.site.status = 500
        self.release()
        self.pass_time(1 + 2 + 4)
        self.assert_failure(image, "web")
        self.assertEqual(self.shown(image)["status"], "active")

    def test_deleted(self) -> None:
        """A task whose image is deleted fails."""
        image = self.begun()
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
        self.network.advance(0)
        self.assert_failure(image, "deleted")

    def test_cancelled(self) -> None:
        """The image of a cancelled task is queued again if a digest was given. Otherwise it stays active
        without digests.
        """
        validated, plain = self.begun(validated=True), self.begun()
        for image in (validated, plain):
            cancelling = self.server.server.core.tasks.cancel_task(self.task(image).id)
            self.assertTrue(fired(Deferred.fromCoroutine(cancelling)))
            self.network.advance(0)
            self.assert_failure(image, "cancelled")
        self.assert_requeued(validated)
        self.assert_ended(plain)
        self.assertEqual((self.shown(plain)["status"], self.shown(plain)["os_hash_algo"]), ("active", None))


class OwnObjectTests(HashingTestCase):
    """Objects in our store that a service registers."""

    def given(self, value: str) -> str:
        """The id of an image whose object is in the store."""
        image = self.made(visibility="community")
        document = {
            "url": self.stored(image),
            "validation_data": {"os_hash_algo": "sha256", "os_hash_value": value},
        }
        self.assertEqual(self.post(image, document, SERVICE).status, 202)
        return image

    def test_right(self) -> None:
        """The object is read and hashed, and the image is active."""
        self.assert_hashed(self.given(digest("sha256")), "sha256")

    def test_wrong(self) -> None:
        """Wrong data is deleted, so that the image takes other data."""
        image = self.given(digest("sha256", b"other"))
        self.assert_requeued(image)
        self.assert_nothing_kept()
        self.assertEqual(self.server.put(image, b"mine", **MEMBER).status, 204)

    def test_wrong_and_not_deleted(self) -> None:
        """Wrong data that the store cannot delete now is left to the reaper."""
        store = self.server.store("local")
        store.fail("delete", StoreUnavailable("local", "x"))
        image = self.given(digest("sha256", b"other"))
        self.assertEqual(self.shown(image)["status"], "queued")
        self.assertEqual(dict(self.running), {})
        store.heal()
        self.server.run_reaper()
        self.assert_nothing_kept()

    def test_wrong_and_deletion_in_doubt(self) -> None:
        """While the deletion of the old data is unknown, the image takes no other data, which could be deleted
        instead.
        """
        fault = MonkeyPatcher((Catalogue, "forget_location", lambda self, key: fail(CatalogueUnavailable("x"))))
        fault.patch()
        self.addCleanup(fault.restore)
        image = self.given(digest("sha256", b"other"))
        self.assertEqual(self.shown(image)["status"], "queued")
        self.assertEqual(self.server.put(image, b"mine", **MEMBER).status, 409)
        document = {"url": self.stored(image)}
        self.assertEqual(self.post(image, document, SERVICE).status, 409)
        fault.restore()
        self.server.run_reaper()
        self.assert_nothing_kept()
        self.assertEqual(self.server.put(image, b"mine", **MEMBER).status, 204)
        self.server.run_reaper()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"mine")

    def test_missing(self) -> None:
        """The object is missing when it is read."""
        self.server.store("local").fail("reader", ObjectMissing("local", "x"))
        image = self.given(digest("sha256"))
        self.assertIs(fired(self.server.server.core.catalogue.image(image)).status, Status.QUEUED)


class HostTests(HashingTestCase):
    """The server that the data is read from."""

    def test_moved_inside(self) -> None:
        """If the name has changed to an internal address, nothing is read."""
        image = self.begun(validated=True)
        self.site.status = 500
        self.network.names["images.test"] = ["127.0.0.1"]
        self.network.servers["127.0.0.1", 80] = self.site
        self.release()
        self.pass_time(7)
        self.assert_requeued(image)
        self.assertEqual({host for host, _ in self.network.connected}, {HOST})
