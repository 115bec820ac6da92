"""Statements of the hot paths, which are compiled once and passed to the driver as text.

SQLAlchemy generates the SQL, and manages the connections and transactions. A `Statement` skips SQLAlchemy's work for
each execution: SQLite reads an image in 15 us instead of 66 us, and makes a small write in 6 us instead of 33 us. All
that requests for images run is a `Statement`: reads, lists, changes, uploads and deletions. `Connection.execute` runs
the rest: members of images, metadata definitions, limits of projects, and the questions of stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Dialect, PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.elements import ClauseElement

__all__ = ["Statement"]

Values = Mapping[str, Any]


@frozen
class _Compiled:
    """A statement in the SQL of one dialect."""

    text: str
    order: Sequence[str] | None
    """The names of the parameters in their order; None if the driver gets them by name."""
    names: Sequence[str]
    constants: Values

    def parameters(self, values: Values) -> Any:
        if self.order is None:
            return {name: values[name] if name in values else self.constants[name] for name in self.names}
        return tuple([values[name] if name in values else self.constants[name] for name in self.order])


class Statement:
    """A select, insert, update or delete. Each execution gives values to its bindparams, by name.

    Other values in it are constant. All values have the types that the database keeps. All methods raise the driver's
    errors, not those of SQLAlchemy.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause: ClauseElement | None = clause
        self._by_dialect: dict[str, _Compiled] = {}

    @classmethod
    def for_dialect(cls, clause: ClauseElement, dialect: Dialect) -> Statement:
        """Return a statement that is compiled now, for one dialect. It keeps only the text, not the larger clause."""
        statement = cls(clause)
        statement._compiled(dialect)
        statement._clause = None
        return statement

    def _compiled(self, dialect: Dialect) -> _Compiled:
        try:
            return self._by_dialect[dialect.name]
        except KeyError:
            assert self._clause is not None
            sql: Any = self._clause.compile(dialect=dialect)
            binds = {name: bind for bind, name in sql.bind_names.items()}
            constants = {name: bind.value for name, bind in binds.items() if not bind.required}
            order = tuple(sql.positiontup) if dialect.positional else None
            self._by_dialect[dialect.name] = compiled = _Compiled(str(sql), order, tuple(binds), constants)
            return compiled

    def text(self, dialect: Dialect) -> str:
        """Return the SQL text."""
        return self._compiled(dialect).text

    def execute(self, connection: PoolProxiedConnection, dialect: Dialect, values: Values) -> DBAPICursor:
        """Execute the statement on a connection of the driver."""
        compiled = self._compiled(dialect)
        cursor = connection.cursor()
        cursor.execute(compiled.text, compiled.parameters(values))
        return cursor

    def rows(self, connection: Connection, **values: Any) -> Sequence[Sequence[Any]]:
        """Return all rows of a select."""
        return self.execute(connection.connection, connection.dialect, values).fetchall()

    def run(self, connection: Connection, **values: Any) -> int:
        """Run an insert, update or delete. Returns the number of its rows."""
        return self.execute(connection.connection, connection.dialect, values).rowcount

    def run_for_each(self, connection: Connection, rows: Iterable[Values]) -> None:
        """Run an insert, update or delete for each set of values."""
        compiled = self._compiled(connection.dialect)
        connection.connection.cursor().executemany(compiled.text, [compiled.parameters(values) for values in rows])
