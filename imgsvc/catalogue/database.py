"""Runs jobs in the database, and turns their errors into errors of the domain.

A job is a function of a SQLAlchemy `Connection`. This module, `sqlite.py` and `servers.py` only run jobs; the jobs are
in `images.py`, `uploads.py` and other modules.
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
        """Open the database. Fails with ConfigurationError if its tables are of another version."""

    def stop(self) -> Deferred[None]:
        """Wait for the running jobs, refuse new ones, close all connections. May be called any number of times."""

    def write(self, job: Job[T], frees: bool = False) -> Deferred[T]:
        """Run `job` in a transaction, alone or with other jobs. Returns its result, after the commit.

        frees: whether the job lets bytes be deleted, so that it may use the last space of a full disk.
        If a job raises, only that job is undone, and the Deferred fails with the same exception. A job may be run again
        after it was undone, so it must have no effects outside the database.
        """

    def read(self, job: Job[T], heavy: bool = False) -> Deferred[T]:
        """Run `job`, which only reads. Returns its result.

        Each statement of the job sees the database as it is when the statement begins.
        heavy: whether the statements are large and unlikely to be repeated. Heavy jobs run one at a time, and their
        prepared statements are not kept.
        """

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> Deferred[Sequence[Sequence[Any]]]:
        """Return the rows of a statement that finds few rows by their keys."""

    def version(self) -> int | None:
        """Return a number that changes whenever any process commits a change; None if it is unknown."""


def for_the_client(error: Exception) -> Exception:
    """Return Invalid if the driver has refused a value that a client sent; else the error itself."""
    match error:
        case UnicodeEncodeError():
            return Invalid("A text contains characters that are not Unicode.")
        case OverflowError():
            return Invalid("A number has more than 64 bits.")
    return error


def cause_of(error: Exception) -> Exception:
    """Return the driver's own error."""
    return error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error


def unavailable(error: Exception) -> CatalogueUnavailable:
    """Log an error of the driver, and return the error of the domain for it."""
    cause = cause_of(error)
    log.error("The database failed: {cause}", cause=cause)
    return CatalogueUnavailable(f"The catalogue cannot answer now: {cause}.")
