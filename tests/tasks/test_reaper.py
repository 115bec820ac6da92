"""The reaper, on a real catalogue and stores in memory, with a test's clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from imgsvc.errors import NoSuchImage, NotFound, ObjectInUse, StoreAway, StoreUnavailable
from imgsvc.event_model import ImageQueued
from imgsvc.events import Events
from imgsvc.identity.policy import Policy
from imgsvc.interfaces import IStoreWriter
from imgsvc.lease_model import Lease, Task, TaskEnd, TaskStatus
from imgsvc.model import Location, Span, Status, StoredData
from imgsvc.operations.access import Access
from imgsvc.operations.deletion import Deletion
from imgsvc.pipeline.budget import Budget
from imgsvc.store_model import Purpose, StoreSettings
from imgsvc.stores.memory import MemoryStore
from imgsvc.stores.registry import Registry
from imgsvc.tasks.reaper import Reaper
from tests.catalogue.rigs import NOON, CatalogueTestCase, new_image, on_every_database
from tests.support.faults import FaultyStore
from tests.support.server import fired

DOWN = StoreUnavailable("local", "does not answer.")
AWAY = StoreAway("local", "is away.")


@on_every_database
class ReaperTests(CatalogueTestCase):
    """Rounds of the reaper."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.resumed: list[tuple[Task, Lease]] = []
        budget = Budget(1 << 20)
        area = StoreSettings("area", reserved=Purpose.STAGING)
        self.area = FaultyStore(MemoryStore(area, 1 << 20, budget))
        self.local, self.other = (
            FaultyStore(MemoryStore(StoreSettings(name), 1 << 20, budget)) for name in ("local", "other")
        )
        self.stores = Registry([self.local, self.other, self.area], "local")
        self.events = Events(self.clock)
        self.reaper = self.made()

    def made(self) -> Reaper:
        """A reaper, as in another process."""
        deletion = Deletion(Access(self.catalogue, Policy()), self.catalogue, self.stores, self.events)
        return Reaper(
            uploads=self.catalogue,
            tasks=self.catalogue,
            deletions=self.catalogue,
            images=self.catalogue,
            stores=self.stores,
            remove=deletion.remove,
            resume=self._resume,
            events=self.events,
            clock=self.clock,
            interval=30.0,
            lease=60.0,
        )

    def _resume(self, task: Task, lease: Lease) -> None:
        self.resumed.append((task, lease))

    def round(self) -> None:
        """One round."""
        fired(self.reaper.round())

    def image(self) -> str:
        """The id of a new image."""
        image = new_image(disk_format="raw", container_format="bare")
        fired(self.catalogue.add(image))
        return image.id

    def begun(self, image_id: str, lease: float = 0, store: FaultyStore | None = None) -> tuple[Any, IStoreWriter]:
        """Claim and writer of an upload that has written data. With a lease of 0, its process counts as dead."""
        store = store or self.local
        claim = fired(self.catalogue.claim(image_id, store.store_id, lease))
        writer = fired(store.writer(image_id, claim.lease_id, None))
        fired(writer.write([b"data"]))
        return claim, writer

    def activated(self, image_id: str, store: FaultyStore | None = None, finalize: bool = True) -> Location:
        """The location of a complete upload."""
        claim, writer = self.begun(image_id, 60, store)
        location: Location = fired(writer.commit())
        data = StoredData(4, 4, "c" * 32, "sha512", "d" * 128, location)
        fired(self.catalogue.activate(image_id, claim.lease_id, data))
        if finalize:
            fired(writer.finalize())
        return location

    def status(self, image_id: str) -> Status:
        """The image's status."""
        status: Status = fired(self.catalogue.image(image_id)).status
        return status

    def kept(self, store: FaultyStore) -> tuple[int, int]:
        """The unfinished objects and the bytes in a store."""
        usage = fired(store.inner.usage())
        return len(fired(store.inner.unfinished())), usage.total - usage.free

    # --- uploads of dead processes

    def test_expired(self) -> None:
        """The image is queued again and nothing is kept, whether the object was committed or not."""
        for committed in (False, True):
            image = self.image()
            _, writer = self.begun(image)
            if committed:
                fired(writer.commit())
            self.round()
            self.assertIs(self.status(image), Status.QUEUED)
            self.assertEqual(self.kept(self.local), (0, 0))

    def test_event(self) -> None:
        """An event says that the image is queued, but not for one that was deleted meanwhile."""
        queued: list[ImageQueued] = []
        self.events.subscribe(ImageQueued, queued.append)
        image, deleted = self.image(), self.image()
        for each in (image, deleted):
            self.begun(each)
        fired(self.catalogue.delete(deleted))
        self.round()
        self.clock.advance(0)
        self.assertEqual([(event.image.id, event.image.status) for event in queued], [(image, Status.QUEUED)])

    def test_expired_unseen(self) -> None:
        """An expired lease is taken over if it was not renewed for the duration of a lease, and not before.

        If the clock of the database is set forward, all leases expire, also those of running uploads.
        """
        image = self.image()
        self.begun(image, -1)
        for _ in range(2):
            self.round()
            self.assertIs(self.status(image), Status.SAVING)
            self.clock.advance(30)
        self.round()
        self.assertIs(self.status(image), Status.QUEUED)
        self.assertEqual(self.kept(self.local), (0, 0))

    def test_expired_renewed(self) -> None:
        """An expired lease that is renewed while the reaper watches it is not taken over."""
        image = self.image()
        claim, _ = self.begun(image, -1000)
        for number in range(6):
            self.round()
            self.clock.advance(30)
            fired(self.catalogue.renew(image, claim.lease_id, -900 + number))
        self.round()
        self.assertIs(self.status(image), Status.SAVING)

    def test_forgotten(self) -> None:
        """Leases that do not exist any more are forgotten."""
        image = self.image()
        claim, _ = self.begun(image, 60)
        self.round()
        fired(self.catalogue.release(image, claim.lease_id))
        self.round()
        self.assertEqual(self.reaper._watched, {})

    def test_running(self) -> None:
        """An upload with a valid lease is not touched."""
        image = self.image()
        self.begun(image, 60)
        self.round()
        self.assertIs(self.status(image), Status.SAVING)
        self.assertEqual(self.kept(self.local), (1, 4))

    def test_nothing_begun(self) -> None:
        """After a process has died between claim and store, the image is queued again."""
        image = self.image()
        fired(self.catalogue.claim(image, "local", 0))
        self.round()
        self.assertIs(self.status(image), Status.QUEUED)

    def test_taken_over_once(self) -> None:
        """Of two processes, one takes an upload over."""
        image = self.image()
        self.begun(image)
        self.local.hang("discard")
        first, second = self.reaper.round(), self.made().round()
        self.assertIs(self.status(image), Status.SAVING)
        self.local.heal()
        fired(first), fired(second)
        self.assertIs(self.status(image), Status.QUEUED)

    def test_deleted_meanwhile(self) -> None:
        """The data is deleted, and the image stays deleted."""
        image = self.image()
        self.begun(image)
        fired(self.catalogue.delete(image))
        self.round()
        self.assertRaises(NoSuchImage, self.status, image)
        self.assertEqual(self.kept(self.local), (0, 0))

    def test_store_down(self) -> None:
        """A claim whose object cannot be removed is kept until it can. Others are ended meanwhile."""
        stuck, free = self.image(), self.image()
        self.begun(stuck)
        self.begun(free, store=self.other)
        self.local.fail("discard", DOWN)
        self.round()
        self.assertIs(self.status(stuck), Status.SAVING)
        self.assertIs(self.status(free), Status.QUEUED)
        self.assertEqual(self.kept(self.other), (0, 0))

    def test_store_that_is_no_more(self) -> None:
        """The image of a store that is not configured any more is queued again, for another store.

        The object is removed when the store is back.
        """
        stuck, free = self.image(), self.image()
        self.begun(stuck)
        self.begun(free, store=self.other)
        store = self.stores._stores.pop("local")
        self.round()
        self.assertIs(self.status(free), Status.QUEUED)
        self.assertIs(self.status(stuck), Status.QUEUED)
        self.assertEqual(self.kept(self.local)[0], 1)
        self.stores._stores["local"] = store
        self.activated(stuck, self.other)
        self.round()
        self.assertEqual((self.kept(self.local), self.kept(self.other)), ((0, 0), (0, 4)))
        self.assertIs(self.status(stuck), Status.ACTIVE)

    def test_running_in_a_store_that_is_no_more(self) -> None:
        """An upload with a valid lease is not touched, whatever its store."""
        image = self.image()
        self.begun(image, 60)
        del self.stores._stores["local"]
        self.round()
        self.assertIs(self.status(image), Status.SAVING)

    def test_store_away(self) -> None:
        """The image of a store whose medium is away is queued too. Its object is removed later, and others are
        not held up.
        """
        image, pending = self.image(), self.image()
        self.begun(image)
        self.activated(pending)
        fired(self.catalogue.delete(pending))
        for call in ("discard", "delete", "unfinished"):
            self.local.fail(call, AWAY)
        self.round()
        self.assertIs(self.status(image), Status.QUEUED)
        self.assertEqual((self.kept(self.local)[0], self.local.calls.count("delete")), (1, 1))
        self.assertNotIn("unfinished", self.local.calls)
        self.local.heal()
        self.round()
        self.assertEqual(self.kept(self.local), (0, 0))

    # --- leases on several stores, and on none

    def test_several_stores(self) -> None:
        """Objects of one upload in several stores are removed from those that are there, and the image is queued."""
        image = self.image()
        claim, _ = self.begun(image, 60)
        fired(self.catalogue.add_lease_object(image, claim.lease_id, "other", image))
        fired(self.other.writer(image, claim.lease_id, None))
        fired(self.catalogue.add_lease_object(image, claim.lease_id, "gone", image))
        fired(self.catalogue.renew(image, claim.lease_id, 0))
        self.round()
        self.assertIs(self.status(image), Status.QUEUED)
        self.assertEqual((self.kept(self.local), self.kept(self.other)), ((0, 0), (0, 0)))

    def test_several_stores_of_which_one_hangs(self) -> None:
        """A store that hangs delays only uploads that have objects in it."""
        both, image = self.image(), self.image()
        claim, _ = self.begun(both, 60)
        fired(self.catalogue.add_lease_object(both, claim.lease_id, "other", both))
        fired(self.catalogue.renew(both, claim.lease_id, 0))
        self.begun(image)
        self.other.hang("discard")
        ended = self.reaper.round()
        self.assertNoResult(ended)
        self.assertIs(self.status(image), Status.QUEUED)
        self.assertIs(self.status(both), Status.SAVING)
        self.other.heal()
        fired(ended)
        self.assertIs(self.status(both), Status.QUEUED)

    def test_died_between(self) -> None:
        """After a process dies that has taken an upload over, the next one removes its objects."""
        image = self.image()
        self.begun(image)
        (expired,) = fired(self.catalogue.leases())
        taken = fired(self.catalogue.take_over(expired, 60))
        self.round()
        self.assertEqual(self.kept(self.local), (1, 4), "it may be about to remove it")
        fired(self.catalogue.renew(image, taken.lease_id, 0))
        self.round()
        self.assertIs(self.status(image), Status.QUEUED)
        self.assertEqual(self.kept(self.local), (0, 0))
        self.assertIn("discard", self.local.calls)

    def test_task(self) -> None:
        """An expired task is continued, whatever the status of its image and whichever stores are down."""
        image = self.image()
        task = Task("t" * 36, "kind", NOON, NOON, image_id=image)
        lease = fired(self.catalogue.add_task(task, 0))
        self.local.hang("unfinished")
        ended = self.reaper.round()
        [(resumed, taken)] = self.resumed
        self.assertEqual((resumed, taken.task_id), (task, task.id))
        self.assertGreater(taken.lease_id, lease.lease_id)
        self.local.heal()
        fired(ended)
        self.round()
        self.assertEqual(len(self.resumed), 1)

    def test_forgotten_tasks(self) -> None:
        """Records of tasks are deleted after their time."""
        lease = fired(self.catalogue.add_task(Task("t" * 36, "kind", NOON, NOON), 60))
        fired(self.catalogue.close_task(lease, TaskEnd(TaskStatus.SUCCESS, keep_for=-1)))
        self.round()
        self.assertRaises(NotFound, lambda: fired(self.catalogue.task(lease.task_id)))

    # --- objects without a claim

    def test_not_finalized(self) -> None:
        """The object of an active image is finalized, and stays."""
        image = self.image()
        location = self.activated(image, finalize=False)
        self.round()
        self.assertEqual(self.kept(self.local), (0, 4))
        self.assertEqual(fired(self.local.reader(location, Span(0, 4))).length, 4)

    def test_abandoned(self) -> None:
        """An object whose claim was released is removed, and so is one of an unknown image."""
        image = self.image()
        claim, writer = self.begun(image, 60)
        fired(writer.commit())
        fired(self.catalogue.release(image, claim.lease_id))
        fired(self.local.writer("unknown", "000001-a", None))
        self.round()
        self.assertEqual(self.kept(self.local), (0, 0))

    def test_abandoned_beside_an_active_one(self) -> None:
        """The object of a slow upload is removed, and that of its successor stays."""
        image = self.image()
        claim, _ = self.begun(image, 60)
        fired(self.catalogue.release(image, claim.lease_id))
        self.activated(image)
        self.round()
        self.assertEqual(self.kept(self.local), (0, 4))

    def test_abandoned_in_another_store(self) -> None:
        """An object in a store that is not a location of its image is removed."""
        image = self.image()
        claim, writer = self.begun(image, 60, self.other)
        fired(writer.commit())
        fired(self.catalogue.release(image, claim.lease_id))
        self.activated(image)
        self.round()
        self.assertEqual(self.kept(self.other), (0, 0))
        self.assertEqual(self.kept(self.local), (0, 4))

    def test_abandoned_in_a_reserved_store(self) -> None:
        """Reserved stores are cleaned up too."""
        fired(self.area.writer("unknown", "000001-a", None))
        self.round()
        self.assertEqual([], fired(self.area.unfinished()))

    def test_one_store_does_not_stop_another(self) -> None:
        """A store that cannot list its unfinished objects, or not end one, does not keep others from being
        cleaned up.
        """
        for call in ("unfinished", "discard"):
            fired(self.local.writer("unknown", "000001-a", None))
            fired(self.other.writer("unknown", "000001-a", None))
            self.local.fail(call, DOWN)
            self.round()
            self.assertEqual(self.kept(self.other)[0], 0)
            self.local.heal()
            self.round()
            self.assertEqual(self.kept(self.local)[0], 0)

    def test_one_object_does_not_stop_another(self) -> None:
        """An object that cannot be ended does not keep the store's others from being ended."""
        fired(self.local.writer("a", "000001-a", None))
        image = self.image()
        self.activated(image, finalize=False)
        self.local.fail("discard", ObjectInUse("local", "is in use."))
        self.round()
        self.assertEqual([found.name for found in fired(self.local.inner.unfinished())], ["a"])

    # --- locations of deleted images

    def pending(self, store: FaultyStore | None = None) -> None:
        """A deleted image whose data still exists. Returns its location."""
        image = self.image()
        self.activated(image, store)
        fired(self.catalogue.delete(image))

    def test_pending(self) -> None:
        """Pending deletions are done, and each is requested once."""
        self.pending()
        self.round()
        self.assertEqual(self.kept(self.local), (0, 0))
        self.round()
        self.assertEqual(self.local.calls.count("delete"), 1)

    def test_pending_again(self) -> None:
        """A deletion that fails is tried again, and does not delay those of other stores."""
        self.pending()
        self.pending(self.other)
        self.local.fail("delete", DOWN)
        self.round()
        self.assertEqual((self.kept(self.local), self.kept(self.other)), ((0, 4), (0, 0)))
        self.local.heal()
        self.round()
        self.assertEqual(self.kept(self.local), (0, 0))

    def test_many_pending(self) -> None:
        """However many deletions of a store fail, those of others are done in the same round."""
        for _ in range(120):
            self.pending()
        self.pending(self.other)
        self.local.fail("delete", DOWN)
        self.round()
        self.assertEqual(self.kept(self.other), (0, 0))
        self.assertLess(self.local.calls.count("delete"), 10, "a store that is down is not asked over and over")
        self.local.heal()
        self.round()
        self.assertEqual(self.kept(self.local), (0, 0))

    def test_in_use(self) -> None:
        """An object that is in use does not delay others of the same store."""
        self.pending()
        self.pending()
        failing = self.local.inner.delete

        def delete_all_but_the_first(location: Location) -> Any:
            self.local.inner.delete = failing
            raise_in_use: Any = ObjectInUse("local", "is in use.")
            self.local.fail("delete", raise_in_use)
            answer = self.local.delete(location)
            self.local.heal()
            return answer

        self.local.inner.delete = delete_all_but_the_first
        self.round()
        self.assertEqual(self.kept(self.local), (0, 4))

    # --- rounds

    def test_timer(self) -> None:
        """The first round is at the start, the next ones after the interval, none after the stop."""
        self.reaper.start()
        self.assertEqual(self.local.calls, ["unfinished"])
        self.clock.advance(29)
        self.assertEqual(self.local.calls, ["unfinished"])
        self.clock.advance(1)
        self.assertEqual(self.local.calls, ["unfinished"] * 2)
        fired(self.reaper.stop())
        self.clock.advance(60)
        self.assertEqual(self.local.calls, ["unfinished"] * 2)
        fired(self.reaper.stop())

    def test_stop_waits(self) -> None:
        """A stop waits for the running round."""
        self.local.hang("unfinished")
        self.reaper.start()
        stopped = self.reaper.stop()
        self.assertNoResult(stopped)
        self.local.heal()
        fired(stopped)

    def test_fault_that_is_no_error_of_the_domain(self) -> None:
        """An unexpected error is logged, and does not end the rounds."""
        self.local.fail("unfinished", ZeroDivisionError("in a store"))
        self.reaper.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("unfinished", self.other.calls)
        self.local.heal()
        fired(self.local.writer("unknown", "000001-a", None))
        self.clock.advance(30)
        self.assertEqual(self.kept(self.local)[0], 0)
        self.reaper.stop()

    def test_store_that_hangs(self) -> None:
        """A store that does not respond does not delay others, in this round and later ones."""
        self.local.hang("unfinished")
        self.reaper.start()
        self.assertIn("unfinished", self.other.calls)
        image = self.image()
        self.begun(image, store=self.other)
        self.clock.advance(30)
        self.assertIs(self.status(image), Status.QUEUED)
        stopped = self.reaper.stop()
        self.local.heal()
        fired(stopped)
