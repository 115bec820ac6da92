from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from imgsvc.catalogue import Catalogue, schema
from imgsvc.catalogue.sqlite import sqlite_engine
from imgsvc.catalogue.tables import metadata
from imgsvc.errors import CatalogueUnavailable, ConfigurationError
from tests.catalogue.rigs import CatalogueTestCase

START = """
import sys
from twisted.internet.defer import Deferred
from imgsvc.catalogue import Catalogue
from imgsvc.catalogue.sqlite import SQLiteDatabase
from tests.support.threads import ImmediateThreads

catalogue = Catalogue(SQLiteDatabase(sys.argv[1], ImmediateThreads(), ImmediateThreads()))
outcomes = []
sys.stdin.readline()
catalogue.start().addCallbacks(lambda _: catalogue.check()).addBoth(outcomes.append)
print(outcomes[0], "alembic" in sys.modules)
"""


class SchemaTest(CatalogueTestCase):
    def test_head(self) -> None:
        """HEAD is the newest revision of the migrations."""
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.set_main_option("path_separator", "os")
        self.assertEqual(ScriptDirectory.from_config(config).get_heads(), [schema.HEAD])
        self.assertEqual(self.successResultOf(self.database.read(schema.revision)), schema.HEAD)

    def test_tables(self) -> None:
        """A new file has the tables and indexes of the code."""

        def differences(connection: Connection) -> list[Any]:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return list(compare_metadata(context, metadata))

        self.assertEqual(self.successResultOf(self.database.read(differences)), [])

    def test_made_as_migrated(self) -> None:
        """A new file is created without the migrations, but equal to their result: columns, keys, options, indexes."""
        made, migrated = self.described(schema.upgrade), self.described(schema._migrate)
        self.assertEqual(made.keys(), migrated.keys())
        for name in made:
            self.assertEqual(made[name], migrated[name], name)

    def described(self, upgrade: Callable[[Connection], None]) -> dict[str, Any]:
        """The contents of a new database by name; columns and foreign keys in no certain order."""
        engine = sqlite_engine(f"sqlite:///{self.mktemp()}", 5)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            upgrade(connection)
            run = connection.exec_driver_sql
            indexes = dict(run("SELECT name, sql FROM sqlite_master WHERE type = 'index'").tuples().fetchall())
            tables = {
                name: (
                    sorted(tuple(row)[1:] for row in run(f"PRAGMA table_xinfo({name})")),
                    sorted(tuple(row)[2:] for row in run(f"PRAGMA foreign_key_list({name})")),
                    "WITHOUT ROWID" in sql,
                    "AUTOINCREMENT" in sql,
                )
                for name, sql in run("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
            }
            rows = {name: run(f"SELECT * FROM {name}").fetchall() for name in tables}
            return {**indexes, **{name: (*tables[name], rows[name]) for name in tables}}

    def test_same_sql(self) -> None:
        """Every table is created with the options of the code."""
        made = self.other_connection().execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        migrated = {name: sql for name, sql in made if name in metadata.tables}
        self.assertEqual(set(migrated), set(metadata.tables))
        for name, table in metadata.tables.items():
            options = table.dialect_options["sqlite"]
            self.assertEqual("WITHOUT ROWID" in migrated[name], options["with_rowid"] is False)
            self.assertEqual("AUTOINCREMENT" in migrated[name], options["autoincrement"])

    def test_upgraded_once(self) -> None:
        """A start on a current file changes nothing in it."""
        image = self.add()
        self.successResultOf(self.catalogue.stop())
        again = self.open_catalogue(self.open_database())
        self.assertEqual(self.successResultOf(again.image(image.id)), image)

    def test_later_version(self) -> None:
        """A file of a later version is refused and not changed."""
        other = self.other_connection()
        other.execute("UPDATE alembic_version SET version_num = 'later'")
        catalogue = Catalogue(self.open_database())
        failure = self.failureResultOf(catalogue.start(), ConfigurationError)
        self.assertIn("later", str(failure.value))
        self.assertEqual(other.execute("SELECT version_num FROM alembic_version").fetchall(), [("later",)])

    def test_failed_upgrade(self) -> None:
        """An upgrade that fails in the middle leaves nothing behind."""
        self.successResultOf(self.catalogue.stop())
        other = self.other_connection()
        for table in reversed(metadata.sorted_tables):
            other.execute(f"DROP TABLE {table.name}")
        other.execute("DROP TABLE alembic_version")
        other.execute("CREATE TABLE lease_objects (in_the_way)")
        self.failureResultOf(Catalogue(self.open_database()).start(), CatalogueUnavailable)
        tables = other.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        self.assertEqual(tables.fetchall(), [("lease_objects",)])
        other.execute("DROP TABLE lease_objects")
        upgraded = self.open_database()
        self.open_catalogue(upgraded)
        names = self.successResultOf(upgraded.read(lambda connection: inspect(connection).get_table_names()))
        self.assertEqual(set(names), {*metadata.tables, "alembic_version"})


class StartTest(CatalogueTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def start(self, number: int) -> list[list[str]]:
        """The output of `number` processes that start at the same time."""
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", START, f"sqlite:///{self.path}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={"PYTHONPATH": ":".join(sys.path)},
            )
            for _ in range(number)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [process.communicate(timeout=120)[0].split() for process in processes]

    def test_together(self) -> None:
        """Processes that start at the same time on a new file all succeed, and none of them loads Alembic."""
        self.assertEqual(self.start(4), [["None", "False"]] * 4)
        self.assertEqual(self.start(1), [["None", "False"]])


class MustExistTest(CatalogueTestCase):
    def test_no_file(self) -> None:
        """If the file must exist, a start without it fails, names the cause and creates none."""
        self.successResultOf(self.catalogue.stop())
        self.successResultOf(self.open_catalogue(self.open_database(must_exist=True)).stop())
        self.path.unlink()
        failure = self.failureResultOf(Catalogue(self.open_database(must_exist=True)).start(), ConfigurationError)
        self.assertIn("mounted?", str(failure.value))
        self.assertFalse(self.path.exists())
