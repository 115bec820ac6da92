from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.pool import Pool
from zope.interface.verify import verifyObject

from imgsvc.catalogue import catalogue as module
from imgsvc.catalogue.images import move
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.errors import ImageExists, Invalid, NoSuchImage
from imgsvc.interfaces import ICatalogue
from imgsvc.model import TRANSITIONS, Filter, ImageQuery, Location, PendingDeletion, Status, Visibility
from tests.catalogue.rigs import ADMIN, CatalogueTestCase, new_image, on_every_database
from tests.support.databases import postgresql

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
few = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@on_every_database
class ImagesTest(CatalogueTestCase):
    def test_interface(self) -> None:
        """The catalogue provides ICatalogue."""
        verifyObject(ICatalogue, self.catalogue)

    def test_whole_image(self) -> None:
        """Every field is kept unchanged."""
        image = new_image(
            name="ubuntu",
            visibility=Visibility.COMMUNITY,
            protected=True,
            os_hidden=True,
            owner="me",
            container_format="bare",
            disk_format="qcow2",
            min_disk=3,
            min_ram=4,
            size=2**62,
            virtual_size=2**62 + 1,
            checksum="a" * 32,
            os_hash_algo="sha512",
            os_hash_value="b" * 128,
            tags=("a", "b"),
            properties={"architecture": "x86_64", "empty": ""},
        )
        self.successResultOf(self.catalogue.add(image))
        self.assertEqual(self.get(image.id), image)
        self.assertEqual(dict(self.get(image.id).properties), dict(image.properties))

    def test_empty_image(self) -> None:
        """Fields that are not given are null, false or empty."""
        image = self.add()
        self.assertEqual(self.get(image.id), image)

    def test_any_text(self) -> None:
        """Names, tags and properties may have any text: empty, with quotes, and with NUL if the database allows it."""
        keeps_nul = self.server is not postgresql

        @few
        @given(st.none() | words, st.frozensets(words, max_size=4), st.dictionaries(words, words, max_size=4))
        def holds(name: str | None, tags: frozenset[str], properties: dict[str, str]) -> None:
            assume(keeps_nul or "\0" not in "".join((name or "", *tags, *properties, *properties.values())))
            image = self.add(name=name, tags=tuple(sorted(tags)), properties=properties)
            found = self.get(image.id)
            self.assertEqual((found.name, found.tags, dict(found.properties)), (name, image.tags, properties))

        holds()

    def test_nul(self) -> None:
        """A text with NUL is kept completely or refused, and is not the id of an image."""
        image = new_image(name="a\0b", tags=("\0",))
        added = self.catalogue.add(image)
        if self.server is postgresql:
            self.failureResultOf(added, Invalid)
        else:
            self.successResultOf(added)
            self.assertEqual(self.get(image.id), image)
        self.failureResultOf(self.catalogue.image("\0"), NoSuchImage)

    def test_repeated_tags(self) -> None:
        """A tag given twice is kept once."""
        image = self.add(tags=("b", "a", "b"))
        self.assertEqual(self.get(image.id).tags, ("a", "b"))

    def test_id_taken(self) -> None:
        """An id can be used once, and nothing of the second image is kept."""
        image = self.add(properties={"a": "1"})
        second = new_image(id=image.id, properties={"b": "2"}, tags=("t",))
        self.failureResultOf(self.catalogue.add(second), ImageExists)
        self.assertEqual(self.get(image.id), image)
        self.assertEqual(dict(self.get(image.id).properties), {"a": "1"})

    def test_deleted_id_taken(self) -> None:
        """The id of a deleted image cannot be used again."""
        image = self.add()
        self.successResultOf(self.catalogue.delete(image.id))
        self.failureResultOf(self.catalogue.add(new_image(id=image.id)), ImageExists)

    def test_not_new(self) -> None:
        """Only queued images without data can be added."""
        for image in (
            new_image(status=Status.ACTIVE),
            new_image(locations=(Location("local", "file:///x"),)),
        ):
            self.failureResultOf(self.catalogue.add(image), ValueError)

    def test_unencodable_text(self) -> None:
        """Text that is not valid Unicode is refused, is in no image, and does no harm to the catalogue."""
        for text in ("\ud800", "\udc80"):
            self.failureResultOf(self.catalogue.add(new_image(name=text)), Invalid)
        self.failureResultOf(self.catalogue.image("\ud800"), NoSuchImage)
        query = ImageQuery(ADMIN, 10, filters=(Filter("name", "eq", ("\ud800",)),))
        self.failureResultOf(self.catalogue.images(query), Invalid)
        self.add()

    def test_large_numbers(self) -> None:
        """A number that the database cannot hold is refused."""
        self.failureResultOf(self.catalogue.add(new_image(min_ram=2**63)), Invalid)
        query = ImageQuery(ADMIN, 10, filters=(Filter("size", "lt", (2**63,)),))
        self.failureResultOf(self.catalogue.images(query), Invalid)

    def test_absent(self) -> None:
        """An image that was never added is not found, whatever its id."""
        for image_id in ("", "nothing", "x" * 300, "' OR 1=1 --"):
            self.failureResultOf(self.catalogue.image(image_id), NoSuchImage)

    def test_times(self) -> None:
        """Times are kept with microseconds."""

        @few
        @given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
        def keeps(time: datetime) -> None:
            self.assertEqual(instant(microseconds(time)), time)

        keeps()

    def test_check(self) -> None:
        """The check succeeds if the database answers."""
        self.assertIsNone(self.successResultOf(self.catalogue.check()))


class KnownTest(CatalogueTestCase):
    """The cache of images between two changes."""

    def test_change_elsewhere(self) -> None:
        """The next read sees a change by another program, even if the image was read many times."""
        catalogue, other = self.catalogue, self.open_catalogue(self.open_database())
        image = new_image(name="old")
        self.successResultOf(catalogue.add(image))
        self.assertIs(self.successResultOf(other.image(image.id)), self.successResultOf(other.image(image.id)))
        self.successResultOf(catalogue.claim(image.id, "local", 60))
        self.assertEqual(self.successResultOf(other.image(image.id)).status, "saving")
        self.successResultOf(catalogue.delete(image.id))
        self.failureResultOf(other.image(image.id), NoSuchImage)

    def test_own_change(self) -> None:
        """The next read sees a change by the catalogue itself."""
        catalogue = self.catalogue
        image = new_image()
        self.successResultOf(catalogue.add(image))
        self.assertEqual(self.successResultOf(catalogue.image(image.id)).status, "queued")
        self.successResultOf(catalogue.claim(image.id, "local", 60))
        self.assertEqual(self.successResultOf(catalogue.image(image.id)).status, "saving")

    def test_bounded(self) -> None:
        """The number of cached images is limited."""
        self.patch(module, "MOST_KNOWN", 2)
        catalogue = self.catalogue
        images = [new_image() for _ in range(3)]
        for image in images:
            self.successResultOf(catalogue.add(image))
        first = self.successResultOf(catalogue.image(images[0].id))
        for image in images[1:]:
            self.successResultOf(catalogue.image(image.id))
        self.assertIsNot(self.successResultOf(catalogue.image(images[0].id)), first)


@on_every_database
class DeleteTest(CatalogueTestCase):
    def test_delete(self) -> None:
        """A deleted image is gone for reads, lists and a second deletion."""
        image = self.add_public()
        self.assertEqual(self.successResultOf(self.catalogue.delete(image.id)), [])
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)
        self.failureResultOf(self.catalogue.delete(image.id), NoSuchImage)
        self.assertEqual(self.successResultOf(self.catalogue.images(ImageQuery(ADMIN, 10))).images, [])

    def test_absent(self) -> None:
        """An image that was never added cannot be deleted."""
        self.failureResultOf(self.catalogue.delete("nothing"), NoSuchImage)

    def test_every_status(self) -> None:
        """An image is deleted from exactly those statuses from which TRANSITIONS allows it."""
        connection = self.other_connection()
        for status in Status:
            image = self.add()
            connection.execute("UPDATE images SET status = ? WHERE id = ?", (status.value, image.id))
            deleted = self.catalogue.delete(image.id)
            if Status.DELETED in TRANSITIONS[status]:
                self.successResultOf(deleted)
            else:
                self.failureResultOf(deleted, NoSuchImage)

    def test_row_stays(self) -> None:
        """The row keeps the time of the deletion and the old status, so the image keeps its place in lists."""
        image = self.add()
        self.successResultOf(self.catalogue.delete(image.id))
        columns = "status, deleted_from, deleted_at, updated_at"
        row = self.other_connection().execute(f"SELECT {columns} FROM images").fetchall()
        self.assertEqual(row, [("deleted", "queued", microseconds(self.now), microseconds(image.updated_at))])

    def test_pending(self) -> None:
        """The locations of deleted images are pending deletions until they are forgotten by their keys."""
        images = [self.add_active() for _ in range(3)]
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("local")), [])
        pending: list[PendingDeletion] = []
        for image in images:
            of_image = self.successResultOf(self.catalogue.delete(image.id))
            self.assertEqual([(one.image_id, one.location) for one in of_image], [(image.id, image.locations[0])])
            self.assertEqual(dict(of_image[0].location.metadata), {"inode": "7"})
            pending += of_image
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("local")), pending)
        self.successResultOf(self.catalogue.forget_location(pending[1].key))
        self.successResultOf(self.catalogue.forget_location(pending[1].key))
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("local")), [pending[0], pending[2]])
        after = self.catalogue.pending_deletions("local", pending[0].key)
        self.assertEqual(self.successResultOf(after), [pending[2]])
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("other")), [])

    def test_living_location(self) -> None:
        """The location of an image that is not deleted cannot be forgotten."""
        image = self.add_active()
        self.successResultOf(self.catalogue.forget_location(1))
        self.assertEqual(len(self.get(image.id).locations), 1)

    def test_key_used_once(self) -> None:
        """The key of a forgotten location is never used again."""
        first = self.successResultOf(self.catalogue.delete(self.add_active().id))
        self.successResultOf(self.catalogue.forget_location(first[0].key))
        second = self.successResultOf(self.catalogue.delete(self.add_active().id))
        self.assertGreater(second[0].key, first[0].key)


@on_every_database
class UsageTest(CatalogueTestCase):
    def test_usage(self) -> None:
        """The bytes of a project's images count once for each location. Deleted images, and those of others, do
        not count.
        """
        self.assertEqual(self.successResultOf(self.catalogue.usage("me")), 0)
        self.add_active({"size": 100}, owner="me")
        twice = self.add_active({"size": 2**50}, owner="me")
        self.add_active({"size": 7}, owner="you")
        self.add(owner="me")
        gone = self.add_active({"size": 1000}, owner="me")
        self.successResultOf(self.catalogue.delete(gone.id))
        self.other_connection().execute(
            "INSERT INTO image_locations (image_id, store_id, url, metadata) VALUES (?, 'b', 'u', '{}')", (twice.id,)
        )
        self.assertEqual(self.successResultOf(self.catalogue.usage("me")), 100 + 2 * 2**50)
        self.assertEqual([location.store_id for location in self.get(twice.id).locations], ["local", "b"])

    def test_uploading(self) -> None:
        """Images of a project that wait for data are counted until they are active or deleted."""
        first, second, third = (self.add(owner="me") for _ in range(3))
        self.add(owner="you")
        self.assertEqual(self.successResultOf(self.catalogue.project_usage("me")).count_uploading, 0)
        for image in (first, second, third):
            self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.successResultOf(self.catalogue.delete(third.id))
        self.add_active(owner="me")
        self.assertEqual(self.successResultOf(self.catalogue.project_usage("me")).count_uploading, 2)


@on_every_database
class MoveTest(CatalogueTestCase):
    def test_transitions(self) -> None:
        """No statement makes a transition that TRANSITIONS does not allow."""
        for source in Status:
            for target in Status:
                if target in TRANSITIONS[source]:
                    move(source, target)
                else:
                    self.assertRaises(ValueError, move, source, target)


class StatementsTest(CatalogueTestCase):
    def setUp(self) -> None:
        self.statements: list[str] = []

        def trace(connection: object, record: object) -> None:
            connection.set_trace_callback(self.statements.append)  # type: ignore[attr-defined]

        event.listen(Pool, "connect", trace)
        self.addCleanup(event.remove, Pool, "connect", trace)
        super().setUp()

    def count(self, call: object) -> int:
        self.statements.clear()
        self.successResultOf(call())  # type: ignore[operator]
        return len(self.statements)

    def test_reads(self) -> None:
        """A read of an image is one statement, a list is one, and its marker is one more, however many images
        there are.
        """
        images = [self.add_active(tags=("a", "b"), properties={"a": "1", "b": "2"}) for _ in range(20)]
        # The check for changes is one statement more. A second read of the same image is only this check.
        self.assertEqual(self.count(lambda: self.catalogue.image(images[0].id)), 2)
        self.assertEqual(self.count(lambda: self.catalogue.image(images[0].id)), 1)
        query = ImageQuery(ADMIN, 15)
        # The first read of a thread opens its connection.
        self.successResultOf(self.catalogue.images(query))
        self.assertEqual(self.count(lambda: self.catalogue.images(query)), 1)
        self.assertEqual(self.count(lambda: self.catalogue.images(evolve(query, marker=images[3].id))), 2)

    def test_add(self) -> None:
        """Adding an image takes one statement for it, one for each property and tag, and four for the transaction."""
        image = new_image(tags=("a", "b"), properties={"a": "1", "b": "2"})
        self.assertEqual(self.count(lambda: self.catalogue.add(image)), 1 + 2 + 2 + 4)
