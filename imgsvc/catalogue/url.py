"""The URL of the database, in SQLAlchemy's form. Error messages never contain it, because it may have a password."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imgsvc.errors import ConfigurationError

__all__ = ["locate", "parse", "sqlite_file", "without_password"]

_DRIVERS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mariadb+pymysql",
    "mysql+pymysql": "mariadb+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}
"""The possible schemes of a URL, and the dialect and driver of each."""

_FORMS: Final = "sqlite:///file, postgresql://user:password@host/name or mysql://user:password@host/name"


def parse(url: str) -> URL:
    """Return the parts of a URL, with the driver that is used. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
        return parsed.set(drivername=_DRIVERS[parsed.drivername])
    except (ArgumentError, ValueError, KeyError):
        # Without the cause, because it contains the URL.
        raise ConfigurationError(f"database.url: must be a URL such as {_FORMS}") from None


def locate(url: str, folder: Path) -> str:
    """Return the URL, with the path of an SQLite file made relative to `folder`. Raises ConfigurationError."""
    parsed = parse(url)
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"--data = {str(folder)!r}: the name must be UTF-8") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        parsed = parsed.set(database=str(folder / parsed.database))
    return parsed.render_as_string(hide_password=False)


def sqlite_file(url: str, folder: Path) -> Path | None:
    """Return the file of an SQLite database; None if the database is on a server. Raises ConfigurationError."""
    located = parse(locate(url, folder))
    return Path(located.database) if located.get_backend_name() == "sqlite" and located.database else None


def without_password(url: str) -> str:
    """Return the URL without its password, and without its options, which may contain one."""
    return parse(url).set(query={}).render_as_string(hide_password=True)
