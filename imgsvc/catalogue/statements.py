"""Statements that are run over and over: compiled once, and handed to the driver as text.

SQLAlchemy makes the SQL and keeps the connections and transactions. Its way from a statement to the result is left
out: around the read of an image by SQLite (15 us) it took 50 us.
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
    """The names of the parameters in their order; None if the driver takes them by name."""
    names: Sequence[str]
    constants: Values

    def parameters(self, values: Values) -> Any:
        if self.order is None:
            return {name: values[name] if name in values else self.constants[name] for name in self.names}
        return tuple([values[name] if name in values else self.constants[name] for name in self.order])


class Statement:
    """A select, insert, update or delete whose bindparams are given at each run, by name.

    Other values in it stay what they are. All values go to the driver, and come from it, as they are: they have the
    types that the database keeps. All methods raise the driver's own errors.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause: ClauseElement | None = clause
        self._by_dialect: dict[str, _Compiled] = {}

    @classmethod
    def for_dialect(cls, clause: ClauseElement, dialect: Dialect) -> Statement:
        """Compiled at once, for this dialect only: keeps the text and lets go of the clause, which is far larger."""
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

    def execute(self, connection: PoolProxiedConnection, dialect: Dialect, values: Values) -> DBAPICursor:
        """Run it on a connection of the driver."""
        compiled = self._compiled(dialect)
        cursor = connection.cursor()
        cursor.execute(compiled.text, compiled.parameters(values))
        return cursor

    def rows(self, connection: Connection, **values: Any) -> Sequence[Sequence[Any]]:
        """All rows of a select."""
        return self.execute(connection.connection, connection.dialect, values).fetchall()

    def run(self, connection: Connection, **values: Any) -> int:
        """Insert, update or delete; the number of rows that were."""
        return self.execute(connection.connection, connection.dialect, values).rowcount

    def run_for_each(self, connection: Connection, rows: Iterable[Values]) -> None:
        """Insert, update or delete for each of some sets of values."""
        compiled = self._compiled(connection.dialect)
        connection.connection.cursor().executemany(compiled.text, [compiled.parameters(values) for values in rows])
