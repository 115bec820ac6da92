from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc.catalogue import Catalogue
from imgsvc.catalogue.sqlite import SQLiteDatabase
from imgsvc.errors import CatalogueUnavailable, ConfigurationError, ImageExists, Invalid, NoSuchImage
from imgsvc.interfaces import IThreads
from imgsvc.model import ImageQuery
from tests.catalogue.rigs import ADMIN, CatalogueTestCase, HeldThreads, new_image
from tests.support.threads import ImmediateThreads


class BatchTest(CatalogueTestCase):
    """Writes that wait for the writer thread."""

    def setUp(self) -> None:
        super().setUp()
        self.threads = HeldThreads()
        self.held = Catalogue(self.open_database(writer_threads=self.threads))
        started = self.held.start()
        self.threads.release()
        self.successResultOf(started)
        # Later calls find the thread busy.
        self.first = self.held.add(new_image())

    def tearDown(self) -> None:
        stopped = self.held.stop()
        while self.threads.held:
            self.threads.release()
        self.successResultOf(stopped)

    def test_one_transaction(self) -> None:
        """All waiting writes form one transaction, in their order, and their Deferreds fire after its commit."""
        images = [new_image() for _ in range(3)]
        added = [self.held.add(image) for image in images]
        claimed = self.held.claim(images[0].id, "local", 60)
        self.threads.release()
        self.successResultOf(self.first)
        self.assertEqual(len(self.threads.held), 1)
        for waiting in (*added, claimed):
            self.assertNoResult(waiting)
        self.failureResultOf(self.catalogue.image(images[0].id), NoSuchImage)
        self.threads.release()
        for waiting in added:
            self.successResultOf(waiting)
        self.assertEqual(self.successResultOf(claimed).image, self.get(images[0].id))

    def test_failure_alone(self) -> None:
        """If a write fails, only its own effects are undone."""
        image = new_image(tags=("a",))
        before, after = new_image(), new_image()
        unencodable = new_image(properties={"good": "text", "bad": "\ud800"})
        added = [self.held.add(one) for one in (before, image, unencodable, image, after)]
        self.threads.release()
        self.threads.release()
        self.failureResultOf(added.pop(2), Invalid)
        self.failureResultOf(added.pop(2), ImageExists)
        for waiting in added:
            self.successResultOf(waiting)
        self.failureResultOf(self.catalogue.image(unencodable.id), NoSuchImage)
        for one in (before, image, after):
            self.assertEqual(self.get(one.id), one)

    def test_cancelled(self) -> None:
        """A cancelled write is still done, and does not disturb the others."""
        images = [new_image(), new_image()]
        cancelled, other = (self.held.add(image) for image in images)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.threads.release()
        self.threads.release()
        self.successResultOf(other)
        self.assertEqual(self.get(images[0].id), images[0])

    def test_stop(self) -> None:
        """A stop finishes the waiting writes, and refuses others."""
        waiting = self.held.add(new_image())
        stopped = self.held.stop()
        self.failureResultOf(self.held.add(new_image()), CatalogueUnavailable)
        self.threads.release()
        self.assertNoResult(stopped)
        self.threads.release()
        self.successResultOf(waiting)
        self.threads.release()
        self.successResultOf(stopped)

    def test_thread_fails(self) -> None:
        """If the thread itself fails, nobody waits forever."""
        waiting = self.held.add(new_image())
        self.threads.release()
        answer, _, _ = self.threads.held.pop()
        answer.errback(RuntimeError("no thread"))
        self.failureResultOf(waiting, RuntimeError)
        later = self.held.add(new_image())
        self.threads.release()
        self.successResultOf(later)


class FailureTest(CatalogueTestCase):
    def open_database(self, **options: Any) -> SQLiteDatabase:
        return super().open_database(busy_timeout=0.01, **options)

    def test_locked(self) -> None:
        """While another program holds the lock, writes fail and reads succeed. Then writes succeed again."""
        image = self.add_public()
        other = self.other_connection()
        other.execute("BEGIN EXCLUSIVE")
        failure = self.failureResultOf(self.catalogue.add(new_image()), CatalogueUnavailable)
        self.assertIn("database is locked", str(failure.value))
        self.assertIsInstance(failure.value.__cause__, Exception)
        self.assertEqual(self.get(image.id), image)
        self.assertEqual(self.successResultOf(self.catalogue.images(ImageQuery(ADMIN, 10))).images, [image])
        other.execute("ROLLBACK")
        self.add()

    def test_full(self) -> None:
        """A write that finds no space fails completely, and the next one that fits succeeds."""

        def set_page_limit(connection: Connection, pages: int) -> int:
            return int(connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar_one())

        # SQLite raises a limit below the current size to that size, so this is the current size.
        pages = self.successResultOf(self.database.write(lambda connection: set_page_limit(connection, 1)))
        large = new_image(properties={"large": "x" * 100_000}, tags=("a",))
        failure = self.failureResultOf(self.catalogue.add(large), CatalogueUnavailable)
        self.assertIn("full", str(failure.value))
        self.failureResultOf(self.catalogue.image(large.id), NoSuchImage)
        small = self.add()
        self.successResultOf(self.database.write(lambda connection: set_page_limit(connection, pages + 1000)))
        self.successResultOf(self.catalogue.add(large))
        self.assertEqual([self.get(one.id) for one in (large, small)], [large, small])

    def test_broken(self) -> None:
        """Reads of a database without its tables fail, of lists and of single images."""
        self.other_connection().execute("DROP TABLE image_tags")
        self.failureResultOf(self.catalogue.image("any"), CatalogueUnavailable)
        self.failureResultOf(self.catalogue.images(ImageQuery(ADMIN, 10)), CatalogueUnavailable)

    def test_broken_writes(self) -> None:
        """Writes fail too, whether SQLAlchemy or the catalogue runs their statements."""
        image = self.add()
        for table in ("image_members", "image_tags"):
            self.other_connection().execute(f"DROP TABLE {table}")
        self.failureResultOf(self.catalogue.add_member(image.id, "me", -1), CatalogueUnavailable)
        self.failureResultOf(self.catalogue.add(new_image(tags=("x",))), CatalogueUnavailable)

    def test_not_a_database(self) -> None:
        """A file that is not a database is not changed."""
        path = Path(self.mktemp())
        path.write_bytes(b"something else" * 1000)
        catalogue = Catalogue(SQLiteDatabase(f"sqlite:///{path}", ImmediateThreads(), ImmediateThreads()))
        self.failureResultOf(catalogue.start(), CatalogueUnavailable)
        self.assertEqual(path.read_bytes(), b"something else" * 1000)

    def test_no_folder(self) -> None:
        """The error of a file that cannot be created names the cause."""
        url = f"sqlite:///{self.mktemp()}/nowhere/file"
        failure = self.failureResultOf(
            Catalogue(SQLiteDatabase(url, ImmediateThreads(), ImmediateThreads())).start(), CatalogueUnavailable
        )
        self.assertIn("unable to open", str(failure.value))

    def test_closed(self) -> None:
        """Before the start and after the stop, every call fails."""
        catalogue = Catalogue(self.open_database())
        for _ in range(2):
            self.failureResultOf(catalogue.image("any"), CatalogueUnavailable)
            self.failureResultOf(catalogue.check(), CatalogueUnavailable)
            self.failureResultOf(catalogue.delete("any"), CatalogueUnavailable)
            self.successResultOf(catalogue.start())
            self.successResultOf(catalogue.check())
            self.successResultOf(catalogue.stop())
            self.successResultOf(catalogue.stop())


class ReadTest(CatalogueTestCase):
    def test_where_reads_run(self) -> None:
        """An image is read in the reactor thread, a list in a reader thread."""
        image = self.add_public()
        threads = HeldThreads()
        catalogue = self.open_catalogue_with(threads)
        self.assertEqual(self.successResultOf(catalogue.image(image.id)), image)
        listed = catalogue.images(ImageQuery(ADMIN, 10))
        self.assertNoResult(listed)
        threads.release()
        self.assertEqual(self.successResultOf(listed).images, [image])

    def test_read_again(self) -> None:
        """If a read in the reactor thread fails, it is repeated in a reader thread."""
        image = self.add_public()
        other = self.other_connection()

        @implementer(IThreads)
        class RepairingThreads:
            def run(self, function: Any, *arguments: Any) -> Deferred[Any]:
                other.execute("ALTER TABLE elsewhere RENAME TO image_tags")
                return ImmediateThreads().run(function, *arguments)

        database = self.open_database(reader_threads=RepairingThreads())
        catalogue = Catalogue(database)
        self.successResultOf(catalogue.start())
        other.execute("ALTER TABLE image_tags RENAME TO elsewhere")
        self.assertEqual(self.successResultOf(catalogue.image(image.id)), image)
        other.execute("ALTER TABLE image_tags RENAME TO elsewhere")
        self.successResultOf(catalogue.stop())

    def test_beside_a_transaction(self) -> None:
        """Readers see nothing of a transaction before its commit, and do not wait for it."""
        image = self.add_public()
        other = self.other_connection()
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE images SET name = 'changed'")
        self.assertIsNone(self.get(image.id).name)
        other.execute("COMMIT")
        self.assertEqual(self.get(image.id).name, "changed")

    def open_catalogue_with(self, reader_threads: HeldThreads) -> Catalogue:
        catalogue = Catalogue(self.open_database(reader_threads=reader_threads))
        self.successResultOf(catalogue.start())

        def stop() -> None:
            stopped = catalogue.stop()
            reader_threads.release()
            self.successResultOf(stopped)

        self.addCleanup(stop)
        return catalogue


class SettingsTest(CatalogueTestCase):
    def test_connections(self) -> None:
        """Every commit is flushed to the disk, foreign keys are enforced, and the log is a write-ahead log."""

        def settings(connection: Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]

        for run in (self.database.read, self.database.write):
            self.assertEqual(self.successResultOf(run(settings)), ["wal", 2, 1])

    def test_busy_timeout(self) -> None:
        """The wait for a lock ends after the given time."""
        database = self.open_database(busy_timeout=0.25)
        self.successResultOf(database.start())

        def timeout(connection: Connection) -> object:
            return connection.execute(text("PRAGMA busy_timeout")).scalar()

        for run in (database.read, database.write):
            self.assertEqual(self.successResultOf(run(timeout)), 250)
        self.successResultOf(database.stop())

    def test_files_after_stop(self) -> None:
        """The last process that stops leaves one file with all data, the empty file for turns, and the reserve."""
        image = self.add()
        self.successResultOf(self.catalogue.stop())
        left = {path.name for path in self.path.parent.glob(self.path.name + "*")}
        self.assertEqual(left, {self.path.name, f"{self.path.name}-turn", f"{self.path.name}-reserve"})
        rows = sqlite3.connect(self.path).execute("SELECT id FROM images").fetchall()
        self.assertEqual(rows, [(image.id,)])


class UrlTest(SynchronousTestCase):
    def test_refused(self) -> None:
        """Only URLs of SQLite files are accepted."""
        for url in ("", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///a?mode=ro", "postgresql://host/name"):
            self.assertRaises(ConfigurationError, SQLiteDatabase, url, ImmediateThreads(), ImmediateThreads())
