"""Where the database is: a URL as SQLAlchemy writes it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imgsvc.errors import ConfigurationError

__all__ = ["locate", "parse", "without_password"]


def parse(url: str) -> URL:
    """The parts of a URL. Raises ConfigurationError."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"database.url = {url!r}: must be a URL as sqlite:///folder/file") from error


def locate(url: str, folder: Path) -> str:
    """The URL with the path of an SQLite file taken as relative to `folder`. Raises ConfigurationError."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        parsed = parsed.set(database=str(folder / parsed.database))
    return parsed.render_as_string(hide_password=False)


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return parse(url).render_as_string(hide_password=True)
