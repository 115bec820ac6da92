"""Large images are read in steps, in pages of limited size, and not in the reactor thread."""

from __future__ import annotations

from attrs import evolve

from imgsvc.catalogue import Catalogue, catalogue
from imgsvc.catalogue.rows import LARGE
from imgsvc.model import Image, ImageQuery, Location
from tests.catalogue.rigs import ADMIN, CatalogueTestCase, HeldThreads, on_every_database

GRIN = "\N{GRINNING FACE}"
HARD = f'"\\\x01{GRIN}\n'


@on_every_database
class LargeImageTests(CatalogueTestCase):
    """Tests for every database."""

    def add_large(self, size: int = 2 * LARGE, **fields: object) -> Image:
        """Add an image with a text of so many characters, and others."""
        properties = {"long": "x" * size, "hard": HARD, "empty": ""}
        return self.add(properties=properties, tags=("b", "a"), **fields)

    def pages(self, query: ImageQuery) -> list[list[str]]:
        """The ids on each page of a list."""
        pages, marker = [], None
        while True:
            page = self.successResultOf(self.catalogue.images(evolve(query, marker=marker)))
            self.assertTrue(page.size <= query.size or len(page.images) == 1, (page.size, len(page.images)))
            pages.append([image.id for image in page.images])
            marker = page.next_marker
            if marker is None:
                return pages

    def test_whole(self) -> None:
        """A large image is the same whether it is read in one row or in several steps."""
        for size in (1, LARGE - 100, LARGE, 4 * LARGE):
            image = evolve(self.add_large(size), tags=("a", "b"))
            self.assertEqual(image, self.get(image.id))
            location = Location("local", "file:///" + "y" * size, {"hard": HARD})
            changed, _ = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(location,))))
            self.assertEqual(changed, self.get(image.id))
            self.assertEqual((location,), changed.locations)
            listed = self.successResultOf(self.catalogue.images(ImageQuery(ADMIN, 1))).images
            self.assertEqual([changed], listed)
            self.successResultOf(self.catalogue.delete(image.id))

    def test_weight(self) -> None:
        """The weight of an image is that of its current contents."""
        image = self.add_large(10)
        for size in (100_000, 10, 50_000):
            before = self.get(image.id)
            changed = evolve(before, properties={"long": GRIN * size})
            self.successResultOf(self.catalogue.update(before, changed))
            (weight,) = self.other_connection().execute("SELECT weight FROM images").fetchall()[0]
            self.assertTrue(4 * size < weight < 4 * size + 100, weight)

    def test_pages_end(self) -> None:
        """A page ends before it exceeds its bytes, and the next one begins there."""
        images = [self.add_large(size) for size in (10, 10, 5 * LARGE, 10, 2 * LARGE, 10, 10)]
        query = ImageQuery(ADMIN, 100, sort=(("id", False),), size=2 * LARGE)
        for asked in (
            query,
            evolve(query, limit=5),
            evolve(query, limit=1000),
            evolve(query, sort=(("status", True),)),
        ):
            pages = self.pages(asked)
            self.assertGreater(len(pages), 2)
            self.assertEqual({image.id for image in images}, {each for page in pages for each in page})
            self.assertEqual(len(images), sum(map(len, pages)))

    def test_none_that_is_too_large(self) -> None:
        """If even the first image exceeds the bytes, the result says that there is more."""
        self.add_large(2 * LARGE)
        query = ImageQuery(ADMIN, 5, size=LARGE, begins=False)
        page = self.successResultOf(self.catalogue.images(query))
        self.assertEqual(([], True), (page.images, page.cut))

    def test_many(self) -> None:
        """A page with more images than are read at once has all of them, in their order."""
        ids = sorted(self.add().id for _ in range(230))
        for limit, expected in ((230, 2), (120, 2), (1000, 1), (101, 3)):
            pages = self.pages(ImageQuery(ADMIN, limit, sort=(("id", False),)))
            self.assertEqual(ids, [each for page in pages for each in page])
            self.assertEqual(expected, len(pages))


class KnownImageTests(CatalogueTestCase):
    """The cache, and the threads that read."""

    def setUp(self) -> None:
        super().setUp()
        self.threads = HeldThreads()
        self.held = Catalogue(self.open_database(reader_threads=self.threads))
        self.successResultOf(self.held.start())

    def tearDown(self) -> None:
        stopped = self.held.stop()
        self.threads.release()
        self.successResultOf(stopped)

    def test_large(self) -> None:
        """A large image is read by a thread each time."""
        image = self.add(properties={"long": "x" * LARGE})
        for _ in range(2):
            found = self.held.image(image.id)
            self.assertNoResult(found)
            self.threads.release()
            self.assertEqual(image, self.successResultOf(found))

    def test_bounded(self) -> None:
        """The bytes of the cached images are limited."""
        self.patch(catalogue, "MOST_KNOWN", 10 * LARGE)
        images = [self.add(properties={"long": "x" * (LARGE - 100)}) for _ in range(30)]
        for image in images:
            self.assertEqual(image, self.successResultOf(self.held.image(image.id)))
        known = [image for image in images if image.id in self.held._known]
        self.assertTrue(5 < len(known) < 12, len(known))
