"""What differs between database servers: how their connections are set up, and what their drivers' errors mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum, auto
from importlib import import_module
from typing import Any, Final, Protocol

from attrs import frozen
from sqlalchemy import URL

from imgsvc.errors import ConfigurationError

__all__ = ["Driver", "Fault", "Limits", "driver_of"]


@frozen
class Limits:
    """How long a server may keep a thread, in seconds. 0 for statement and lock: as long as it likes.

    connect: to connect. statement: for one statement. lock: the part of it that it may wait for locks of others.
    """

    connect: float
    statement: float
    lock: float


class Fault(Enum):
    """What an error of a driver means."""

    VALUE = auto()
    """A value that the database does not take. The client's fault."""
    JOB = auto()
    """The job's own: a unique key that is taken, SQL that is wrong."""
    CONFLICT = auto()
    """The transaction was undone because of another at the same time. To be run again."""
    LOST = auto()
    """The connection is of no use any more, and others may not be either. A transaction on it is undone."""
    OUTAGE = auto()
    """The database cannot do it now: locked for too long, out of space, without the tables."""


class Driver(Protocol):
    """One kind of server."""

    def connect_arguments(self, limits: Limits) -> Mapping[str, Any]:
        """For the driver's `connect`, beside what the URL says. Connections begin no transaction by themselves."""

    def session(self, limits: Limits) -> list[str]:
        """Statements that set up a new connection."""

    def fault(self, error: Exception) -> Fault | None:
        """What an error means; None: it is none of the driver."""

    def is_open(self, connection: Any) -> bool:
        """Whether a connection of the driver has not been lost."""

    def lock_upgrades(self) -> str:
        """The statement that waits until no other process upgrades; the lock ends with the connection at the latest."""


def driver_of(url: URL) -> Driver:
    """Raises ConfigurationError when the driver is not installed."""
    kind, package, make = _DRIVERS[url.get_backend_name()]
    try:
        return make(import_module(package))
    except ImportError as error:
        raise ConfigurationError(f"database.url: the driver is missing, install imgsvc[{kind}]: {error}") from error


@frozen
class PostgreSQL:
    """By psycopg 3. Errors: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

    psycopg: Any

    _LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "25006"})
    """Ended by the server, or one that has become a standby and only reads."""
    _NO_TABLES: Final = frozenset({"3F000", "42P01", "42703", "42501"})

    def connect_arguments(self, limits: Limits) -> Mapping[str, Any]:
        """See Driver. It is TCP that notices a host which has gone without a word, after 25 s."""
        return {
            "autocommit": True,
            "client_encoding": "utf8",
            "connect_timeout": math.ceil(limits.connect),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,
        }

    def session(self, limits: Limits) -> list[str]:
        """See Driver."""
        return [
            f"SET statement_timeout = {math.ceil(limits.statement * 1000)}",
            f"SET lock_timeout = {math.ceil(limits.lock * 1000)}",
            "SET default_transaction_isolation = 'read committed'",
            # Each statement has one good plan, by indexes and row by row; what the planner makes of its statistics,
            # which know nothing of what goes together with what, is no better at the best.
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;"
            " SET enable_mergejoin = off; SET max_parallel_workers_per_gather = 0; SET jit = off",
        ]

    def fault(self, error: Exception) -> Fault | None:
        """See Driver."""
        if not isinstance(error, self.psycopg.Error):
            return None
        state = getattr(error, "sqlstate", None) or ""
        if state.startswith("08") or state in self._LOST:
            return Fault.LOST
        if state in ("40001", "40P01"):
            return Fault.CONFLICT
        if isinstance(error, self.psycopg.DataError):
            return Fault.VALUE
        if isinstance(error, self.psycopg.OperationalError) and not state:
            return Fault.LOST
        if isinstance(error, self.psycopg.OperationalError) or state in self._NO_TABLES or state.startswith("XX"):
            return Fault.OUTAGE
        return Fault.JOB

    def is_open(self, connection: Any) -> bool:
        """See Driver."""
        return not connection.closed and not connection.broken

    def lock_upgrades(self) -> str:
        """See Driver."""
        return "SELECT pg_advisory_xact_lock(hashtext('imgsvc upgrade'))"


@frozen
class MariaDB:
    """By PyMySQL. Errors: https://mariadb.com/kb/en/mariadb-error-code-reference/"""

    pymysql: Any

    _CONFLICT: Final = frozenset({1020, 1213, 1412})
    """Also what Galera answers to a COMMIT that another node's was faster than."""
    _LOST: Final = frozenset({0, 1040, 1047, 1053, 1290, 1792, 1836, 1927, 2006, 2013, 2014, 2055, 4031})
    """Ended by the server, or one that only reads, or that has left its cluster."""
    _NO_TABLES: Final = frozenset({1044, 1054, 1142, 1143, 1146})

    def connect_arguments(self, limits: Limits) -> Mapping[str, Any]:
        """See Driver."""
        silence = math.ceil(limits.connect + limits.statement) if limits.statement else None
        return {
            "autocommit": True,
            "charset": "utf8mb4",
            "connect_timeout": math.ceil(limits.connect),
            "read_timeout": silence,
            "write_timeout": silence,
            "cursorclass": _strict_cursor(self.pymysql.cursors.Cursor),
        }

    def session(self, limits: Limits) -> list[str]:
        """See Driver."""
        lock = math.ceil(limits.lock) or 31536000
        return [
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin",
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', group_concat_max_len = 4294967295,"
            f" max_statement_time = {limits.statement}, innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}",
        ]

    def fault(self, error: Exception) -> Fault | None:
        """See Driver."""
        if not isinstance(error, self.pymysql.MySQLError):
            return None
        number = error.args[0] if error.args else 0
        if number in self._LOST:
            return Fault.LOST
        if number in self._CONFLICT:
            return Fault.CONFLICT
        if number in self._NO_TABLES:
            return Fault.OUTAGE
        if isinstance(error, self.pymysql.DataError):
            return Fault.VALUE
        # InternalError: of the server's files, as those that large results are sorted in.
        outages = (self.pymysql.OperationalError, self.pymysql.InternalError)
        return Fault.OUTAGE if isinstance(error, outages) else Fault.JOB

    def is_open(self, connection: Any) -> bool:
        """See Driver."""
        return bool(connection.open)

    def lock_upgrades(self) -> str:
        """See Driver."""
        return "SELECT GET_LOCK(CONCAT('imgsvc upgrade ', DATABASE()), 3600)"


_DRIVERS: Final[Mapping[str, tuple[str, str, Callable[[Any], Driver]]]] = {
    "postgresql": ("postgresql", "psycopg", PostgreSQL),
    "mariadb": ("mariadb", "pymysql", MariaDB),
}


def _strict_cursor(cursor_class: Any) -> Any:
    """A cursor that refuses what others do: PyMySQL sends text that is none as bytes, and numbers of any size."""

    class StrictCursor(cursor_class):  # type: ignore[misc]
        def execute(self, query: str, args: Any = None) -> Any:
            _check_values(args)
            return super().execute(query, args)

        def executemany(self, query: str, args: Any) -> Any:
            for values in args:
                _check_values(values)
            return super().executemany(query, args)

    return StrictCursor


def _check_values(values: Any) -> None:
    """values: as for a cursor's execute. Raises UnicodeEncodeError, OverflowError."""
    for value in values.values() if isinstance(values, Mapping) else values or ():
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise OverflowError("a number is larger than 64 bits hold")
