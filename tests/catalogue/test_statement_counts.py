"""How many statements a read needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from imgsvc.catalogue.statements import Statement
from imgsvc.model import Caller, Filter, ImageQuery, Visibility
from tests.catalogue.rigs import CatalogueTestCase, on_every_database
from tests.support.databases import mariadb

ME = Caller(project_id="me", roles=frozenset({"reader"}))
SHOWN = Filter("os_hidden", "eq", (False,))
BY_NAME = (("name", False),)


@on_every_database
class StatementCountTest(CatalogueTestCase):
    def fill(self, number: int) -> str:
        """Add images of several owners, with tags, properties and members. Returns the id of one."""
        for place in range(number):
            image = self.add(
                name=f"image {place}",
                owner="me" if place % 2 else "you",
                visibility=Visibility.PUBLIC if place % 3 else Visibility.SHARED,
                tags=tuple(f"tag {tag}" for tag in range(number)),
                properties={f"key {key}": "value" for key in range(number)},
            )
            for member in range(number):
                project = "me" if not member else f"project {member}"
                self.successResultOf(self.catalogue.add_member(image.id, project, -1))
        return image.id

    @contextmanager
    def counted(self) -> Iterator[list[Any]]:
        """All statements that the driver gets meanwhile."""
        statements: list[Any] = []
        execute: Callable[..., Any] = Statement.execute

        def counting(statement: Statement, *arguments: Any) -> Any:
            statements.append(statement)
            return execute(statement, *arguments)

        self.patch(Statement, "execute", counting)
        yield statements
        self.patch(Statement, "execute", execute)

    def count(self, query: ImageQuery) -> int:
        """The statements of a list."""
        with self.counted() as statements:
            self.successResultOf(self.catalogue.images(query))
        return len(statements)

    def test_counts(self) -> None:
        """An image needs one statement. A list needs one, and one more for its marker and all counts, whatever
        the catalogue contains. For several sort keys, MariaDB needs one more, for the first of them.
        """
        by_two = 2 if self.server is mariadb else 1
        for number in (2, 4):
            image_id = self.fill(number)
            with self.counted() as statements:
                self.get(image_id)
            self.assertEqual(1, len(statements))
            for caller in (ME, Caller(project_id="me", roles=frozenset({"admin"}))):
                query = ImageQuery(caller, 100, (SHOWN,))
                named = (Filter("name", "eq", ("image 1",)), SHOWN)
                rare = (Filter("tag", "eq", ("tag 1",)), Filter("property:key 1", "eq", ("value",)), SHOWN)
                for filters, sort, marker, wanted in (
                    ((SHOWN,), query.sort, None, 1),
                    ((SHOWN,), BY_NAME, None, 1),
                    ((SHOWN,), (("name", True), ("size", False)), None, by_two),
                    ((SHOWN,), query.sort, image_id, 2),
                    (named, query.sort, None, 1),
                    (named, BY_NAME, image_id, 2),
                    (rare, query.sort, None, 2),
                    (rare, BY_NAME, image_id, 2),
                ):
                    asked = ImageQuery(caller, 100, filters, sort=sort, marker=marker)
                    self.assertEqual(wanted, self.count(asked), asked)

    def test_value_by_value(self) -> None:
        """A list by several keys, of which the first has few values, needs some for each value, however many
        images there are.
        """
        counts = []
        for number in (2, 4):
            self.fill(number)
            counts.append(self.count(ImageQuery(ME, 100, (SHOWN,), sort=(("status", False), ("name", False)))))
        self.assertEqual([3, 3], counts)
