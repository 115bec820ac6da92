"""What a page costs SQLite, in instructions of its virtual machine: in a large catalogue about what in a small one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from bench.lists import AGE, Case, cases, fill, middle
from imgsvc.catalogue import lists, schema
from imgsvc.catalogue.sqlite import sqlite_engine
from imgsvc.model import ImageQuery

SMALL, LARGE = 200, 3000
GATHERED = 300
"""From so many images on nothing is gathered here, as the catalogues are smaller than those that ENOUGH is made for."""


class CostTests(SynchronousTestCase):
    @contextmanager
    def catalogue(self, number: int) -> Iterator[Connection]:
        """A connection to a catalogue of so many images."""
        engine = sqlite_engine(f"sqlite:///{Path(self.mktemp()).absolute()}", 5)
        try:
            with engine.begin() as connection:
                schema.upgrade(connection)
                fill(connection, number)
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def instructions(self, connection: Connection, query: ImageQuery) -> int:
        """In hundreds."""
        driver: Any = connection.connection.dbapi_connection
        steps = []
        driver.set_progress_handler(lambda: steps.append(1), 100)
        lists.list_images(connection, query)
        driver.set_progress_handler(None, 0)
        return len(steps)

    def costs(self, number: int, measured: list[Case]) -> list[tuple[int, int]]:
        """Of the first page, and of one in the middle."""
        with self.catalogue(number) as connection:
            return [
                (
                    self.instructions(connection, case.query),
                    self.instructions(connection, evolve(case.query, marker=middle(connection, case.query))),
                )
                for case in measured
            ]

    def check(self, measured: list[Case], allowed: int) -> None:
        """allowed: hundreds of instructions more that a page of the large catalogue may cost."""
        self.patch(lists, "ENOUGH", GATHERED)
        small, large = self.costs(SMALL, measured), self.costs(LARGE, measured)
        for case, before, after in zip(measured, small, large, strict=True):
            for less, more in zip(before, after, strict=True):
                self.assertLess(more, less * 1.5 + allowed, (case.name, case.caller, before, after))

    def test_orders(self) -> None:
        """By every key, up and down, for an administrator and for a project."""
        self.check([case for case in cases() if case.name.startswith("sort=") and "," not in case.name], allowed=60)

    def test_several_keys(self) -> None:
        """By two keys, of few values and of many."""
        self.check(
            [case for case in cases() if case.name.startswith("sort=") and case.name.count(",") == 1], allowed=400
        )

    def test_filters(self) -> None:
        """With filters that all pass, that few pass and that none passes."""
        measured = [case for case in cases() if not case.name.startswith("sort=") and case.query.sort == AGE]
        self.check(measured, allowed=400)
