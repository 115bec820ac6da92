"""Lists with many filters take neither time nor memory from others."""

from __future__ import annotations

from threading import Event, Thread

from sqlalchemy.dialects import sqlite
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue.catalogue import Catalogue
from imgsvc.catalogue.lists import is_heavy
from imgsvc.catalogue.lists.compiling import compile_page
from imgsvc.catalogue.lists.keeping import kept
from imgsvc.catalogue.lists.planning import MOST_COUNTED, Walk, counted_filters, plan
from imgsvc.catalogue.lists.shapes import QueryShape, SortKey
from imgsvc.model import Filter, ImageQuery
from tests.catalogue.rigs import ADMIN, CatalogueTestCase, HeldThreads


def query(filters: int) -> ImageQuery:
    """A list with so many filters, which all images pass."""
    return ImageQuery(ADMIN, 5, (Filter("min_ram", "gte", (0,)),) * filters)


class StatementTests(SynchronousTestCase):
    """Which statements are kept, and how many are compiled at a time."""

    def test_heavy(self) -> None:
        """Many filters, or many values of one, are heavy. Usual queries are not."""
        self.assertFalse(is_heavy(query(8)))
        self.assertTrue(is_heavy(query(60)))
        self.assertTrue(is_heavy(ImageQuery(ADMIN, 5, (Filter("id", "in", ("x",) * 60),))))

    def test_kept(self) -> None:
        """Small statements are kept. Large ones are not: those of 100 filters have 100 KiB each."""
        dialect = sqlite.dialect()
        for filters, is_kept in ((3, True), (60, False)):
            shape = QueryShape.of(query(filters))
            walk = plan(shape, None, None)
            assert isinstance(walk, Walk)
            statements = [compile_page(shape, walk, None, True, dialect) for _ in range(2)]
            self.assertEqual(is_kept, statements[0] is statements[1])

    def test_repeated_sort_keys(self) -> None:
        """A sort key that is repeated thousands of times makes no other statement, and no larger one."""
        for again, once in (
            ((("name", True), ("name", False)) * 1000, (("name", True), ("created_at", True))),
            ((("name", False), ("size", True), ("name", True)), (("name", False), ("size", True))),
            ((("size", False),), (("size", False),)),
        ):
            shape = QueryShape.of(ImageQuery(ADMIN, 5, sort=again))
            self.assertEqual(QueryShape.of(ImageQuery(ADMIN, 5, sort=once)), shape)
            down = len(again) > 1
            rest = [key for key in (("created_at", down), ("id", down)) if key not in once]
            self.assertEqual(tuple(SortKey(*key) for key in (*once, *rest)), shape.sort)

    def test_counted(self) -> None:
        """However many filters there are, images are counted for a few only."""
        tags = tuple(Filter("tag", "eq", ("a",)) for _ in range(50))
        self.assertEqual(MOST_COUNTED, len(counted_filters(QueryShape.of(ImageQuery(ADMIN, 5, tags)))))

    def test_one_at_a_time(self) -> None:
        """A second thread that compiles a statement waits for the first."""
        first, second = Event(), Event()
        overtaken = []

        @kept
        def make(shape: QueryShape) -> None:
            if first.is_set():
                second.set()
            else:
                first.set()
                overtaken.append(second.wait(0.3))

        threads = [Thread(target=make, args=(QueryShape.of(query(number)),)) for number in (1, 2)]
        threads[0].start()
        first.wait(60)
        threads[1].start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([False], overtaken)
        self.assertTrue(second.is_set())


class OneAtATimeTests(CatalogueTestCase):
    """Heavy lists share one thread. The others are for all lists."""

    def test_readers(self) -> None:
        """Only one heavy list runs at a time, and a light one does not wait for it."""
        threads = HeldThreads()
        held = Catalogue(self.open_database(reader_threads=threads))
        self.successResultOf(held.start())
        heavy = [held.images(query(60)) for _ in range(5)]
        self.assertEqual(1, len(threads.held))
        light = held.images(query(1))
        self.assertEqual(2, len(threads.held))
        heavy[1].addErrback(lambda failure: None).cancel()
        threads.release()
        self.successResultOf(heavy[0])
        threads.release()
        self.successResultOf(light)
        for number in (2, 3, 4):
            self.assertEqual(1, len(threads.held))
            threads.release()
            self.successResultOf(heavy[number])
        stopped = held.stop()
        threads.release()
        self.successResultOf(stopped)
