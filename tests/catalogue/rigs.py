"""A catalogue for each test, with its own database, and images for it.

Tests that hold for every database are in classes that are marked `@on_every_database`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc import config
from imgsvc.catalogue import Catalogue, Schema
from imgsvc.catalogue.drivers import Limits
from imgsvc.catalogue.servers import ServerDatabase
from imgsvc.catalogue.sqlite import SQLiteDatabase
from imgsvc.catalogue.tables import metadata
from imgsvc.interfaces import IThreads
from imgsvc.lease_model import Task
from imgsvc.model import Caller, Image, Location, StoredData, Visibility
from tests.support.databases import DatabaseServer, mariadb, postgresql
from tests.support.threads import ImmediateThreads

ADMIN = Caller(roles=frozenset({"admin"}))
NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def new_image(**fields: Any) -> Image:
    fields.setdefault("id", str(uuid4()))
    fields.setdefault("created_at", NOON)
    fields.setdefault("updated_at", fields["created_at"])
    return Image(**fields)


def new_task(image_id: str | None = None, **fields: Any) -> Task:
    return Task(str(uuid4()), "kind", NOON, NOON, image_id=image_id, **fields)


def stored_data(image_id: str, **fields: Any) -> StoredData:
    values = {
        "size": 1000,
        "virtual_size": 2000,
        "checksum": "c" * 32,
        "os_hash_algo": "sha512",
        "os_hash_value": "d" * 128,
        "location": Location("local", f"file:///images/{image_id}", {"inode": "7"}),
    }
    return StoredData(**(values | fields))


@implementer(IThreads)
class HeldThreads:
    """Makes a call when the test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.held.append((answer, function, arguments))
        return answer

    def release(self) -> None:
        """Make the oldest call."""
        answer, function, arguments = self.held.pop(0)
        ImmediateThreads().run(function, *arguments).chainDeferred(answer)


class SQLiteRig:
    """Opens the file `path` of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_database(self, **options: Any) -> Any:
        """A database that is not started. options: for SQLiteDatabase, besides the URL."""
        options = {"writer_threads": ImmediateThreads(), "reader_threads": ImmediateThreads()} | options
        return SQLiteDatabase(f"sqlite:///{self.path}", **options)

    def connect(self) -> Any:
        """A connection of another program. Its `execute` takes `?` for values and returns a cursor."""
        return sqlite3.connect(self.path, isolation_level=None, timeout=0)

    def refuse_deletes(self, table: str) -> Callable[[], None]:
        """Make the database refuse to delete rows of a table, until the returned function is called."""
        refusal = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        return _with_trigger(self.connect(), f"CREATE TRIGGER refuse BEFORE DELETE ON {table} {refusal}")


class ServerRig:
    """Opens an empty database on a server, with the newest tables."""

    def __init__(self, server: DatabaseServer, name: str) -> None:
        self.server = server
        self.name = name
        self.clock = Clock()

    @classmethod
    def emptied(cls, server: DatabaseServer) -> ServerRig:
        """The database of a server. The tests of this process share it, one after the other, because it is slow
        to create.
        """
        if server not in _databases:
            name = server.new_database()
            Schema(config.Database(url=server.url(name)), Path()).upgrade()
            _databases[server] = name
        rig = cls(server, _databases[server])
        connection = rig.connect()
        for table in reversed(metadata.sorted_tables):
            connection.execute(f"DELETE FROM {table.name}")
        connection.close()
        return rig

    def open_database(self, **options: Any) -> Any:
        """A database that is not started. options: for ServerDatabase, besides the URL; or threads, as for SQLite."""
        threads = options.pop("writer_threads", None) or options.pop("reader_threads", None) or ImmediateThreads()
        limits = options.pop("limits", Limits(connect=5, statement=10, lock=2))
        return ServerDatabase(
            self.server.url(self.name), options.pop("threads", threads), 4, limits, options.pop("clock", self.clock)
        )

    def connect(self) -> OtherConnection:
        """A connection of another program."""
        return OtherConnection(self.server.connect(self.name))

    def refuse_deletes(self, table: str) -> Callable[[], None]:
        """See SQLiteRig."""
        connection = self.connect()
        begin, drop = f"CREATE TRIGGER refuse BEFORE DELETE ON {table} FOR EACH ROW", "DROP TRIGGER refuse"
        if self.server is mariadb():
            return _with_trigger(connection, f"{begin} SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1451")
        refusal = "BEGIN RAISE integrity_constraint_violation; END"
        connection.execute(f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS '{refusal}' LANGUAGE plpgsql")
        return _with_trigger(connection, f"{begin} EXECUTE FUNCTION refuse()", f"{drop} ON {table}")


def _with_trigger(connection: Any, create: str, drop: str = "DROP TRIGGER refuse") -> Callable[[], None]:
    connection.execute(create)

    def remove() -> None:
        connection.execute(drop)
        connection.close()

    return remove


class OtherConnection:
    """A connection to a server, with the interface of a connection of sqlite3."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> OtherConnection:
        """Run a statement with `?` for values. `fetchall` returns its rows."""
        self._cursor.execute(statement.replace("?", "%s"), tuple(values))
        return self

    def fetchall(self) -> list[Any]:
        """The rows of the last statement."""
        return list(self._cursor.fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


_databases: dict[DatabaseServer, str] = {}
"""The names of the shared databases."""


def on_every_database(test_class: type[CatalogueTestCase]) -> type[CatalogueTestCase]:
    """Adds a class for each kind of server beside a class of tests of SQLite: TestsOnPostgreSQL, ..."""
    module = sys.modules[test_class.__module__]
    for server, kind in ((postgresql, "PostgreSQL"), (mariadb, "MariaDB")):
        name = f"{test_class.__name__}On{kind}"
        setattr(
            module, name, type(name, (test_class,), {"server": staticmethod(server), "__module__": module.__name__})
        )
    return test_class


class CatalogueTestCase(SynchronousTestCase):
    """Has `self.catalogue`, started, on the database of `self.rig`. The default is an SQLite file, `self.path`."""

    server: ClassVar[Callable[[], DatabaseServer] | None] = None
    """The kind of server of the database."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.rig: Any = SQLiteRig(self.path)
        if self.server is not None:
            self.rig = ServerRig.emptied(self.server())
        self.now = NOON + timedelta(hours=1)
        self.database = self.open_database()
        self.catalogue = self.open_catalogue(self.database)

    def open_database(self, **options: Any) -> Any:
        """Another access to the same database, not started."""
        return self.rig.open_database(**options)

    def open_catalogue(self, database: Any) -> Catalogue:
        """Another catalogue on the same database."""
        catalogue = Catalogue(database, now=lambda: self.now)
        self.successResultOf(catalogue.start())
        self.addCleanup(lambda: self.successResultOf(catalogue.stop()))
        return catalogue

    def other_connection(self) -> Any:
        """A connection of another program."""
        connection = self.rig.connect()
        self.addCleanup(connection.close)
        return connection

    def add(self, **fields: Any) -> Image:
        image = new_image(**fields)
        self.successResultOf(self.catalogue.add(image))
        return image

    def add_active(self, data: dict[str, Any] | None = None, **fields: Any) -> Image:
        image = self.add(**fields)
        claim = self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, stored_data(image.id, **(data or {}))))
        return self.get(image.id)

    def get(self, image_id: str) -> Image:
        found = self.successResultOf(self.catalogue.image(image_id))
        assert isinstance(found, Image)
        return found

    def add_public(self, **fields: Any) -> Image:
        return self.add(visibility=Visibility.PUBLIC, **fields)
