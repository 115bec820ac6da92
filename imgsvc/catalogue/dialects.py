"""The SQL that differs between databases. The SQL for lists is in `lists/hints.py` and `lists/mariadb.py`.

All databases compare and sort text by its code points: case, accents and trailing blanks are significant. SQLite does
so by default; for the other databases, the tables are created with a suitable collation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Computed,
    Insert,
    String,
    Table,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable, DropIndex
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "database_clock",
    "insert_or_update",
    "json_rows",
]


class database_clock(FunctionElement[int]):
    """The time of the database's clock, in microseconds since 1970 UTC. It is the same in the whole statement.

    Leases use it, because the clocks of hosts that share a database may differ.
    """

    inherit_cache = True
    name = "database_clock"
    type = BigInteger()


@compiles(database_clock, "sqlite")
def _sqlite_clock(element: database_clock, compiler: Any, **options: Any) -> str:
    # SQLite's clock has milliseconds; `julianday` returns them as a fraction of a day, so the result is rounded.
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"


@compiles(database_clock, "postgresql")
def _postgresql_clock(element: database_clock, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)"


@compiles(database_clock, "mariadb")
def _mariadb_clock(element: database_clock, compiler: Any, **options: Any) -> str:
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"


class json_rows(FunctionElement[str]):
    """All rows of a group, in any order, as the text of a JSON array of arrays: `json_rows(first, second)`."""

    inherit_cache = True
    name = "json_rows"
    type = Text()

    def __init__(self, *columns: ColumnElement[Any]) -> None:
        super().__init__(*columns)


@compiles(json_rows, "sqlite")
def _sqlite_json_rows(element: json_rows, compiler: Any, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


def insert_or_update(dialect: str, table: Table, values: Mapping[str, Any], **changes: Any) -> Insert:
    """Return a statement that inserts `values`, or applies `changes` to the row that has the same primary key.

    It is in the syntax of the dialect. Only that dialect is imported, because each takes about 10 ms.
    """
    key = list(table.primary_key.columns)
    if dialect == "mariadb":
        from sqlalchemy.dialects import mysql

        return mysql.insert(table).values(values).on_duplicate_key_update(changes)
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).values(values).on_conflict_do_update(index_elements=key, set_=changes)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).values(values).on_conflict_do_update(index_elements=key, set_=changes)


@compiles(json_rows, "postgresql")
def _postgresql_json_rows(element: json_rows, compiler: Any, **options: Any) -> str:
    rows = f"json_agg(json_build_array({compiler.process(element.clauses, **options)}))"
    return f"COALESCE(CAST({rows} AS TEXT), '[]')"


@compiles(json_rows, "mariadb")
def _mariadb_json_rows(element: json_rows, compiler: Any, **options: Any) -> str:
    # Cut at group_concat_max_len, which connections are opened with the largest of.
    return f"COALESCE(JSON_ARRAYAGG(JSON_ARRAY({compiler.process(element.clauses, **options)})), '[]')"


# --- tables


@compiles(CreateColumn, "postgresql")
def _postgresql_column(element: CreateColumn, compiler: Any, **options: Any) -> str:
    text: str = compiler.visit_create_column(element, **options)
    return f'{text} COLLATE "C"' if isinstance(element.element.type, String) else text


@compiles(Computed, "postgresql")
def _postgresql_computed(element: Computed, compiler: Any, **options: Any) -> str:
    # PostgreSQL has only STORED before version 18; SQLite can add only the other kind to an existing table.
    text = compiler.sql_compiler.process(element.sqltext, include_table=False, literal_binds=True)
    return f"GENERATED ALWAYS AS ({text}) STORED"


@compiles(CreateTable, "mariadb")
def _mariadb_table(element: CreateTable, compiler: Any, **options: Any) -> str:
    """MariaDB cannot roll DDL back: IF NOT EXISTS lets an upgrade go on after one that was interrupted."""
    element.if_not_exists = True
    text: str = compiler.visit_create_table(element, **options)
    return f"{text.rstrip()} ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"


@compiles(CreateIndex, "mariadb")
def _mariadb_index(element: CreateIndex, compiler: Any, **options: Any) -> str:
    element.if_not_exists = True
    text: str = compiler.visit_create_index(element, **options)
    return text


@compiles(DropIndex, "mariadb")
def _mariadb_no_index(element: DropIndex, compiler: Any, **options: Any) -> str:
    element.if_exists = True
    text: str = compiler.visit_drop_index(element, **options)
    return text


@compiles(Text, "mariadb")
def _mariadb_text(element: Text, compiler: Any, **options: Any) -> str:
    # TEXT holds only 64 KiB in MariaDB.
    return "MEDIUMTEXT"
