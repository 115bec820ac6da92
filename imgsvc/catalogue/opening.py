"""Opens the database of the configuration. Only this module decides by URL which kind of database it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from twisted.internet.interfaces import IReactorTime

from imgsvc import config
from imgsvc.catalogue import schema
from imgsvc.catalogue.database import Database, cause_of
from imgsvc.catalogue.holdings import count_objects, find_identity
from imgsvc.catalogue.sqlite import SQLiteDatabase, sqlite_engine, turn_of
from imgsvc.catalogue.url import locate, parse, sqlite_file
from imgsvc.errors import CatalogueUnavailable, ConfigurationError
from imgsvc.interfaces import IThreads

__all__ = ["Schema", "open_database"]

READER_THREADS: Final = 4


def open_database(
    options: config.Database, data_folder: Path, make_threads: Callable[[str, int], IThreads], clock: IReactorTime
) -> Database:
    """Return the database of the configuration, not started yet.

    make_threads: makes a pool from its name and its number of threads. Raises ConfigurationError.
    """
    url = locate(options.url, data_folder)
    if _is_sqlite(url):
        writer, readers = make_threads("catalogue-writer", 1), make_threads("catalogue-readers", READER_THREADS)
        return SQLiteDatabase(url, writer, readers, options.busy_timeout, options.must_exist)
    from imgsvc.catalogue.drivers import Limits  # imported only for servers: SQLite does not need it
    from imgsvc.catalogue.servers import ServerDatabase

    limits = Limits(options.connect_timeout, options.statement_timeout, options.busy_timeout)
    return ServerDatabase(url, make_threads("catalogue", options.pool_size), options.pool_size, limits, clock)


def _is_sqlite(url: str) -> bool:
    return parse(url).get_backend_name() == "sqlite"


class Schema:
    """The tables of a database, for tools that inspect or upgrade them. Calls block.

    All methods raise CatalogueUnavailable, ConfigurationError.
    """

    head: Final = schema.HEAD
    """The version that this program needs."""

    def __init__(self, options: config.Database, data_folder: Path) -> None:
        self._options = options
        self._url = locate(options.url, data_folder)
        self._file = sqlite_file(options.url, data_folder)

    def version(self) -> str | None:
        """Return the version of the tables; None if there are none. Creates no file."""
        if self._file is not None and not self._file.exists():
            return None
        with self._connected() as connection:
            return schema.revision(connection)

    def holdings(self, store_id: str) -> tuple[str | None, int]:
        """Return the id of the catalogue, if it has one, and the number of objects that must be in a store.

        Returns None and 0 if there are no tables, or tables of another version.
        """
        if self.version() != schema.HEAD:
            return None, 0
        with self._connected() as connection:
            return find_identity(connection), count_objects(connection, store_id)

    def upgrade(self) -> None:
        """Upgrade the tables to `head`. Waits for other upgrades. An interrupted upgrade can be repeated."""
        if self._file is not None and not self._file.parent.is_dir():
            raise ConfigurationError(f"database.url: there is no folder {self._file.parent}")
        with self._connected() as connection:
            schema.upgrade(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Open a connection in a transaction without a time limit: it takes long to build an index of a large table."""
        turn: AbstractContextManager[None] = nullcontext()
        if _is_sqlite(self._url):
            engine, wait = sqlite_engine(self._url, self._options.busy_timeout), "SELECT 1"
            turn = turn_of(self._url, self._options.busy_timeout).taken()
        else:
            from imgsvc.catalogue.drivers import Limits, driver_of
            from imgsvc.catalogue.servers import server_engine

            driver = driver_of(parse(self._url))
            engine = server_engine(self._url, driver, Limits(self._options.connect_timeout, 0, 0))
            wait = driver.lock_upgrades()
        try:
            with turn, engine.begin() as connection:
                connection.execute(text(wait)).close()
                yield connection
        except (DBAPIError, TimeoutError) as error:
            cause = " ".join(str(cause_of(error)).split())
            raise CatalogueUnavailable(f"The database failed: {cause}") from error
        finally:
            engine.dispose()
