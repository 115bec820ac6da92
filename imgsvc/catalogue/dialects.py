"""The SQL that each database writes in its own way. A new database gets its compilers here, and nowhere else."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["database_clock", "json_rows"]


class database_clock(FunctionElement[int]):
    """The time by the clock of the database, in microseconds since 1970 UTC, the same all over one statement.

    Leases are measured by it, because hosts that share a database may differ about the time.
    """

    inherit_cache = True
    name = "database_clock"
    type = BigInteger()


@compiles(database_clock, "sqlite")
def _sqlite_clock(element: database_clock, compiler: Any, **options: Any) -> str:
    # SQLite counts time in milliseconds; `julianday` gives them as a fraction of a day, hence the rounding.
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"


class json_rows(FunctionElement[str]):
    """All rows of a group, in no certain order, as the text of a JSON array of arrays: `json_rows(first, second)`."""

    inherit_cache = True
    name = "json_rows"
    type = Text()

    def __init__(self, *columns: ColumnElement[Any]) -> None:
        super().__init__(*columns)


@compiles(json_rows, "sqlite")
def _sqlite_json_rows(element: json_rows, compiler: Any, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"
