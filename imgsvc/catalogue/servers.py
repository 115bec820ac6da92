"""PostgreSQL and MariaDB: a pool of connections, each used by one thread at a time, and the handling of errors.

A job is run again if it was certainly undone: the server has rolled its transaction back because of a dead-lock, or the
connection was lost before the COMMIT was sent. If a COMMIT was sent but not answered, its outcome is unknown, and the
job fails.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from attrs import define
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidRequestError
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredLock, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from imgsvc.catalogue import schema
from imgsvc.catalogue.database import Job, cause_of, for_the_client
from imgsvc.catalogue.drivers import Driver, Fault, Limits, driver_of
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.url import parse
from imgsvc.errors import CatalogueUnavailable, ConfigurationError, ImgsvcError, Invalid
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger

__all__ = ["ServerDatabase", "server_engine"]

log = make_logger()

T = TypeVar("T")

ATTEMPTS: Final = 8
"""The largest number of attempts for a job that is undone each time."""
PAUSE: Final = 0.01
"""Average seconds of the pause before the third attempt. It doubles before each later attempt."""


class _Undone(Exception):
    """The whole job was undone, for a reason outside it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@define(eq=False)
class _Call(Generic[T]):
    """A job, and whether its caller has given up."""

    job: Job[T]
    writes: bool
    given_up: bool = False

    def give_up(self, result: Any, seconds: float) -> Any:
        """End the call after its timeout."""
        self.given_up = True
        raise _unavailable(TimeoutError(f"no answer within {seconds:g} s"))


class ServerDatabase:
    """A Database on a server, which other processes and hosts share."""

    def __init__(self, url: str, threads: IThreads, pool_size: int, limits: Limits, clock: IReactorTime) -> None:
        """url: as `postgresql://user:password@host/name`. threads: `pool_size` of them, each uses one connection.

        Raises ConfigurationError.
        """
        self._driver = driver_of(parse(url))
        self._threads = threads
        self._clock = clock
        self._patience = limits.connect + limits.statement
        self._engine = server_engine(url, self._driver, limits, pool_size)
        self._pool = _Generations(self._engine)
        self._running: set[Deferred[Any]] = set()
        self._heavy = DeferredLock()
        self._started = False

    def start(self) -> Deferred[None]:
        """See Database. Does not create or upgrade tables, because other hosts may be using them."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        self._started = True
        try:
            schema.check(await self.read(schema.revision))
        except BaseException:
            await self._stop()
            raise

    def stop(self) -> Deferred[None]:
        """See Database."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._started = False
        await DeferredList(list(self._running))
        self._engine.dispose()

    def write(self, job: Job[T], frees: bool = False) -> Deferred[T]:
        """See Database. Each job has its own transaction. Each of its statements sees what others have committed."""
        return self._answer(job, True)

    def read(self, job: Job[T], heavy: bool = False) -> Deferred[T]:
        """See Database."""
        return self._heavy.run(self._answer, job, False) if heavy else self._answer(job, False)

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> Deferred[Sequence[Sequence[Any]]]:
        """See Database."""

        def no_rows(failure: Failure) -> Sequence[Sequence[Any]]:
            failure.trap(Invalid)  # no row has a key that the database refuses
            return []

        return self.read(lambda connection: statement.rows(connection, **values)).addErrback(no_rows)

    def version(self) -> int | None:
        """See Database. Always None: a query for it would take as long as a read."""
        return None

    def _answer(self, job: Job[T], writes: bool) -> Deferred[T]:
        """Return the result of a job. Fails after a timeout, because a server may stop answering."""
        if not self._started:
            return fail(CatalogueUnavailable("The catalogue is closed."))
        call = _Call(job, writes)
        answer = Deferred.fromCoroutine(self._repeated(call))
        answer.addTimeout(self._patience, self._clock, call.give_up)
        self._running.add(answer)
        return answer.addBoth(self._ended, answer)

    def _ended(self, result: Any, answer: Deferred[Any]) -> Any:
        self._running.discard(answer)
        return result

    async def _repeated(self, call: _Call[T]) -> T:
        for attempt in range(ATTEMPTS):
            if attempt > 1:
                # The first retry is immediate: mostly an idle connection was lost.
                await deferLater(self._clock, random.uniform(0, PAUSE * 2 ** (attempt - 1)))
            try:
                return await self._threads.run(self._attempt, call)
            except _Undone as undone:
                log.info("The database undid a transaction, which is run again: {cause}", cause=_line(undone.cause))
                cause = undone.cause
        raise _unavailable(cause)

    # --- run in a thread

    def _attempt(self, call: _Call[T]) -> T:
        if call.given_up:
            raise CancelledError()
        with self._connect() as connection:
            generation = connection.info[_Generations]
            try:
                if call.writes:
                    connection.begin()
                result = call.job(connection)
            except Exception as error:
                raise self._undo(connection, generation, error) from error
            if call.writes:
                self._commit(connection, generation)
            return result

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except DBAPIError as error:
            raise _unavailable(error) from error
        except InvalidRequestError as error:  # a new connection that was lost at once
            raise _Undone(error) from error
        except (TypeError, ValueError, OSError) as error:
            # The driver does not know an option, or cannot read a file of an option.
            raise _wrong_options(error) from error

    def _undo(self, connection: Connection, generation: int, error: Exception) -> Exception:
        """End the transaction of a failed job. Returns the exception to raise."""
        cause = cause_of(error)
        fault = self._driver.fault(cause)
        if not isinstance(error, ImgsvcError) and self._is_lost(connection):
            fault = Fault.LOST  # the driver's error may be a consequence of that
        if fault is Fault.LOST:
            connection.invalidate(cause)
            self._pool.lost(generation)
            return _Undone(cause)
        try:
            connection.rollback()
        except Exception:  # the invalidation ends the transaction too
            connection.invalidate(cause)
            self._pool.lost(generation)
        match fault:
            case Fault.CONFLICT:
                return _Undone(cause)
            case Fault.OUTAGE:
                return _unavailable(cause)
            case Fault.VALUE:
                return Invalid("The catalogue cannot store a value of the request.")
        return for_the_client(error)

    def _is_lost(self, connection: Connection) -> bool:
        return connection.invalidated or not self._driver.is_open(connection.connection.dbapi_connection)

    def _commit(self, connection: Connection, generation: int) -> None:
        try:
            connection.commit()
        except Exception as error:  # drivers raise other exceptions than their own for an incomplete answer
            cause = cause_of(error)
            connection.invalidate(cause)
            fault = self._driver.fault(cause)
            if fault is Fault.CONFLICT:
                raise _Undone(cause) from error
            if fault is Fault.LOST:
                self._pool.lost(generation)
            raise _unavailable(cause) from error


class _Generations:
    """Makes the pool replace all connections that are as old as a lost one: a server that ends loses all of them."""

    def __init__(self, engine: Engine) -> None:
        self._generation = 0
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._checked_out)

    def _connected(self, connection: Any, record: Any) -> None:
        record.info[_Generations] = self._generation

    def _checked_out(self, connection: Any, record: Any, proxy: Any) -> None:
        if record.info[_Generations] != self._generation:
            raise DisconnectionError("The server may have closed this connection too.")

    def lost(self, generation: int) -> None:
        """Record that a connection of a generation was lost. Concurrent losses of one generation may count as two."""
        if generation == self._generation:
            self._generation = generation + 1


def server_engine(url: str, driver: Driver, limits: Limits, pool_size: int = 1) -> Engine:
    """Return an engine whose connections are set up for the catalogue. Raises ConfigurationError."""
    parsed = parse(url)
    if not parsed.database:
        raise ConfigurationError("database.url: must name the database, as in postgresql://user:password@host/name")
    try:
        engine = create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            # Every job ends its own transaction, so the pool need not send a rollback.
            pool_reset_on_return=None,
            connect_args={
                name: value for name, value in driver.connect_arguments(limits).items() if name not in parsed.query
            },
        )
    except ValueError as error:
        raise _wrong_options(error) from error

    def set_up(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        for statement in driver.session(limits):
            cursor.execute(statement)
        cursor.close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN") and None)
    return engine


def _unavailable(error: Exception) -> CatalogueUnavailable:
    """Log the error, and return one without details: the driver's errors name hosts and accounts."""
    log.error("The database failed: {cause}", cause=_line(cause_of(error)))
    return CatalogueUnavailable("The catalogue cannot answer now.")


def _wrong_options(error: Exception) -> ConfigurationError:
    return ConfigurationError(f"database.url: the driver does not take its options: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
