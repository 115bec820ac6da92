"""Tasks and their leases, and locations that are given back to their image."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from imgsvc.errors import Conflict, ImageChanged, LeaseLost, NoSuchImage, NotFound
from imgsvc.lease_model import Lease, LeaseKind, Task, TaskEnd, TaskStatus
from imgsvc.model import Image, Location, Status
from tests.catalogue.rigs import CatalogueTestCase, new_task, on_every_database, stored_data

PLACE, OTHER = Location("web", "http://images.test/a"), Location("local", "file:///images/b")
SUCCESS, FAILURE = TaskEnd(TaskStatus.SUCCESS), TaskEnd(TaskStatus.FAILURE, "why")


class TaskTestCase(CatalogueTestCase):
    """Images with tasks."""

    def begun(self, seconds: float = 60) -> tuple[Image, Lease]:
        """An image with a task, and the task's lease."""
        image = self.add()
        changed = evolve(image, status=Status.IMPORTING, size=5, locations=(PLACE,), properties={"lock": "x"})
        beginning = self.catalogue.begin_task(image, changed, new_task(image.id), seconds)
        begun: tuple[Image, Lease] = self.successResultOf(beginning)
        return begun

    def leases(self) -> list[Lease]:
        leases: list[Lease] = self.successResultOf(self.catalogue.leases())
        return leases

    def task(self, lease: Lease) -> Task:
        task: Task = self.successResultOf(self.catalogue.task(lease.task_id))
        return task

    def take_over(self, lease: Lease) -> Lease:
        """The lease that replaces one that was given up."""
        self.successResultOf(self.catalogue.renew(lease.resource_id, lease.lease_id, 0))
        [expired] = self.leases()
        taken: Lease = self.successResultOf(self.catalogue.take_over(expired, 60))
        return taken


@on_every_database
class TaskTests(TaskTestCase):
    """Tasks on images"""

    def test_begin(self) -> None:
        """Image, task and lease are written together."""
        image, lease = self.begun()
        self.assertEqual(self.get(image.id), image)
        self.assertEqual((image.status, image.locations, image.size), (Status.IMPORTING, (PLACE,), 5))
        [found] = self.leases()
        self.assertEqual(evolve(found, expires_at=0), lease)
        self.assertEqual((lease.resource_id, lease.kind, lease.objects), (image.id, LeaseKind.TASK, ()))
        self.assertEqual(self.task(lease).image_id, image.id)
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(found, 60)))
        self.successResultOf(self.catalogue.renew(image.id, lease.lease_id, 60))

    def test_begin_too_late(self) -> None:
        """If the image was changed meanwhile, it stays unchanged and gets no task."""
        image = self.add()
        current, _ = self.successResultOf(self.catalogue.update(image, evolve(image, name="new")))
        task = new_task(image.id)
        beginning = self.catalogue.begin_task(image, evolve(image, status=Status.ACTIVE), task, 60)
        self.failureResultOf(beginning, ImageChanged)
        self.assertEqual(self.get(image.id), current)
        self.assertEqual(self.leases(), [])
        self.failureResultOf(self.catalogue.task(task.id), NotFound)

    def test_one_at_a_time(self) -> None:
        """An image with a lease gets no other task, and no upload."""
        image, lease = self.begun()
        task = new_task(image.id)
        self.failureResultOf(self.catalogue.add_task(task, 60), Conflict)
        self.failureResultOf(self.catalogue.begin_task(image, evolve(image, name="new"), task, 60), Conflict)
        self.assertEqual(self.get(image.id), image)
        self.assertEqual([found.task_id for found in self.leases()], [lease.task_id])
        self.failureResultOf(self.catalogue.task(task.id), NotFound)

    def test_end(self) -> None:
        """The image gets the task's changes, the lease ends, and removed locations become pending deletions."""
        image, lease = self.begun()
        changed = evolve(image, status=Status.QUEUED, size=None, locations=(), properties={})
        ended, pending = self.successResultOf(self.catalogue.end_task(image, changed, lease, FAILURE))
        self.assertEqual(self.get(image.id), ended)
        self.assertEqual((ended.status, dict(ended.properties)), (Status.QUEUED, {}))
        self.assertEqual([each.location for each in pending], [PLACE])
        self.assertEqual(self.leases(), [])
        task = self.task(lease)
        self.assertEqual((task.status, task.message), (TaskStatus.FAILURE, "why"))
        self.assertEqual(task.expires_at, self.now + timedelta(hours=48))

    def test_end_too_late(self) -> None:
        """If the image was changed meanwhile, its task stays. A lost lease changes nothing."""
        image, lease = self.begun()
        current, _ = self.successResultOf(self.catalogue.update(image, evolve(image, name="new")))
        active = evolve(image, status=Status.ACTIVE)
        self.failureResultOf(self.catalogue.end_task(image, active, lease, SUCCESS), ImageChanged)
        another, active = evolve(lease, lease_id="another"), evolve(current, status=Status.ACTIVE)
        self.failureResultOf(self.catalogue.end_task(current, active, another, SUCCESS), LeaseLost)
        self.assertEqual(self.get(image.id), current)
        self.assertEqual([found.lease_id for found in self.leases()], [lease.lease_id])
        self.assertIs(self.task(lease).status, TaskStatus.PENDING)

    def test_deleted(self) -> None:
        """The task of a deleted image can only be closed."""
        image, lease = self.begun()
        self.successResultOf(self.catalogue.delete(image.id))
        self.failureResultOf(self.catalogue.renew(image.id, lease.lease_id, 60), LeaseLost)
        self.failureResultOf(self.catalogue.report_task(lease, 60, 7), LeaseLost)
        ending = self.catalogue.end_task(image, evolve(image, status=Status.ACTIVE), lease, SUCCESS)
        self.failureResultOf(ending, NoSuchImage)
        self.assertTrue(self.successResultOf(self.catalogue.close_task(lease, FAILURE)))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)
        self.assertEqual((self.leases(), self.task(lease).status), ([], TaskStatus.FAILURE))

    def test_taken_over(self) -> None:
        """An expired lease gets a new holder. The old one can change neither image nor task."""
        image, lease = self.begun()
        taken = self.take_over(lease)
        self.assertGreater(taken.lease_id, lease.lease_id)
        self.assertEqual((taken.resource_id, taken.task_id), (image.id, lease.task_id))
        active = evolve(image, status=Status.ACTIVE)
        self.failureResultOf(self.catalogue.end_task(image, active, lease, SUCCESS), LeaseLost)
        self.failureResultOf(self.catalogue.report_task(lease, 60, 7), LeaseLost)
        self.assertFalse(self.successResultOf(self.catalogue.close_task(lease, FAILURE)))
        self.assertIs(self.get(image.id).status, Status.IMPORTING)
        task = self.task(lease)
        self.assertEqual((task.status, task.progress, task.message), (TaskStatus.PENDING, 0, ""))
        ended, _ = self.successResultOf(self.catalogue.end_task(image, active, taken, SUCCESS))
        self.assertIs(ended.status, Status.ACTIVE)
        self.assertIs(self.task(lease).status, TaskStatus.SUCCESS)

    def test_let_go(self) -> None:
        """A lease with a duration of 0 is given up."""
        image, lease = self.begun()
        self.successResultOf(self.catalogue.renew(image.id, lease.lease_id, 0))
        [given_up] = self.leases()
        self.assertEqual(given_up.expires_at, 0)
        self.assertIsNotNone(self.successResultOf(self.catalogue.take_over(given_up, 60)))

    def test_upload_afterwards(self) -> None:
        """An image whose task has failed takes an upload, whose lease id sorts after that of the task."""
        image, lease = self.begun()
        queued = evolve(image, status=Status.QUEUED, size=None, locations=())
        self.successResultOf(self.catalogue.end_task(image, queued, lease, FAILURE))
        claim = self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.assertGreater(claim.lease_id, lease.lease_id)
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, stored_data(image.id)))
        self.assertEqual(len(self.get(image.id).locations), 1)


@on_every_database
class RecordTests(TaskTestCase):
    """The records of tasks."""

    def test_fields(self) -> None:
        """All fields of a task are kept, also of one without an image, whose lease is on itself."""
        task = new_task(
            owner="red",
            input={"from": ["http://images.test/\N{GRINNING FACE}"], "number": 1},
            message="soon",
            request_id="req-1",
            user_id="ann",
        )
        lease = self.successResultOf(self.catalogue.add_task(task, 60))
        self.assertEqual((lease.resource_id, lease.task_id), (task.id, task.id))
        self.assertEqual(self.task(lease), task)
        self.assertEqual(self.task(lease).input, task.input)
        end = TaskEnd(TaskStatus.SUCCESS, "done", {"image_id": "x"}, keep_for=60)
        self.now += timedelta(seconds=5)
        self.assertTrue(self.successResultOf(self.catalogue.close_task(lease, end)))
        ended = evolve(
            task,
            status=TaskStatus.SUCCESS,
            message="done",
            updated_at=self.now,
            expires_at=self.now + timedelta(seconds=60),
        )
        self.assertEqual(evolve(self.task(lease), result=None), ended)
        self.assertEqual(self.task(lease).result, {"image_id": "x"})
        self.assertFalse(self.successResultOf(self.catalogue.close_task(lease, end)))

    def test_report(self) -> None:
        """The holder reports progress, which also renews the lease."""
        lease = self.successResultOf(self.catalogue.add_task(new_task(), -1))
        [expired] = self.leases()
        self.now += timedelta(seconds=5)
        self.assertFalse(self.successResultOf(self.catalogue.report_task(lease, 60, 1 << 40)))
        task = self.task(lease)
        self.assertEqual((task.status, task.progress, task.updated_at), (TaskStatus.PROCESSING, 1 << 40, self.now))
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(expired, 60)))
        [renewed] = self.leases()
        self.assertGreater(renewed.expires_at, expired.expires_at)

    def test_take_over_again(self) -> None:
        """Lease ids ascend for tasks without an image too."""
        lease = self.successResultOf(self.catalogue.add_task(new_task(), 60))
        ids = [lease.lease_id]
        for _ in range(12):
            lease = self.take_over(lease)
            ids.append(lease.lease_id)
        self.assertEqual(ids, sorted(set(ids)))

    def test_cancel(self) -> None:
        """The holder of the lease learns of a request to cancel the task. An ended task cannot be cancelled."""
        image, lease = self.begun()
        for _ in range(2):
            self.assertTrue(self.successResultOf(self.catalogue.cancel_task(lease.task_id)))
        self.assertTrue(self.task(lease).cancelled)
        self.assertTrue(self.successResultOf(self.catalogue.report_task(lease, 60, 7)))
        taken = self.take_over(lease)
        self.assertTrue(self.successResultOf(self.catalogue.report_task(taken, 60, 7)))
        self.successResultOf(self.catalogue.close_task(taken, FAILURE))
        for task_id in (lease.task_id, "nothing"):
            self.assertFalse(self.successResultOf(self.catalogue.cancel_task(task_id)))
        self.assertIs(self.get(image.id).status, Status.IMPORTING)

    def test_forget(self) -> None:
        """Records of ended tasks are deleted after their time. Others stay."""
        ended, kept, running = (self.successResultOf(self.catalogue.add_task(new_task(), -1)) for _ in range(3))
        self.successResultOf(self.catalogue.close_task(ended, TaskEnd(TaskStatus.FAILURE, keep_for=60)))
        self.successResultOf(self.catalogue.close_task(kept, TaskEnd(TaskStatus.SUCCESS, keep_for=61)))
        self.assertEqual(self.successResultOf(self.catalogue.forget_tasks()), 0)
        self.now += timedelta(seconds=60)
        self.assertEqual(self.successResultOf(self.catalogue.forget_tasks()), 1)
        self.failureResultOf(self.catalogue.task(ended.task_id), NotFound)
        self.assertEqual(self.task(kept).status, TaskStatus.SUCCESS)
        self.now += timedelta(days=1000)
        self.assertEqual(self.successResultOf(self.catalogue.forget_tasks()), 1)
        self.assertIs(self.task(running).status, TaskStatus.PENDING)


@on_every_database
class RestoreTests(CatalogueTestCase):
    """Restored locations and images."""

    def made(self, status: Status = Status.ACTIVE) -> Image:
        """An image with two locations."""
        image = self.add(tags=("a",), properties={"k": "v"})
        active = evolve(image, status=Status.ACTIVE, size=5, locations=(PLACE, OTHER))
        made, _ = self.successResultOf(self.catalogue.update(image, active))
        if status is not Status.ACTIVE:
            made, _ = self.successResultOf(self.catalogue.update(made, evolve(made, status=status)))
        self.successResultOf(self.catalogue.add_member(made.id, "red", 9))
        return self.get(made.id)

    def details(self, image_id: str) -> int:
        """The number of rows of tags, properties and members of an image."""
        connection = self.other_connection()
        return sum(
            len(connection.execute(f"SELECT image_id FROM {table} WHERE image_id = ?", (image_id,)).fetchall())
            for table in ("image_tags", "image_properties", "image_members")
        )

    def restored(self, *arguments: object) -> bool:
        """Whether it was restored."""
        restored: bool = self.successResultOf(self.catalogue.restore(*arguments))
        return restored

    def test_deleted(self) -> None:
        """A restored image has its status and everything else that it had."""
        for status in (Status.ACTIVE, Status.DEACTIVATED):
            image = self.made(status)
            pending = self.successResultOf(self.catalogue.delete(image.id))
            self.assertTrue(self.restored(pending, status))
            self.assertEqual(evolve(self.get(image.id), updated_at=image.updated_at), image)
            self.assertGreater(self.get(image.id).updated_at, image.updated_at)
            for store_id in ("web", "local"):
                self.assertEqual(self.successResultOf(self.catalogue.pending_deletions(store_id)), [])

    def test_some_are_gone(self) -> None:
        """Locations whose data is gone are not restored. If none is left, the image is not restored either."""
        image = self.made()
        pending = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(pending[0].key))
        self.assertTrue(self.restored(pending, Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (OTHER,))
        pending = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(pending[0].key))
        self.assertFalse(self.restored(pending, Status.ACTIVE))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)

    def test_details(self) -> None:
        """Tags, properties and members of a deleted image stay until no location can be restored."""
        image = self.made()
        self.assertEqual(self.details(image.id), 3)
        first, second = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(first.key))
        self.assertEqual(self.details(image.id), 3)
        self.successResultOf(self.catalogue.forget_location(second.key))
        self.assertEqual(self.details(image.id), 0)
        kept = self.made()
        _, [pending] = self.successResultOf(self.catalogue.update(kept, evolve(kept, locations=(PLACE,))))
        self.successResultOf(self.catalogue.forget_location(pending.key))
        self.assertEqual(self.details(kept.id), 3)

    def test_only_those(self) -> None:
        """Only the named locations of a deleted image are restored."""
        image = self.made()
        pending = self.successResultOf(self.catalogue.delete(image.id))
        self.assertTrue(self.restored(pending[:1], Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (PLACE,))
        self.assertEqual(len(self.successResultOf(self.catalogue.pending_deletions("local"))), 1)

    def test_of_an_image_that_is_there(self) -> None:
        """A location that the image has lost is restored, and that counts as a change of the image."""
        image = self.made()
        changed, pending = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.assertTrue(self.restored(pending, None))
        self.assertEqual(self.get(image.id).locations, (PLACE, OTHER))
        self.assertGreater(self.get(image.id).updated_at, changed.updated_at)
        self.assertFalse(self.restored(pending, None))

    def test_deleted_meanwhile(self) -> None:
        """An image that was deleted meanwhile stays deleted, and its location stays a pending deletion."""
        image = self.made()
        _, pending = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.successResultOf(self.catalogue.delete(image.id))
        self.assertFalse(self.restored(pending, None))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)
        self.assertEqual(len(self.successResultOf(self.catalogue.pending_deletions("local"))), 1)

    def test_not_deleted(self) -> None:
        """An image that is not deleted is not restored, and its location stays a pending deletion."""
        image = self.made()
        _, pending = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.assertFalse(self.restored(pending, Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (PLACE,))
