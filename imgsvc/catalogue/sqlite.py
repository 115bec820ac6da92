"""SQLite: the thread in which each job runs, and the transactions that jobs share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import frozen
from sqlalchemy import Connection, Engine, PoolProxiedConnection, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, DeferredLock, fail, succeed

from imgsvc.catalogue import schema
from imgsvc.catalogue.database import Job, cause_of, for_the_client, unavailable
from imgsvc.catalogue.reserve import Reserve
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.turns import Turn
from imgsvc.catalogue.url import parse
from imgsvc.errors import CatalogueUnavailable, ConfigurationError
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger

__all__ = ["SQLiteDatabase", "sqlite_engine", "turn_of"]

log = make_logger()

T = TypeVar("T")

STATEMENTS_KEPT: Final = 48
"""Prepared statements that a connection keeps: more than are frequent. A list with some filters takes 150 KiB."""


@frozen
class _Raised:
    """The exception that a job has raised."""

    error: Exception


@frozen
class _Write:
    """A job that writes. frees: see Database.write."""

    job: Job[Any]
    frees: bool


def _is_full(error: Exception) -> bool:
    """Whether the disk was full. SQLite reports this as an input/output error if it is not sure."""
    code = getattr(cause_of(error), "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class SQLiteDatabase:
    """A Database in an SQLite file, which other processes of the same host share.

    One thread does all writes. The jobs that arrive during a transaction share the next one, and so its fsync. Reads
    never wait for writes (write-ahead log): a read of a single row runs in the calling thread, other reads in the
    reader threads.
    """

    def __init__(
        self,
        url: str,
        writer_threads: IThreads,
        reader_threads: IThreads,
        busy_timeout: float = 5.0,
        must_exist: bool = False,
    ) -> None:
        """url: as `sqlite:///folder/file`. writer_threads: has one thread. busy_timeout: seconds to wait for a lock.
        must_exist: make no new file.

        Raises ConfigurationError for a URL that is not of an SQLite file.
        """
        self._writer_threads = writer_threads
        self._reader_threads = reader_threads
        self._writers = sqlite_engine(url, busy_timeout)
        self._readers = _engine(url, busy_timeout)
        self._heavy_readers = _engine(url, busy_timeout, statements_kept=0)
        self._heavy = DeferredLock()
        self._turn = turn_of(url, busy_timeout)
        self._driver = self._readers.dialect.loaded_dbapi
        self._here: PoolProxiedConnection | None = None
        self._reserve = Reserve(Path(parse(url).database or ""))
        self._waiting: list[tuple[_Write, Deferred[Any]]] = []
        self._writing: Deferred[None] | None = None
        self._started = False
        self._file = Path(parse(url).database or "")
        self._must_exist = must_exist

    def start(self) -> Deferred[None]:
        """Create or upgrade the schema, and open the connection of this thread.

        Fails: CatalogueUnavailable; ConfigurationError if the schema is of a later version, or if the file must exist
        and does not.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        self._here = await self._writer_threads.run(self._prepare)
        self._started = True

    def stop(self) -> Deferred[None]:
        """Finish the waiting writes, refuse new jobs, close all connections. May be called any number of times."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._started = False
        if self._writing is not None:
            await self._writing
        if self._here is not None:
            self._here.close()
            self._here = None
        await self._reader_threads.run(self._close_readers)
        await self._writer_threads.run(self._close_writer)

    def _close_readers(self) -> None:
        self._readers.dispose()
        self._heavy_readers.dispose()

    def _close_writer(self) -> None:
        self._writers.dispose()
        self._turn.close()

    def write(self, job: Job[T], frees: bool = False) -> Deferred[T]:
        """Run `job` in a transaction, in the writer thread. Returns its result, after the commit.

        frees: see Database.
        If a job raises, only that job is undone, and the Deferred fails with the same exception. Fails with
        CatalogueUnavailable if the database failed; all jobs of the transaction are undone then.
        """
        if not self._started:
            return fail(CatalogueUnavailable("The catalogue is closed."))
        waiting: Deferred[T] = Deferred()
        self._waiting.append((_Write(job, frees), waiting))
        if self._writing is None:
            finished: Deferred[None] = Deferred()
            self._writing = finished
            Deferred.fromCoroutine(self._write_waiting()).chainDeferred(finished)
        return waiting

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            writes = [write for write, _ in batch]
            try:
                outcomes = await self._writer_threads.run(self._transaction, writes)
            except Exception as error:
                outcomes = [_Raised(error)] * len(batch)
            for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, _Raised):
                    waiting.errback(outcome.error)
                else:
                    waiting.callback(outcome)
        self._writing = None

    def _transaction(self, writes: list[_Write]) -> list[Any]:
        """Return the results of the jobs; _Raised for each job that raised. Runs in the writer thread.

        If the disk is full, the jobs that free space are tried once more, with the reserved space.
        """
        try:
            try:
                outcomes = self._run_all(writes)
            except (DBAPIError, self._driver.Error) as error:
                if not _is_full(error) or not any(write.frees for write in writes):
                    raise
                self._reserve.give_up()
                others = _Raised(unavailable(error))
                freed = iter(self._run_all([write for write in writes if write.frees]))
                outcomes = [next(freed) if write.frees else others for write in writes]
        except (DBAPIError, self._driver.Error, TimeoutError) as error:
            raise unavailable(error) from error
        self._reserve.fill()
        return outcomes

    def _run_all(self, writes: list[_Write]) -> list[Any]:
        with self._turn.taken(), self._writers.begin() as connection:
            return [self._attempt(connection, write.job) for write in writes]

    def _attempt(self, connection: Connection, job: Job[Any]) -> Any:
        """Return the result of the job; _Raised if it raised and was undone."""
        cursor = connection.connection.cursor()
        cursor.execute("SAVEPOINT job")
        try:
            result = job(connection)
        except Exception as error:
            if self._is_outage(error):
                raise
            result = _Raised(for_the_client(error))
            cursor.execute("ROLLBACK TO SAVEPOINT job")
        cursor.execute("RELEASE SAVEPOINT job")
        return result

    def _is_outage(self, error: Exception) -> bool:
        """Whether the database failed, rather than the job."""
        driver = self._driver
        faults_of_the_job = (driver.IntegrityError, driver.DataError, driver.ProgrammingError)
        cause = cause_of(error)
        return isinstance(cause, driver.DatabaseError) and not isinstance(cause, faults_of_the_job)

    def read(self, job: Job[T], heavy: bool = False) -> Deferred[T]:
        """Run `job`, which only reads, in a reader thread. See Database. Fails as `write`."""
        return self._heavy.run(self._read, job, self._heavy_readers) if heavy else self._read(job, self._readers)

    def _read(self, job: Job[T], engine: Engine) -> Deferred[T]:
        if not self._started:
            return fail(CatalogueUnavailable("The catalogue is closed."))
        return self._reader_threads.run(self._reading, job, engine)

    def _reading(self, job: Job[T], engine: Engine) -> T:
        try:
            with engine.connect() as connection:
                return job(connection)
        except (UnicodeEncodeError, OverflowError) as error:
            raise for_the_client(error) from error
        except (DBAPIError, self._driver.Error) as error:
            raise unavailable(error) from error

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> Deferred[Sequence[Sequence[Any]]]:
        """Return the rows of a statement that finds few rows by their keys. Runs at once, in this thread.

        Fails as `write`.
        """
        if self._here is None:
            return fail(CatalogueUnavailable("The catalogue is closed."))
        try:
            # All rows at once, because only the end of the rows ends the read transaction.
            rows = statement.execute(self._here, self._readers.dialect, values).fetchall()
        except UnicodeEncodeError:
            # No row has a key that is not valid text.
            return succeed([])
        except self._driver.Error as error:
            # While the log of a killed process is recovered, readers must wait. This thread may not wait.
            log.debug("Reading again in a thread: {error}", error=error)
            return self.read(lambda connection: statement.rows(connection, **values))
        return succeed(rows)

    def version(self) -> int | None:
        """Return a number that changes whenever any process commits a change; None if it is unknown now.

        https://sqlite.org/pragma.html#pragma_data_version
        """
        if self._here is None:
            return None
        try:
            row = self._here.cursor().execute("PRAGMA data_version").fetchone()
        except self._driver.Error:
            return None
        return int(row[0])

    def _prepare(self) -> PoolProxiedConnection:
        """Prepare the database. Returns the connection for reads in the calling thread. Runs in the writer thread."""
        if self._must_exist and not self._file.exists():
            raise ConfigurationError(
                f"database.must_exist: there is no database {self._file}: is its file system mounted?"
                " `imgsvc-admin database upgrade`, with the --config and --data of the daemon before `database`, makes"
                " a new one"
            )
        try:
            with self._readers.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                current = schema.revision(connection)
            if current != schema.HEAD:
                # With the lock of BEGIN IMMEDIATE, one of several processes upgrades, and the others find it done.
                with self._turn.taken(), self._writers.begin() as connection:
                    schema.upgrade(connection)
            if current is None:
                log.info("There was no catalogue: a new, empty one is in {file}", file=self._file)
            here = self._readers.raw_connection()
            here.detach()
            here.cursor().execute("PRAGMA busy_timeout = 0")
            self._reserve.fill()
            return here
        except (DBAPIError, self._driver.Error, TimeoutError) as error:
            raise unavailable(error) from error


def turn_of(url: str, patience: float) -> Turn:
    """Return the turn to write to the file of a URL. patience: seconds."""
    return Turn(Path(parse(url).database or ""), patience)


def sqlite_engine(url: str, busy_timeout: float) -> Engine:
    """Return an engine whose transactions may write: they begin by taking the write lock.

    Raises ConfigurationError if the URL is not one of an SQLite file.
    """
    engine = _engine(url, busy_timeout)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _engine(url: str, busy_timeout: float, statements_kept: int = STATEMENTS_KEPT) -> Engine:
    """Return an engine whose connections begin no transactions by themselves."""
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError("database.url: must be the URL of a file, such as sqlite:///folder/file")
    if parsed.query:
        raise ConfigurationError(
            f"database.url: the URL of an SQLite file may not have options, such as {next(iter(parsed.query))}"
        )
    # There is one connection for each thread, and it stays open: pool_size 0 means no limit.
    engine = create_engine(
        parsed,
        poolclass=QueuePool,
        pool_size=0,
        connect_args={"timeout": busy_timeout, "isolation_level": None, "cached_statements": statements_kept},
    )
    event.listen(engine, "do_connect", lambda *_: _make_private(str(parsed.database)))
    event.listen(engine, "connect", _set_up_connection)
    return engine


def _make_private(path: str) -> None:
    """Create the file if it does not exist, readable by its owner only. SQLite gives its logs the same permissions.

    SQLite itself would let everybody read it. An existing file is never opened here: closing it would release the locks
    that SQLite holds on it in this process.
    """
    with suppress(OSError):  # it exists, or SQLite reports the error
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _set_up_connection(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    # The data for undoing savepoints and for sorting, which would otherwise be in temporary files.
    connection.execute("PRAGMA temp_store = MEMORY")
    # 16 MiB of page cache for a connection. With the default of 2 MiB, lists of 100,000 images read pages repeatedly,
    # and take twice the time.
    connection.execute("PRAGMA cache_size = -16384")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads before it writes would fail if another process wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
