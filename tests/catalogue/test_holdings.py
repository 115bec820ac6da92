"""What the catalogue tells stores about their objects."""

from __future__ import annotations

from uuid import UUID

from zope.interface.verify import verifyObject

from imgsvc.interfaces import ICatalogue, IHoldings
from tests.catalogue.rigs import CatalogueTestCase, HeldThreads, on_every_database

DATA = ("size", "checksum", "os_hash_algo", "os_hash_value")


@on_every_database
class HoldingsTest(CatalogueTestCase):
    def known(self, *names: str, store_id: str = "local") -> set[str]:
        known: set[str] = self.successResultOf(self.catalogue.known_objects(store_id, names))
        return known

    def count(self, store_id: str = "local") -> int:
        count: int = self.successResultOf(self.catalogue.object_count(store_id))
        return count

    def test_identity(self) -> None:
        """The id belongs to the database, whoever opens it."""
        first = self.successResultOf(self.catalogue.identity())
        UUID(first)
        self.assertEqual(first, self.successResultOf(self.catalogue.identity()))
        self.assertEqual(first, self.successResultOf(self.open_catalogue(self.open_database()).identity()))

    def test_objects(self) -> None:
        """Objects of images, pending deletions and uploads are known and counted, each in its store."""
        self.assertEqual((0, set()), (self.count(), self.known("x")))
        active, pending, coming = self.add_active(), self.add_active(), self.add()
        self.successResultOf(self.catalogue.delete(pending.id))
        self.successResultOf(self.catalogue.claim(coming.id, "local", 60))
        queued = self.add()
        ids = {active.id, pending.id, coming.id}
        self.assertEqual((3, ids), (self.count(), self.known(*ids, queued.id, "x")))
        self.assertEqual({active.id}, self.known(active.id))
        self.assertEqual((0, set()), (self.count("other"), self.known(*ids, store_id="other")))

    def test_records(self) -> None:
        """Records of a store come in pages, with size and digests. Pending deletions are left out."""
        first, pending, second = (self.add_active() for _ in range(3))
        self.successResultOf(self.catalogue.delete(pending.id))
        self.successResultOf(self.catalogue.claim(self.add().id, "local", 60))
        (record,) = page = self.successResultOf(self.catalogue.records("local", 0, 1))
        self.assertEqual(
            (first.id, first.locations, 1000, "c" * 32, "sha512", "d" * 128),
            (record.image_id, (record.location,), *(getattr(record, name) for name in DATA)),
        )
        rest = self.successResultOf(self.catalogue.records("local", record.key, 1000))
        self.assertEqual([second.id], [each.image_id for each in rest])
        self.assertEqual([], self.successResultOf(self.catalogue.records("local", rest[0].key, 1000)))
        self.assertEqual([], self.successResultOf(self.catalogue.records("other", 0, 1000)))
        self.assertEqual(page, self.successResultOf(self.catalogue.records("local", record.key - 1, 1)))


class TogetherTest(CatalogueTestCase):
    def test_asked_at_once(self) -> None:
        """Processes that ask a new catalogue for its id at the same time get the same id."""
        verifyObject(IHoldings, self.catalogue)
        verifyObject(ICatalogue, self.catalogue)
        threads = [HeldThreads(), HeldThreads()]
        catalogues = []
        for each in threads:
            database = self.open_database()
            catalogues.append(self.open_catalogue(database))
            database._writer_threads = each
        asked = [catalogue.identity() for catalogue in catalogues]
        for each in threads:
            each.release()
        first, second = map(self.successResultOf, asked)
        self.assertEqual(first, second)
        for catalogue in catalogues:
            catalogue._database._writer_threads = self.database._writer_threads
