"""A database server that fails, or undoes transactions."""

from __future__ import annotations

import struct
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import psycopg
import pymysql
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc import config
from imgsvc.catalogue import drivers, open_database, without_password
from imgsvc.catalogue.drivers import Fault, Limits
from imgsvc.catalogue.servers import ATTEMPTS, ServerDatabase
from imgsvc.catalogue.url import parse
from imgsvc.errors import CatalogueUnavailable, ConfigurationError, Conflict, Invalid, QuotaExceeded
from imgsvc.model import Filter, ImageQuery
from tests.catalogue.rigs import ADMIN, CatalogueTestCase, HeldThreads, new_image
from tests.support.databases import PASSWORD, mariadb, postgresql
from tests.support.threads import ImmediateThreads


class EagerClock(Clock):
    """Every pause ends at once."""

    def callLater(self, delay: float, function: Any, *args: Any, **options: Any) -> Any:
        call = super().callLater(delay, function, *args, **options)
        if delay < 1:
            self.advance(delay)
        return call


class ServerTest(CatalogueTestCase):
    """Tests on PostgreSQL. The class below runs them on MariaDB."""

    server = staticmethod(postgresql)

    def setUp(self) -> None:
        super().setUp()
        self.image = self.add(name="0")

    def open_database(self, **options: Any) -> Any:
        return super().open_database(**{"clock": EagerClock()} | options)

    def name(self) -> str | None:
        return self.get(self.image.id).name

    def rename(self, name: str, *hooks: Any) -> Deferred[int]:
        """Rename the image. Before that, call `hooks` with the number of the attempt and the connection."""
        attempts = 0

        def job(connection: Connection) -> int:
            nonlocal attempts
            attempts += 1
            cursor = connection.connection.cursor()
            cursor.execute("UPDATE images SET name = %s WHERE id = %s", (name, self.image.id))
            for hook in hooks:
                hook(attempts, connection)
            return attempts

        return self.database.write(job)

    def cut(self) -> None:
        """Cut all connections except those of `self.rig.server.connect`."""
        self.rig.server.cut_connections(self.rig.name)

    def test_idle_cut(self) -> None:
        """A connection that was cut while it was idle makes no request fail."""
        for _ in range(3):
            self.cut()
            self.assertEqual(self.name(), self.get(self.image.id).name)
            self.cut()
            self.successResultOf(self.rename("1"))
        self.assertEqual(self.name(), "1")

    def test_cut_in_transaction(self) -> None:
        """A transaction whose connection is lost before its commit is repeated."""
        rename = self.rename("1", lambda attempt, connection: attempt == 1 and self.cut(), check)
        self.assertEqual(self.successResultOf(rename), 2)
        self.assertEqual(self.name(), "1")

    def test_cut_before_commit(self) -> None:
        """A transaction whose connection is lost during its commit is not repeated, because it may have been done."""
        rename = self.rename("1", lambda attempt, connection: self.cut())
        failure = self.failureResultOf(rename, CatalogueUnavailable)
        self.assertEqual(str(failure.value), "The catalogue cannot answer now.")
        self.assertEqual(self.name(), "0")

    def test_cut_always(self) -> None:
        """A transaction that is undone again and again fails in the end."""
        attempts: list[int] = []
        rename = self.rename("1", lambda attempt, connection: (attempts.append(attempt), self.cut()), check)
        self.failureResultOf(rename, CatalogueUnavailable)
        self.assertEqual(attempts, list(range(1, ATTEMPTS + 1)))

    def test_dead_lock(self) -> None:
        """Two transactions that wait for each other both succeed in the end."""
        other = self.add(name="0")
        databases = [self.open_database() for _ in range(2)]
        for database in databases:
            self.successResultOf(database.start())
            self.addCleanup(lambda database=database: self.successResultOf(database.stop()))
        meeting, results = Barrier(2), []

        def change(database: ServerDatabase, images: list[str]) -> None:
            attempts = 0

            def job(connection: Connection) -> int:
                nonlocal attempts
                attempts += 1
                cursor = connection.connection.cursor()
                for image in images:
                    cursor.execute("UPDATE images SET min_ram = min_ram + 1 WHERE id = %s", (image,))
                    if attempts == 1 and image == images[0]:
                        meeting.wait(60)
                return attempts

            database.write(job).addBoth(results.append)

        images = [self.image.id, other.id]
        threads = [
            Thread(target=change, args=(database, order))
            for database, order in zip(databases, (images, images[::-1]), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), [1, 2])
        self.assertEqual([self.get(image).min_ram for image in images], [2, 2])

    def test_locked(self) -> None:
        """If another program keeps a row locked, a write fails after a while, and reads succeed."""
        database = self.open_database(limits=Limits(connect=5, statement=10, lock=1))
        self.successResultOf(database.start())
        self.addCleanup(lambda: self.successResultOf(database.stop()))
        other = self.other_connection()
        other.execute("BEGIN")
        other.execute("UPDATE images SET name = 'theirs'")
        self.database, kept = database, self.database
        self.failureResultOf(self.rename("mine"), CatalogueUnavailable)
        self.database = kept
        self.assertEqual(self.name(), "0")
        other.execute("ROLLBACK")
        self.successResultOf(self.rename("mine"))

    def test_slow_statement(self) -> None:
        """A statement that takes too long is ended."""
        database = self.open_database(limits=Limits(connect=5, statement=1, lock=1))
        self.successResultOf(database.start())
        self.addCleanup(lambda: self.successResultOf(database.stop()))
        sleep = "SELECT pg_sleep(60)" if self.server is postgresql else "SELECT SLEEP(60) FROM images"
        slept = database.read(lambda connection: connection.exec_driver_sql(sleep).fetchall())
        self.failureResultOf(slept, CatalogueUnavailable)

    def test_silence(self) -> None:
        """If the server does not respond, calls fail after a time. A job that had not begun is not done any more."""
        clock, threads = Clock(), HeldThreads()
        database = self.open_database(clock=clock, threads=threads)
        started = database.start()
        threads.release()
        self.successResultOf(started)
        ran: list[int] = []
        written = database.write(lambda connection: ran.append(1))
        clock.advance(14.9)
        self.assertNoResult(written)
        clock.advance(0.2)
        self.failureResultOf(written, CatalogueUnavailable)
        threads.release()
        self.assertEqual(ran, [])
        self.successResultOf(database.stop())

    def test_closed(self) -> None:
        """Before the start and after the stop, every call fails."""
        database = self.open_database()
        for _ in range(2):
            self.failureResultOf(database.read(lambda connection: None), CatalogueUnavailable)
            self.failureResultOf(database.write(lambda connection: None), CatalogueUnavailable)
            self.successResultOf(database.start())
            self.successResultOf(database.stop())

    def test_stop_waits(self) -> None:
        """A stop waits for the running jobs."""
        threads = HeldThreads()
        database = self.open_database(threads=threads)
        started = database.start()
        threads.release()
        self.successResultOf(started)
        read = database.read(lambda connection: 1)
        stopped = database.stop()
        self.assertNoResult(stopped)
        threads.release()
        self.assertEqual((self.successResultOf(read), self.successResultOf(stopped)), (1, None))

    def test_job_fails(self) -> None:
        """A job that raises an error is undone, and the caller gets the error."""

        def refuse(attempt: int, connection: Connection) -> None:
            raise Conflict("no")

        self.failureResultOf(self.rename("1", refuse), Conflict)
        self.assertEqual(self.name(), "0")

    def test_values(self) -> None:
        """Values that the database refuses are errors of the client, and the catalogue goes on."""
        self.failureResultOf(self.catalogue.add(new_image(name="x" * 300)), Invalid)
        query = ImageQuery(ADMIN, 10, filters=(Filter("size", "lt", (2**70,)),))
        self.failureResultOf(self.catalogue.images(query), Invalid)
        self.add()

    def test_without_tables(self) -> None:
        """Missing tables, and tables that may not be read, are an outage."""
        renamed, back = "ALTER TABLE image_tags RENAME TO away", "ALTER TABLE away RENAME TO image_tags"
        self.other_connection().execute(renamed)
        self.addCleanup(lambda: self.rig.server.execute(back, self.rig.name))
        self.failureResultOf(self.catalogue.image(self.image.id), CatalogueUnavailable)

    def test_members_limit(self) -> None:
        """Concurrent additions of members do not exceed the limit."""
        catalogues = [self.open_catalogue(self.open_database()) for _ in range(4)]
        meeting, results = Barrier(4), []

        def add(number: int) -> None:
            meeting.wait(60)
            added = catalogues[number].add_member(self.image.id, f"p{number}", 2)
            added.addErrback(lambda failure: failure.value).addBoth(results.append)

        threads = [Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sum(isinstance(result, QuotaExceeded) for result in results), 2, results)
        self.assertEqual(len(self.get(self.image.id).members), 2)

    def test_much(self) -> None:
        """A very large image is kept unchanged."""
        properties = {f"p{number}": "\N{GRINNING FACE}" * 10_000 for number in range(40)}
        image = self.add(properties=properties)
        self.assertEqual(dict(self.get(image.id).properties), properties)


class ServerOnMariaDBTest(ServerTest):
    """The same tests on MariaDB."""

    server = staticmethod(mariadb)

    def test_broken_commit(self) -> None:
        """A commit in which the driver itself fails is an unknown outcome."""

        def break_off(attempt: int, connection: Connection) -> None:
            driver: Any = connection.connection.dbapi_connection
            driver._rfile = None

        self.failureResultOf(self.rename("1", break_off), CatalogueUnavailable)
        self.assertIn(self.name(), ("0", "1"))


class FaultTest(SynchronousTestCase):
    """How an error of a server is classified by its number."""

    def test_postgresql(self) -> None:
        """A server that stops, is read-only, or is out of resources is never an error of the job."""
        driver = drivers.driver_of(parse("postgresql://h/d"))
        for fault, states in {
            Fault.LOST: "08000 08003 08006 25006 25P03 25P04 57P01 57P02 57P03 57P05",
            Fault.CONFLICT: "40001 40P01",
            Fault.OUTAGE: "42501 42P01 42703 53100 53200 53300 55P03 57014 57P04 58030 XX000 XX001",
            Fault.VALUE: "22001 22003 22021",
            Fault.JOB: "23503 23505 42601",
        }.items():
            for state in states.split():
                self.assertIs(driver.fault(psycopg.errors.lookup(state)("no")), fault, state)
        self.assertIs(driver.fault(psycopg.OperationalError("the connection is closed")), Fault.LOST)
        self.assertIsNone(driver.fault(ValueError("no")))

    def test_mariadb(self) -> None:
        """The same for MariaDB."""
        driver = drivers.driver_of(parse("mariadb://h/d"))
        for fault, numbers in {
            Fault.LOST: (1040, 1047, 1053, 1290, 1792, 1836, 1927, 4031),
            Fault.CONFLICT: (1020, 1213, 1412),
            Fault.OUTAGE: (6, 28, 1021, 1030, 1044, 1054, 1114, 1142, 1146, 1180, 1203, 1205, 1317, 1969),
            Fault.VALUE: (1264, 1406),
            Fault.JOB: (1062, 1064, 1452),
        }.items():
            for number in numbers:
                packet = b"\xff" + struct.pack("<H", number) + b"#HY000no"
                error = self.assertRaises(pymysql.MySQLError, pymysql.err.raise_mysql_exception, packet)
                self.assertIs(driver.fault(error), fault, number)
        for lost in ((0, ""), (2006, "gone"), (2013, "lost"), (2055, "lost")):
            self.assertIs(driver.fault(pymysql.OperationalError(*lost)), Fault.LOST)
        self.assertIsNone(driver.fault(ValueError("no")))


class UrlTest(SynchronousTestCase):
    """The values of [database] url."""

    def test_drivers(self) -> None:
        """The usual names of databases select our drivers."""
        for url, driver in {
            "postgresql://h/d": "postgresql+psycopg",
            "mysql://h/d": "mariadb+pymysql",
            "mysql+pymysql://h/d": "mariadb+pymysql",
            "mariadb://h/d": "mariadb+pymysql",
        }.items():
            self.assertEqual(parse(url).drivername, driver)

    def test_refused(self) -> None:
        """An invalid URL is refused in one line without the password."""
        secret = PASSWORD
        for url in (
            f"postgresql+asyncpg://u:{secret}@h/d",
            f"oracle://u:{secret}@h/d",
            f"postgresql//u:{secret}@h/d",
            f"postgresql://u:{secret}@h:port/d",
            f"postgresql://u:{secret}@h",
        ):
            error = self.assertRaises(
                ConfigurationError,
                open_database,
                config.Database(url=url),
                Path(),
                lambda name, size: ImmediateThreads(),
                Clock(),
            )
            self.assertIn("database.url: must ", str(error))
            self.assertNotIn(secret, str(error))
            self.assertIsNone(error.__cause__)

    def test_unknown_option(self) -> None:
        """An unknown option of the driver is reported in one line."""
        for options in ("nonsense=1", "ssl_ca=/absent.pem", "read_timeout=soon"):
            with self.assertRaises(ConfigurationError) as caught:
                database = open_database(
                    config.Database(url=f"mysql://u:{PASSWORD}@127.0.0.1:1/d?{options}"),
                    Path(),
                    lambda name, size: ImmediateThreads(),
                    Clock(),
                )
                self.failureResultOf(database.start()).raiseException()
            error = caught.exception
            self.assertRegex(str(error), r"^database\.url: the driver does not take its options: .+")
            self.assertNotIn(PASSWORD, str(error))

    def test_shown(self) -> None:
        """No password is shown, wherever it is in the URL."""
        for url in (f"postgresql://u:{PASSWORD}@h/d", f"mysql://h/d?password={PASSWORD}&user=u"):
            self.assertNotIn(PASSWORD, without_password(url))

    def test_no_driver(self) -> None:
        """A missing driver is reported in one line, with what to install."""

        def missing(package: str) -> Any:
            raise ModuleNotFoundError(f"No module named {package!r}")

        self.patch(drivers, "import_module", missing)
        for url, extra in {"postgresql://h/d": "postgresql", "mysql://h/d": "mariadb"}.items():
            error = self.assertRaises(ConfigurationError, drivers.driver_of, parse(url))
            self.assertIn(f"imgsvc[{extra}]", str(error))


def check(attempt: int, connection: Connection) -> None:
    """Send a query to the server."""
    connection.connection.cursor().execute("SELECT 1")
