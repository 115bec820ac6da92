"""Claims of tasks, and locations that go back to their image."""

from __future__ import annotations

from attrs import evolve

from imgsvc.errors import ClaimLost, ImageChanged, NoSuchImage
from imgsvc.model import Image, Location, Status
from tests.catalogue.rigs import CatalogueTestCase, on_every_database, stored_data

PLACE, OTHER = Location("web", "http://images.test/a"), Location("local", "file:///images/b")


@on_every_database
class TaskTests(CatalogueTestCase):
    """begin_task and end_task"""

    def begun(self, lease: float = 60) -> tuple[Image, str]:
        """An image with a task, and the task's claim."""
        image = self.add()
        changed = evolve(image, status=Status.IMPORTING, size=5, locations=(PLACE,), properties={"lock": "x"})
        begun: tuple[Image, str] = self.successResultOf(self.catalogue.begin_task(image, changed, "web", lease))
        return begun

    def test_begin(self) -> None:
        """Image and claim are kept together."""
        image, upload_id = self.begun()
        self.assertEqual(self.get(image.id), image)
        self.assertEqual((image.status, image.locations, image.size), (Status.IMPORTING, (PLACE,), 5))
        self.assertTrue(self.successResultOf(self.catalogue.is_claimed(image.id, upload_id)))
        [lease] = self.successResultOf(self.catalogue.leases("web"))
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(lease, 60)))
        self.successResultOf(self.catalogue.renew(image.id, upload_id, 60))

    def test_begin_too_late(self) -> None:
        """An image that was changed meanwhile stays as it is, and has no claim."""
        image = self.add()
        current, _ = self.successResultOf(self.catalogue.update(image, evolve(image, name="new")))
        beginning = self.catalogue.begin_task(image, evolve(image, status=Status.ACTIVE), "web", 60)
        self.failureResultOf(beginning, ImageChanged)
        self.assertEqual(self.get(image.id), current)
        self.assertEqual(self.other_connection().execute("SELECT image_id FROM uploads").fetchall(), [])

    def test_end(self) -> None:
        """The image is as the task has made it, and the claim gone; what it lacks is doomed."""
        image, upload_id = self.begun()
        changed = evolve(image, status=Status.QUEUED, size=None, locations=(), properties={})
        ended, doomed = self.successResultOf(self.catalogue.end_task(image, changed, upload_id))
        self.assertEqual(self.get(image.id), ended)
        self.assertEqual((ended.status, dict(ended.properties)), (Status.QUEUED, {}))
        self.assertEqual([each.location for each in doomed], [PLACE])
        self.assertFalse(self.successResultOf(self.catalogue.is_claimed(image.id, upload_id)))

    def test_end_too_late(self) -> None:
        """An image that was changed meanwhile keeps its claim; a claim of another changes nothing."""
        image, upload_id = self.begun()
        current, _ = self.successResultOf(self.catalogue.update(image, evolve(image, name="new")))
        active = evolve(image, status=Status.ACTIVE)
        self.failureResultOf(self.catalogue.end_task(image, active, upload_id), ImageChanged)
        self.failureResultOf(
            self.catalogue.end_task(current, evolve(current, status=Status.ACTIVE), "another"), ClaimLost
        )
        self.assertEqual(self.get(image.id), current)
        self.assertTrue(self.successResultOf(self.catalogue.is_claimed(image.id, upload_id)))

    def test_deleted(self) -> None:
        """The task of a deleted image can only be released."""
        image, upload_id = self.begun()
        self.successResultOf(self.catalogue.delete(image.id))
        self.failureResultOf(self.catalogue.renew(image.id, upload_id, 60), ClaimLost)
        ending = self.catalogue.end_task(image, evolve(image, status=Status.ACTIVE), upload_id)
        self.failureResultOf(ending, NoSuchImage)
        self.assertTrue(self.successResultOf(self.catalogue.release(image.id, upload_id)))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)

    def test_taken_over(self) -> None:
        """An expired claim is another's; the image stays as it is."""
        image, upload_id = self.begun(lease=0)
        [expired] = self.successResultOf(self.catalogue.leases("web"))
        self.assertEqual((expired.image_id, expired.upload_id), (image.id, upload_id))
        taken = self.successResultOf(self.catalogue.take_over(expired, 60))
        self.assertGreater(taken, upload_id)
        active = evolve(image, status=Status.ACTIVE)
        self.failureResultOf(self.catalogue.end_task(image, active, upload_id), ClaimLost)
        self.assertIs(self.get(image.id).status, Status.IMPORTING)
        ended, _ = self.successResultOf(self.catalogue.end_task(image, active, taken))
        self.assertIs(ended.status, Status.ACTIVE)

    def test_let_go(self) -> None:
        """A lease of no time at all is given up."""
        image, upload_id = self.begun()
        self.successResultOf(self.catalogue.renew(image.id, upload_id, 0))
        [lease] = self.successResultOf(self.catalogue.leases("web"))
        self.assertEqual(lease.expires_at, 0)
        self.assertIsNotNone(self.successResultOf(self.catalogue.take_over(lease, 60)))

    def test_upload_afterwards(self) -> None:
        """An image whose task has failed takes an upload, whose id sorts after the task's."""
        image, task_id = self.begun()
        queued = evolve(image, status=Status.QUEUED, size=None, locations=())
        self.successResultOf(self.catalogue.end_task(image, queued, task_id))
        claim = self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.assertGreater(claim.upload_id, task_id)
        self.successResultOf(self.catalogue.activate(image.id, claim.upload_id, stored_data(image.id)))
        self.assertEqual(len(self.get(image.id).locations), 1)


@on_every_database
class RestoreTests(CatalogueTestCase):
    """restore"""

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
        """Rows of tags, properties and members of an image."""
        connection = self.other_connection()
        return sum(
            len(connection.execute(f"SELECT image_id FROM {table} WHERE image_id = ?", (image_id,)).fetchall())
            for table in ("image_tags", "image_properties", "image_members")
        )

    def restored(self, *arguments: object) -> bool:
        """Whether that was done."""
        restored: bool = self.successResultOf(self.catalogue.restore(*arguments))
        return restored

    def test_deleted(self) -> None:
        """A deleted image is back in its status, with all that it had."""
        for status in (Status.ACTIVE, Status.DEACTIVATED):
            image = self.made(status)
            doomed = self.successResultOf(self.catalogue.delete(image.id))
            self.assertTrue(self.restored(doomed, status))
            self.assertEqual(evolve(self.get(image.id), updated_at=image.updated_at), image)
            self.assertGreater(self.get(image.id).updated_at, image.updated_at)
            for store_id in ("web", "local"):
                self.assertEqual(self.successResultOf(self.catalogue.doomed_locations(store_id)), [])

    def test_some_are_gone(self) -> None:
        """Locations whose bytes are gone do not come back; when none is left the image does not either."""
        image = self.made()
        doomed = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(doomed[0].key))
        self.assertTrue(self.restored(doomed, Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (OTHER,))
        doomed = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(doomed[0].key))
        self.assertFalse(self.restored(doomed, Status.ACTIVE))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)

    def test_details(self) -> None:
        """Tags, properties and members of a deleted image stay until no location can come back."""
        image = self.made()
        self.assertEqual(self.details(image.id), 3)
        first, second = self.successResultOf(self.catalogue.delete(image.id))
        self.successResultOf(self.catalogue.forget_location(first.key))
        self.assertEqual(self.details(image.id), 3)
        self.successResultOf(self.catalogue.forget_location(second.key))
        self.assertEqual(self.details(image.id), 0)
        kept = self.made()
        _, [doomed] = self.successResultOf(self.catalogue.update(kept, evolve(kept, locations=(PLACE,))))
        self.successResultOf(self.catalogue.forget_location(doomed.key))
        self.assertEqual(self.details(kept.id), 3)

    def test_only_those(self) -> None:
        """Of a deleted image those come back that are named."""
        image = self.made()
        doomed = self.successResultOf(self.catalogue.delete(image.id))
        self.assertTrue(self.restored(doomed[:1], Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (PLACE,))
        self.assertEqual(len(self.successResultOf(self.catalogue.doomed_locations("local"))), 1)

    def test_of_an_image_that_is_there(self) -> None:
        """A location that the image has lost is back, and the image changed by that."""
        image = self.made()
        changed, doomed = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.assertTrue(self.restored(doomed, None))
        self.assertEqual(self.get(image.id).locations, (PLACE, OTHER))
        self.assertGreater(self.get(image.id).updated_at, changed.updated_at)
        self.assertFalse(self.restored(doomed, None))

    def test_deleted_meanwhile(self) -> None:
        """An image that was deleted since stays so; its location stays doomed."""
        image = self.made()
        _, doomed = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.successResultOf(self.catalogue.delete(image.id))
        self.assertFalse(self.restored(doomed, None))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)
        self.assertEqual(len(self.successResultOf(self.catalogue.doomed_locations("local"))), 1)

    def test_not_deleted(self) -> None:
        """An image that is there is not brought back."""
        image = self.made()
        _, doomed = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(PLACE,))))
        self.assertFalse(self.restored(doomed, Status.ACTIVE))
        self.assertEqual(self.get(image.id).locations, (PLACE,))
