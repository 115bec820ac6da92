"""Upgrades from the first tables to the newest, with images, on every database."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Index, MetaData, event, inspect, text

from imgsvc import config
from imgsvc.catalogue import Schema, schema
from imgsvc.catalogue.drivers import Limits, driver_of
from imgsvc.catalogue.servers import server_engine
from imgsvc.catalogue.sqlite import sqlite_engine
from imgsvc.catalogue.tables import SORT_KEYS, metadata
from imgsvc.catalogue.url import parse
from imgsvc.errors import CatalogueUnavailable, ConfigurationError
from imgsvc.lease_model import LeaseKind, LeaseObject, TaskStatus, TaskType
from imgsvc.model import Location, Status
from tests.catalogue.rigs import CatalogueTestCase, ServerRig, SQLiteRig, on_every_database
from tests.support.databases import mariadb, postgresql

IMAGE = "11111111-2222-3333-4444-555555555555"
UPLOADING, GONE, IMPORTING, TASK = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "2345")
"""Images with an upload and with a task, and that task."""
LONG = "\N{GRINNING FACE}" * 30_000
ROWS = (
    "INSERT INTO images (id, created_at, updated_at, status, name, visibility, protected, os_hidden, min_disk, min_ram,"
    f" size, claims) VALUES ('{IMAGE}', 1, 2, 'active', 'Name ', 'shared', {{false}}, {{false}}, 3, 4, 5, 1)",
    f"INSERT INTO image_properties (image_id, name, value) VALUES ('{IMAGE}', 'long', '{LONG}')",
    f"INSERT INTO image_properties (image_id, name, value) VALUES ('{IMAGE}', 'LONG', 'upper')",
    f"INSERT INTO image_tags (image_id, value) VALUES ('{IMAGE}', 'e')",
    f"INSERT INTO image_tags (image_id, value) VALUES ('{IMAGE}', 'e ')",
    f"INSERT INTO image_tags (image_id, value) VALUES ('{IMAGE}', '\N{LATIN SMALL LETTER E WITH ACUTE}')",
    "INSERT INTO image_locations (image_id, store_id, url, metadata)"
    f" VALUES ('{IMAGE}', 'local', 'file:///x', '{{{{}}}}')",
    f"INSERT INTO uploads (image_id, upload_id, store_id, expires_at) VALUES ('{IMAGE}', '1-a', 'local', 6)",
    *(
        "INSERT INTO images (id, created_at, updated_at, status, visibility, protected, os_hidden, min_disk, min_ram,"
        f" claims, owner) VALUES ('{image_id}', 1, 2, '{status}', 'shared', {{false}}, {{false}}, 3, 4, 1, 'red')"
        for image_id, status in ((UPLOADING, "saving"), (GONE, "deleted"), (IMPORTING, "importing"))
    ),
    f"INSERT INTO image_properties (image_id, name, value) VALUES ('{IMPORTING}', 'os_glance_import_task', '{TASK}')",
    *(
        f"INSERT INTO uploads (image_id, upload_id, store_id, expires_at) VALUES ('{image_id}', {rest})"
        for image_id, rest in (
            (UPLOADING, "'2-b', 'local', 7"),
            (GONE, "'3-c', 'local', 8"),
            (IMPORTING, "'4-d', 'web', 9"),
        )
    ),
)


LISTS = {f"ix_images_{run}_{key}" for run in ("visibility", "owner_visibility") for key in SORT_KEYS}
"""Indexes that include deleted images on MariaDB only."""


class Interrupted(Exception):
    """Interrupts an upgrade."""


class UpgradeTestCase(CatalogueTestCase):
    """`self.schema` belongs to a new, empty database."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.rig: Any = SQLiteRig(self.path)
        url = f"sqlite:///{self.path}"
        if self.server is not None:
            server = self.server()
            self.rig = ServerRig(server, server.new_database())
            self.addCleanup(server.drop_database, self.rig.name)
            url = server.url(self.rig.name)
        self.schema = Schema(config.Database(url=url), Path())
        if self.server is None:
            self.engine = sqlite_engine(url, 5)
        else:
            self.engine = server_engine(url, driver_of(parse(url)), Limits(5, 0, 0))
        self.addCleanup(self.engine.dispose)
        self.now = None

    def migrate_to(self, revision: str) -> None:
        """Upgrade to a revision."""
        with self.engine.begin() as connection:
            settings = AlembicConfig(attributes={"connection": connection})
            settings.set_main_option("script_location", str(schema.MIGRATIONS))
            settings.set_main_option("path_separator", "os")
            command.upgrade(settings, revision)


@on_every_database
class UpgradeTest(UpgradeTestCase):
    """Tests for every database."""

    def fill(self) -> None:
        """Add an image with everything that the first version had."""
        with self.engine.begin() as connection:
            for row in ROWS:
                statement = row.format(false="false" if self.server is postgresql else "0")
                connection.exec_driver_sql(statement.replace("%", "%%"))

    def check(self) -> None:
        """The tables are those of the code, and their contents are kept."""
        self.assertEqual(self.schema.version(), schema.HEAD)
        with self.engine.connect() as connection:
            self.assertEqual(differences(connection), [])
        self.engine.dispose()
        image = self.successResultOf(self.open_catalogue(self.open_database()).image(IMAGE))
        self.assertEqual((image.status, image.name, image.size), (Status.ACTIVE, "Name ", 5))
        self.assertEqual(dict(image.properties), {"long": LONG, "LONG": "upper"})
        self.assertEqual(image.tags, ("e", "e ", "\N{LATIN SMALL LETTER E WITH ACUTE}"))
        self.assertEqual(image.locations, (Location("local", "file:///x"),))
        self.check_leases()

    def check_leases(self) -> None:
        """Leases are kept: of an upload, of one whose image was deleted meanwhile, and of tasks."""
        catalogue = self.open_catalogue(self.open_database())
        leases = {lease.resource_id: lease for lease in self.successResultOf(catalogue.leases())}
        self.assertEqual(
            {image_id: (lease.lease_id, lease.expires_at) for image_id, lease in leases.items()},
            {IMAGE: ("1-a", 6), UPLOADING: ("2-b", 7), GONE: ("3-c", 8), IMPORTING: ("4-d", 9)},
        )
        for image_id in (UPLOADING, GONE):
            lease = leases[image_id]
            self.assertEqual((lease.kind, lease.task_id), (LeaseKind.UPLOAD, None))
            self.assertEqual(lease.objects, (LeaseObject("local", image_id, lease.lease_id),))
        for image_id in (IMAGE, IMPORTING):
            lease = leases[image_id]
            self.assertEqual((lease.kind, lease.objects), (LeaseKind.TASK, ()))
            task = self.successResultOf(catalogue.task(lease.task_id))
            self.assertEqual((task.type, task.status), (TaskType.HASH_LOCATION, TaskStatus.PROCESSING))
            self.assertEqual((task.image_id, task.input, task.progress), (image_id, {"image_id": image_id}, 0))
        task = self.successResultOf(catalogue.task(TASK))
        self.assertEqual((task.image_id, task.owner), (IMPORTING, "red"))
        self.assertEqual((task.created_at.microsecond, task.expires_at), (2, None))

    def test_with_images(self) -> None:
        """An upgrade from the first version keeps everything."""
        self.migrate_to("0001")
        self.assertEqual(self.schema.version(), "0001")
        self.fill()
        self.schema.upgrade()
        self.check()
        self.schema.upgrade()
        self.check()

    def test_interrupted(self) -> None:
        """An upgrade that was interrupted anywhere can be run again."""
        self.migrate_to("0001")
        self.fill()
        count = self.interrupt_after(None)
        for place in {1, 2, 3, 5, 8, 12, count // 2, count - 1}:
            self.interrupt_after(place)
        self.schema.upgrade()
        self.check()

    def test_together(self) -> None:
        """Of several concurrent upgrades one does the work, and the others succeed."""
        self.migrate_to("0001")
        self.fill()
        meeting, results = Barrier(3), []

        def upgrade() -> None:
            meeting.wait(10)
            try:
                results.append(self.schema.upgrade())
            except Exception as error:
                results.append(error)

        threads = [Thread(target=upgrade) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [None] * 3)
        self.check()

    def interrupt_after(self, statements: int | None) -> int:
        """Begin an upgrade and interrupt it after so many statements that define something; None: run all.
        Returns how many ran.
        """
        ran = 0

        def count(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
            nonlocal ran
            if statement.lstrip().startswith(("CREATE", "ALTER", "DROP")):
                if statements == ran:
                    raise Interrupted
                ran += 1

        event.listen(self.engine, "before_cursor_execute", count)
        try:
            with self.engine.begin() as connection:
                schema.upgrade(connection)
                if statements is None:
                    raise Interrupted
        except Interrupted:
            pass
        finally:
            event.remove(self.engine, "before_cursor_execute", count)
        self.engine.dispose()
        return ran

    def test_tables_of_others(self) -> None:
        """Existing tables with the same names are not changed."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE images (mine INTEGER)")
        self.assertRaises((ConfigurationError, CatalogueUnavailable), self.schema.upgrade)
        with self.engine.connect() as connection:
            self.assertEqual([column["name"] for column in inspect(connection).get_columns("images")], ["mine"])


class ServerTest(UpgradeTestCase):
    """Tests for database servers."""

    server = staticmethod(postgresql)

    def test_refused(self) -> None:
        """Daemons do not start on the tables of another version."""
        database = self.open_database()
        failure = self.failureResultOf(database.start(), ConfigurationError)
        self.assertIn("no tables yet: run `imgsvc-admin database upgrade`", str(failure.value))
        self.migrate_to("0001")
        failure = self.failureResultOf(self.open_database().start(), ConfigurationError)
        self.assertIn("0001", str(failure.value))
        with self.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
        self.failureResultOf(self.open_database().start(), ConfigurationError)
        self.assertRaises(ConfigurationError, self.schema.upgrade)

    def test_binary(self) -> None:
        """Every text is compared and sorted by its code points."""
        collations: dict[Any, str] = {postgresql: "C", mariadb: "utf8mb4_nopad_bin"}
        self.schema.upgrade()
        mine = {"schema": "public" if self.server is postgresql else self.rig.name}
        query = (
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = :schema AND data_type NOT IN ('bigint', 'integer', 'int', 'boolean', 'tinyint')"
        )
        with self.engine.connect() as connection:
            rows = connection.execute(text(query), mine)
            found = {f"{table}.{column}": collation for table, column, collation in rows if table in metadata.tables}
        self.assertGreater(len(found), 20)
        self.assertEqual({name: each for name, each in found.items() if each != collations[self.server]}, {})


class ServerOnMariaDBTest(ServerTest):
    """The same tests on MariaDB."""

    server = staticmethod(mariadb)


def differences(connection: Connection) -> list[Any]:
    """The differences between the existing tables and those of the code."""
    expected = MetaData()
    for table in metadata.sorted_tables:
        copy = table.to_metadata(expected)
        for index in list(copy.indexes) if connection.dialect.name == "mariadb" else ():
            if index.name in LISTS:
                names = [column.name for column in index.columns]
                place = names.index("os_hidden") + 1
                copy.indexes.remove(index)
                Index(index.name, *(copy.c[name] for name in (*names[:place], "deleted_at", *names[place:])))
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, expected))
