"""The parts of list statements that tell one kind of database which index to use.

The statements leave databases no choice of an index, since databases often choose badly. SQLite plans without
statistics. The statistics of PostgreSQL do not know which columns depend on each other. MariaDB takes long to compare
all indexes, and often chooses another.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, Exists, Select, String, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "correlated_exists",
    "enters_index_by_row",
    "null_is_least",
    "with_index",
    "without_index",
]


class without_index(FunctionElement[Any]):
    """A column whose indexes the database must not use: the statement has a better way to the rows."""

    inherit_cache = True
    name = "without_index"

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(without_index)
def _plain_column(element: without_index, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(without_index, "sqlite")
def _sqlite_without_index(element: without_index, compiler: Any, **options: Any) -> str:
    # https://sqlite.org/optoverview.html, "Disqualifying WHERE Clause Terms Using Unary-+"
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(without_index, "postgresql")
def _postgresql_without_index(element: without_index, compiler: Any, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    if isinstance(element.type, Boolean):
        return f"({column} IS TRUE)"  # right for columns that are never NULL
    return f"({column} || '')" if isinstance(element.type, String) else f"({column} + 0)"


def with_index(select: Select[Any], table: Table, index: str) -> Select[Any]:
    """The select, for which MariaDB must use this index of the table. `PRIMARY` is the index of the ids."""
    return select.with_hint(table, f"FORCE INDEX (`{index}`)", "mariadb")


def correlated_exists(found: Select[Any]) -> Exists:
    """Whether a select that refers to a row of the outer select finds anything. It is run for each outer row.

    Without the OFFSET, PostgreSQL would turn it into a join, and might begin with the inner table.
    """
    return found.suffix_with("OFFSET 0", dialect="postgresql").exists()


def enters_index_by_row(dialect: Dialect) -> bool:
    """Whether the database begins to read an index at the right place for `(first, second) > (...)`.

    MariaDB reads the whole index for it, but begins at the right place for ANDs and ORs that mean the same.
    """
    return dialect.name != "mariadb"


def null_is_least(dialect: Dialect) -> bool:
    """Whether ORDER BY puts NULL below every value, as lists need it. PostgreSQL puts it above."""
    return dialect.name != "postgresql"
