"""The comparison of a store with the catalogue, on a real catalogue, with a test's clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from imgsvc.errors import StoreAway, StoreUnavailable
from imgsvc.model import Location, Status, StoredData
from imgsvc.pipeline.budget import Budget
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import FileStore
from imgsvc.stores.file import make as make_file_store
from imgsvc.stores.memory import MemoryStore
from imgsvc.tasks import doubts, record_check
from imgsvc.tasks.doubts import PAUSE
from imgsvc.tasks.findings import Finding, Findings, Problem, VerifyRules
from imgsvc.tasks.verification import Verification
from tests.catalogue.rigs import CatalogueTestCase
from tests.support.faults import FaultyStore
from tests.support.hashing import plain_scheduler
from tests.support.listing_contract import objects
from tests.support.server import fired
from tests.support.store_contract import put, result_of, store_services, write

DATA = b"data of an image" * 100
FAR = 1e12
"""A time at which all objects are old."""


class Meddled:
    """A store that others use while it is asked: `before` is called with the name of each call."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.before: Callable[[str], object] = lambda call: None

    def size(self, location: Location) -> Any:
        self.before("size")
        return super().size(location)  # type: ignore[misc]

    def object(self, name: str) -> Any:
        self.before("object")
        return super().object(name)  # type: ignore[misc]

    def set_aside(self, found: Any) -> Any:
        self.before("set_aside")
        return super().set_aside(found)  # type: ignore[misc]


class MeddledMemoryStore(Meddled, MemoryStore):
    pass


class VerificationTests(CatalogueTestCase):
    """The findings about a store, whatever happens meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.store = self.made()
        fired(self.store.start())
        self.addCleanup(self.store.stop)

    def made(self) -> Any:
        return MeddledMemoryStore(StoreSettings("local"), 0, Budget(1 << 20))

    # --- concurrent changes

    def active(self, data: bytes = DATA, lease_id: str | None = None) -> tuple[str, Location]:
        """The id of an image with data, and its location."""
        image_id = self.add().id
        claim = fired(self.catalogue.claim(image_id, "local", 60))
        return image_id, self.activated(image_id, claim.lease_id, data)

    def activated(self, image_id: str, lease_id: str, data: bytes = DATA) -> Location:
        """The location of a finished upload."""
        location: Location = result_of(put(self.store, image_id, lease_id, data))
        self.activate(image_id, lease_id, location, data)
        return location

    def activate(self, image_id: str, lease_id: str, location: Location, data: bytes = DATA) -> None:
        digests = hashlib.md5(data).hexdigest(), "sha512", hashlib.sha512(data).hexdigest()
        fired(self.catalogue.activate(image_id, lease_id, StoredData(len(data), None, *digests, location)))

    def delete(self, image_id: str, location: Location) -> None:
        """Delete an image completely."""
        for pending in fired(self.catalogue.delete(image_id)):
            fired(self.store.delete(location))
            fired(self.catalogue.forget_location(pending.key))

    def replaced(self, data: bytes) -> str:
        """The id of an image whose object was replaced after the upload."""
        image_id, location = self.active()
        fired(self.store.delete(location))
        result_of(put(self.store, image_id, "000001-other", data))
        return image_id

    # --- findings

    def begin(self, store: Any = None, **rules: Any) -> tuple[Deferred[None], Findings, list[Finding]]:
        """A running verification, and its findings."""
        found: list[Finding] = []
        findings = Findings(found.append)
        look = Verification(
            images=self.catalogue,
            leases=self.catalogue,
            inventory=self.catalogue,
            store=store or self.store,
            findings=findings,
            rules=VerifyRules(**rules),
            clock=self.clock,
            budget=Budget(1 << 20),
            digest_scheduler=plain_scheduler(self.clock),
            now=lambda: FAR,
        )
        return Deferred.fromCoroutine(look.run()), findings, found

    def found(self, meanwhile: Callable[[], object] = lambda: None, **rules: Any) -> list[tuple[str, str, bool]]:
        """Problem, name, and whether it was repaired. meanwhile: called between the first check and the second."""
        running, findings, found = self.begin(**rules)
        meanwhile()
        for _ in range(3):
            self.clock.advance(PAUSE)
        fired(running)
        self.assertEqual(findings.tally.findings, len(found))
        self.assertEqual(findings.tally.repaired, sum(each.repaired for each in found))
        self.texts = [each.text for each in found]
        return sorted((each.problem.value, each.name, each.repaired) for each in found)

    def names(self) -> set[str]:
        """The names of the objects in the store."""
        return set(result_of(objects(self.store)))

    def test_nothing(self) -> None:
        """A correct store has no findings, and needs no pause. Images without data have none either."""
        self.active(), self.active(b""), self.add()
        running, findings, found = self.begin(digests=True)
        fired(running)
        tally = findings.tally
        self.assertEqual((found, tally.records, tally.objects, tally.read), ([], 2, 2, len(DATA)))

    def test_missing(self) -> None:
        """A record without its object is a finding. The image stays, whatever is repaired."""
        self.active()
        image_id, location = self.active()
        fired(self.store.delete(location))
        self.assertEqual(self.found(repair=True), [("missing", image_id, False)])
        self.assertEqual(self.texts, [f"no object, its record says {len(DATA)} bytes"])
        self.assertIs(self.get(image_id).status, Status.ACTIVE)

    def test_wrong_size(self) -> None:
        """An object that has become shorter or longer is a finding."""
        ids = [self.replaced(DATA[1:]), self.replaced(DATA + b"x")]
        self.assertEqual(self.found(repair=True), sorted(("wrong-size", each, False) for each in ids))
        self.assertIn(f"{len(DATA) - 1} bytes, its record says {len(DATA)}", self.texts)

    def test_wrong_digest(self) -> None:
        """One changed byte is found if all data is read."""
        image_id = self.replaced(b"D" + DATA[1:])
        self.assertEqual(self.found(), [])
        self.assertEqual(self.found(digests=True), [("wrong-digest", image_id, False)])
        self.assertRegex(self.texts[0], "^md5 is .{32}, its record says .{32}; sha512 is .{128}, its record says")

    def test_left_over(self) -> None:
        """An object without a record stays, unless it is to be repaired. Then it is set aside."""
        self.active()
        result_of(put(self.store, "stray", "1", DATA))
        self.assertEqual(self.found(), [("left-over", "stray", False)])
        self.assertEqual(self.found(repair=True), [("left-over", "stray", True)])
        self.assertNotIn("stray", self.names())
        self.assertEqual(self.found(repair=True), [])

    def test_left_over_of_a_deleted_image(self) -> None:
        """The same holds for an object of a deleted image, but not while the deletion is pending."""
        image_id, _ = self.active()
        (pending,) = fired(self.catalogue.delete(image_id))
        self.assertEqual(self.found(repair=True), [])
        fired(self.catalogue.forget_location(pending.key))
        self.assertEqual(self.found(repair=True), [("left-over", image_id, True)])

    def test_left_over_that_stays(self) -> None:
        """A young object is not moved, nor one that an image could still get. If a move fails, the object stays."""
        queued = self.add().id
        result_of(put(self.store, queued, "1", DATA))
        self.assertEqual(self.found(repair=True), [("left-over", queued, False)])
        self.assertIn("the image of this id is queued", self.texts[0])
        self.assertIn("it stays", self.texts[0])
        for lease_id in ("1", "2"):
            result_of(put(self.store, "twice", lease_id, DATA))
            self.assertEqual(
                self.found(repair=True), [("left-over", queued, False), ("left-over", "twice", lease_id == "1")]
            )
        self.assertIn("it stays: there is an object twice already.", " ".join(self.texts))
        result_of(put(self.store, "young", "1", DATA))
        age = FAR - result_of(self.store.object("young")).changed_at
        self.assertIn(("left-over", "young", False), self.found(repair=True, min_age=age + 1))
        self.assertIn(("left-over", "young", True), self.found(repair=True, min_age=age))
        self.assertEqual(self.names(), {queued, "twice"})

    def test_unfinished(self) -> None:
        """Unfinished objects without a lease are ended as by the reaper."""
        queued, known = self.add().id, self.active()[0]
        result_of(write(self.store, queued, "000001-a", DATA))
        result_of(write(self.store, known, "000000-a", DATA))
        expected = sorted([("unfinished", queued), ("unfinished", known)])
        self.assertEqual(self.found(), [(*each, False) for each in expected])
        self.assertEqual(self.found(repair=True), [(*each, True) for each in expected])
        self.assertEqual((fired(self.store.unfinished()), self.names()), ([], {known}))

    def test_unfinished_object(self) -> None:
        """The object of such an upload is unfinished, not left over."""
        writer = result_of(write(self.store, self.add().id, "000001-a", DATA))
        fired(writer.commit())
        self.assertEqual([problem for problem, *_ in self.found(repair=True)], ["unfinished"])
        self.assertEqual(self.names(), set())

    # --- concurrent uploads and deletions

    def test_under_way(self) -> None:
        """Uploads at every step, and deletions, are no findings and not harmed."""
        begun, committed, activated = (self.add().id for _ in range(3))
        claims = {
            each: fired(self.catalogue.claim(each, "local", 60)).lease_id for each in (begun, committed, activated)
        }
        writers = {each: result_of(write(self.store, each, claims[each], DATA)) for each in claims}
        location = fired(writers[committed].commit())
        self.activate(activated, claims[activated], fired(writers[activated].commit()))
        going, coming = self.active(), self.add().id
        fired(self.catalogue.delete(going[0]))

        def go_on() -> None:
            fired(writers[activated].finalize())
            self.activate(committed, claims[committed], location)
            fired(writers[committed].finalize())
            fired(writers[begun].abort())
            fired(self.catalogue.release(begun, claims[begun]))
            fired(self.store.delete(going[1]))
            self.activated(coming, fired(self.catalogue.claim(coming, "local", 60)).lease_id)

        self.assertEqual(self.found(go_on, repair=True, digests=True), [])
        self.assertEqual(self.names(), {committed, activated, coming})

    def test_gone_meanwhile(self) -> None:
        """A suspicion that is gone at the second check is no finding."""
        lost, wrong = self.active(), self.replaced(b"")
        fired(self.store.delete(lost[1]))
        result_of(put(self.store, "stray", "1", DATA))
        result_of(write(self.store, "begun", "000001-a", DATA))

        def go_on() -> None:
            result_of(put(self.store, lost[0], "000002-a", DATA))
            self.delete(wrong, self.get(wrong).locations[0])
            fired(self.store.delete(Location("local", lost[1].url.replace(lost[0], "stray"))))
            fired(self.store.discard("begun", "000001-a"))

        self.assertEqual(self.found(go_on), [])

    def test_registered_meanwhile(self) -> None:
        """An object that belongs to an image at the second check is not left over."""
        stray = "11111111-2222-3333-4444-555555555555"
        location = result_of(put(self.store, stray, "1", DATA))

        def register() -> None:
            self.add(id=stray)
            self.activate(stray, fired(self.catalogue.claim(stray, "local", 60)).lease_id, location)

        self.assertEqual(self.found(register), [])

    def test_deleted_when_it_is_looked_at(self) -> None:
        """An image that is deleted between the checks of its record and its object is not missing."""
        image_id, location = self.active()
        fired(self.store.delete(location))

        def forget(call: str) -> None:
            for pending in fired(self.catalogue.delete(image_id)):
                fired(self.catalogue.forget_location(pending.key))
            self.store.before = lambda call: None

        self.assertEqual(self.found(lambda: self.meddle(forget)), [])

    def test_replaced_when_it_is_looked_at(self) -> None:
        """A name whose object was replaced after the list is not a finding yet."""
        result_of(put(self.store, "stray", "1", DATA))

        def replace(call: str) -> None:
            self.store.before = lambda call: None
            fired(self.store.delete(Location("local", self.active()[1].url.rpartition("/")[0] + "/stray")))
            result_of(put(self.store, "stray", "2", b"another"))

        self.assertEqual(self.found(lambda: self.meddle(replace)), [])
        self.assertIn("stray", self.names())

    def test_wanted_when_it_is_moved(self) -> None:
        """An object that becomes an image's while it is set aside is put back."""
        stray = "11111111-2222-3333-4444-555555555555"
        result_of(put(self.store, stray, "1", DATA))
        calls = []

        def register(call: str) -> None:
            calls.append(call)
            if call == "set_aside":
                self.add(id=stray)

        self.meddle(register)
        self.assertEqual(self.found(repair=True), [])
        self.assertEqual((calls[-1], self.names()), ("set_aside", {stray}))

    def meddle(self, before: Callable[[str], object]) -> None:
        """From now on, let others do this whenever the store is asked."""
        self.store.before = before

    # --- stores and objects that cannot be read

    def test_away(self) -> None:
        """A store that is away, or goes away meanwhile, has no findings and is reported as unreadable."""
        _, location = self.active()
        fired(self.store.delete(location))
        for call in ("check", "size", "unfinished"):
            faulty = FaultyStore(self.store)
            faulty.fail(call, StoreAway("local", "is away."))
            running, _, found = self.begin(faulty)
            self.clock.advance(PAUSE)
            self.failureResultOf(running, StoreAway)
            self.assertEqual(found, [])
        faulty = FaultyStore(self.store)
        running, _, found = self.begin(faulty)
        faulty.fail("size", StoreAway("local", "is away."))
        self.clock.advance(PAUSE)
        self.failureResultOf(running, StoreAway)
        self.assertEqual(found, [])

    def test_unreadable(self) -> None:
        """A single object that the store cannot read is a finding. The others are checked."""
        image_id, _ = self.active()
        faulty = FaultyStore(self.store)
        faulty.fail("reader", StoreUnavailable("local", "cannot read the object: EIO."))
        running, _, found = self.begin(faulty, digests=True)
        self.clock.advance(PAUSE)
        fired(running)
        (finding,) = found
        self.assertEqual((finding.problem, finding.name), (Problem.UNREADABLE, image_id))
        self.assertEqual(finding.text, "cannot read the object: EIO.")

    def test_cancelled(self) -> None:
        """A cancelled verification ends at once, at any point."""
        before = self.clock.getDelayedCalls()
        result_of(put(self.store, "stray", "1", DATA))
        running, _, found = self.begin()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.active()
        faulty = FaultyStore(self.store)
        faulty.hang("size")
        running, _, found = self.begin(faulty)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual((found, self.clock.getDelayedCalls()), ([], before))

    def test_pages(self) -> None:
        """More records and suspicions than are kept at a time."""
        self.patch(record_check, "PAGE", 3)
        self.patch(doubts, "MOST", 2)
        missing = []
        for number in range(7):
            image_id, location = self.active()
            if number % 2:
                fired(self.store.delete(location))
                missing.append(image_id)
            result_of(put(self.store, f"stray-{number}", "1", DATA))
        running, findings, found = self.begin()
        for _ in range(12):
            self.clock.advance(PAUSE)
        fired(running)
        self.assertEqual(
            sorted(each.name for each in found), sorted([*missing, *(f"stray-{number}" for number in range(7))])
        )
        self.assertEqual((findings.tally.records, findings.tally.objects), (7, 11))


class MeddledFileStore(Meddled, FileStore):
    pass


class FileVerificationTests(VerificationTests):
    """The same tests on a folder."""

    def made(self) -> Any:
        services = store_services(Path(self.mktemp()).absolute(), clock=self.clock, holdings=self.catalogue)
        store = make_file_store(StoreSettings("local"), {"fsync": False}, services)
        store.__class__ = MeddledFileStore
        store.before = lambda call: None  # type: ignore[attr-defined]
        return store
