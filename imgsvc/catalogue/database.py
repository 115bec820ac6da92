"""The way to the database, whichever it is: what runs jobs, and what their failures mean.

A job is a function of a SQLAlchemy `Connection`. Only the outermost edge of a job is here and in `sqlite.py` and
`servers.py`; what it does is in `images.py`, `uploads.py` and the like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred

from imgsvc.catalogue.statements import Statement
from imgsvc.errors import CatalogueUnavailable, Invalid
from imgsvc.logger import make_logger

__all__ = ["Database", "Job", "cause_of", "for_the_client", "unavailable"]

log = make_logger()

T = TypeVar("T")
Job = Callable[[Connection], T]


class Database(Protocol):
    """What `Catalogue` needs of a database. Every Deferred may fail with CatalogueUnavailable."""

    def start(self) -> Deferred[None]:
        """Open it. Deferred of None. Fails with ConfigurationError when its tables are of another version."""

    def stop(self) -> Deferred[None]:
        """Finish the jobs under way, refuse others, close all connections. Deferred of None. Any number of times."""

    def write(self, job: Job[T], frees: bool = False) -> Deferred[T]:
        """Run `job` in a transaction of its own or with others. Deferred of its result, fired after the commit.

        A job that raises is undone alone, and the Deferred fails with what it raised. A job may be run again when all
        that it did was undone: it must have no other effect than in the database. frees: what it writes lets bytes be
        deleted, so that it may use the last of a full disk.
        """

    def read(self, job: Job[T], heavy: bool = False) -> Deferred[T]:
        """Run `job`, which only reads. Deferred of its result.

        Each of its statements sees the database as of the statement's begin. heavy: its statements are large, and not
        likely to come again; of such jobs one runs at a time, and nothing is kept of them.
        """

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> Deferred[Sequence[Sequence[Any]]]:
        """The rows of a statement that touches few of them, by their keys."""

    def version(self) -> int | None:
        """A number that another one takes the place of whenever any process commits anything. None: not to be told."""


def for_the_client(error: Exception) -> Exception:
    """Invalid, where the driver refused a value that only came through; else the error itself."""
    match error:
        case UnicodeEncodeError():
            return Invalid("A text holds characters that are not Unicode.")
        case OverflowError():
            return Invalid("A number is larger than 64 bits hold.")
    return error


def cause_of(error: Exception) -> Exception:
    """The driver's own error."""
    return error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error


def unavailable(error: Exception) -> CatalogueUnavailable:
    """The error of the domain that an error of the driver stands for."""
    cause = cause_of(error)
    log.error("The database failed: {cause}", cause=cause)
    return CatalogueUnavailable(f"The catalogue cannot answer now: {cause}.")
