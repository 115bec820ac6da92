"""A page costs about the same in a large catalogue as in a small one.

The cost is measured in instructions of SQLite's virtual machine, or in rows that MariaDB reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from bench.lists import AGE, Case, cases, fill, middle, open_engine
from imgsvc.catalogue import lists, schema, tables
from imgsvc.catalogue.lists import pages
from imgsvc.catalogue.sqlite import sqlite_engine
from imgsvc.model import ImageQuery
from tests.support.databases import mariadb

SMALL, LARGE = 200, 3000
GATHERED = 300
"""GATHER_LIMIT in these tests, because the catalogues are smaller than real ones."""


class CostTestCase(SynchronousTestCase):
    """Compares catalogues of two sizes."""

    @contextmanager
    def catalogue(self, number: int) -> Iterator[Connection]:
        """A connection to a catalogue of so many images."""
        raise NotImplementedError

    def cost(self, connection: Connection, query: ImageQuery) -> int:
        """The cost of a page."""
        raise NotImplementedError

    def costs(self, number: int, measured: list[Case]) -> list[tuple[int, int]]:
        """The costs of the first page, and of one in the middle."""
        with self.catalogue(number) as connection:
            return [
                (
                    self.cost(connection, case.query),
                    self.cost(connection, evolve(case.query, marker=middle(connection, case.query))),
                )
                for case in measured
            ]

    def check(self, measured: list[Case], allowed: int) -> None:
        """Compare the costs. allowed: how much more a page of the large catalogue may cost."""
        self.patch(pages, "GATHER_LIMIT", GATHERED)
        small, large = self.costs(SMALL, measured), self.costs(LARGE, measured)
        for case, before, after in zip(measured, small, large, strict=True):
            for less, more in zip(before, after, strict=True):
                self.assertLess(more, less * 1.5 + allowed, (case.name, case.caller, before, after))


class CostTests(CostTestCase):
    @contextmanager
    def catalogue(self, number: int) -> Iterator[Connection]:
        """A catalogue in a file."""
        engine = sqlite_engine(f"sqlite:///{Path(self.mktemp()).absolute()}", 5)
        try:
            with engine.begin() as connection:
                schema.upgrade(connection)
                fill(connection, number)
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def cost(self, connection: Connection, query: ImageQuery) -> int:
        """The cost in hundreds of instructions."""
        driver: Any = connection.connection.dbapi_connection
        steps = []
        driver.set_progress_handler(lambda: steps.append(1), 100)
        lists.list_images(connection, query)
        driver.set_progress_handler(None, 0)
        return len(steps)

    def test_orders(self) -> None:
        """Lists by every key, up and down, for an administrator and for a project."""
        self.check([case for case in cases() if case.name.startswith("sort=") and "," not in case.name], allowed=60)

    def test_several_keys(self) -> None:
        """Lists by two keys, with few values and with many."""
        self.check(
            [case for case in cases() if case.name.startswith("sort=") and case.name.count(",") == 1], allowed=400
        )

    def test_few_without_a_value(self) -> None:
        """Lists by two keys, where hardly any image lacks the first. Those that lack it are not searched for
        among all.
        """
        (case,) = [
            case for case in cases() if case.name == "sort=size:desc,name:asc,id:asc" and case.caller == "administrator"
        ]
        costs = []
        for number in (SMALL, LARGE):
            with self.catalogue(number) as connection:
                connection.exec_driver_sql("UPDATE images SET size = 1 WHERE size IS NULL AND id > '05'")
                costs.append(self.cost(connection, evolve(case.query, marker=middle(connection, case.query))))
        self.assertLess(costs[1], costs[0] * 1.5 + 60, costs)

    def test_filters(self) -> None:
        """Lists with filters that all images pass, few, or none."""
        measured = [case for case in cases() if not case.name.startswith("sort=") and case.query.sort == AGE]
        self.check(measured, allowed=400)


class CostOnMariaDBTests(CostTestCase):
    @contextmanager
    def catalogue(self, number: int) -> Iterator[Connection]:
        """A catalogue with as many deleted images, which would come first in every ascending order."""
        name = mariadb().new_database()
        engine = open_engine(mariadb().url(name))
        try:
            with engine.begin() as connection:
                schema.upgrade(connection)
                fill(connection, number)
            columns = {column.name: column.name for column in tables.images.columns} | {
                **dict.fromkeys(("name", "status", "container_format", "disk_format"), "'!'"),
                **dict.fromkeys(("created_at", "updated_at", "deleted_at", "size"), "1"),
                "id": "CONCAT('!', SUBSTR(id, 2))",
            }
            copied = f"SELECT {', '.join(columns.values())} FROM images WHERE deleted_at IS NULL"
            mariadb().execute(f"INSERT INTO images ({', '.join(columns)}) {copied}", name)
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
            mariadb().drop_database(name)

    def cost(self, connection: Connection, query: ImageQuery) -> int:
        """The cost in rows, also those of intermediate results."""
        before = self.rows_read(connection)
        lists.list_images(connection, query)
        return self.rows_read(connection) - before

    def rows_read(self, connection: Connection) -> int:
        """The rows that the connection has read so far."""
        cursor = connection.connection.cursor()
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(number) for _, number in cursor.fetchall())

    def test_orders(self) -> None:
        """Lists by every key, up and down, and by two keys with many values."""
        self.check([case for case in cases() if case.name.startswith("sort=") and "," not in case.name], allowed=500)
        self.check([case for case in cases() if case.name == "sort=name:asc,size:asc"], allowed=500)
