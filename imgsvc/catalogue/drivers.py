"""The differences between database servers: the setup of connections, and the meaning of the drivers' errors."""

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
    """Time limits for calls of a server, in seconds. statement, lock: 0: no limit.

    connect: to connect. statement: for one statement. lock: for the time that a statement waits for locks.
    """

    connect: float
    statement: float
    lock: float


class Fault(Enum):
    """The meaning of an error of a driver."""

    VALUE = auto()
    """The database refuses a value, which a client has sent."""
    JOB = auto()
    """An error of the job: a unique key is taken, or the SQL is wrong."""
    CONFLICT = auto()
    """The transaction was undone because of a concurrent one. It can be run again."""
    LOST = auto()
    """The connection is broken, and others may be broken too. Its transaction is undone."""
    OUTAGE = auto()
    """The database does not work now: it is locked for too long, is out of space, or has no tables."""


class Driver(Protocol):
    """One kind of server."""

    def connect_arguments(self, limits: Limits) -> Mapping[str, Any]:
        """Return arguments for the driver's `connect`, in addition to the URL. Connections use autocommit."""

    def session(self, limits: Limits) -> list[str]:
        """Return statements that set up a new connection."""

    def fault(self, error: Exception) -> Fault | None:
        """Return the meaning of an error; None if it is not an error of the driver."""

    def is_open(self, connection: Any) -> bool:
        """Whether a connection of the driver is still open."""

    def lock_upgrades(self) -> str:
        """Return a statement that waits while another process upgrades. Its lock ends with the connection at last."""


def driver_of(url: URL) -> Driver:
    """Return the driver for a URL. Raises ConfigurationError if it is not installed."""
    kind, package, make = _DRIVERS[url.get_backend_name()]
    try:
        return make(import_module(package))
    except ImportError as error:
        raise ConfigurationError(f"database.url: the driver is missing, install imgsvc[{kind}]: {error}") from error


@frozen
class PostgreSQL:
    """PostgreSQL by psycopg 3. Errors: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

    psycopg: Any

    _LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "25006"})
    """The server has ended the connection, or has become a read-only standby."""
    _NO_TABLES: Final = frozenset({"3F000", "42P01", "42703", "42501"})

    def connect_arguments(self, limits: Limits) -> Mapping[str, Any]:
        """See Driver. TCP detects a host that has vanished, after 25 s."""
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
            # Each statement has one good plan: by indexes, row by row. The planner's statistics do not know which
            # columns correlate, so other plans are at best equally fast.
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
    """MariaDB by PyMySQL. Errors: https://mariadb.com/kb/en/mariadb-error-code-reference/"""

    pymysql: Any

    _CONFLICT: Final = frozenset({1020, 1213, 1412})
    """Includes the error of Galera for a COMMIT that conflicts with an earlier one of another node."""
    _LOST: Final = frozenset({0, 1040, 1047, 1053, 1290, 1792, 1836, 1927, 2006, 2013, 2014, 2055, 4031})
    """The server has ended the connection, is read-only, or has left its cluster."""
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
        # InternalError: an error of the server's files, such as the temporary files for sorting large results.
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
    """Make a cursor that refuses invalid values as other drivers do.

    PyMySQL would send invalid text as bytes, and numbers of any size.
    """

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
    """Raise UnicodeEncodeError or OverflowError for an invalid value. values: as for a cursor's execute."""
    for value in values.values() if isinstance(values, Mapping) else values or ():
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise OverflowError("a number has more than 64 bits")
