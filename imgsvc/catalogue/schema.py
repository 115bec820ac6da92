"""The version of the tables, and how a database gets to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from imgsvc.errors import ConfigurationError

__all__ = ["HEAD", "MIGRATIONS", "revision", "upgrade"]

HEAD: Final = "0002"
"""Alembic's newest revision. Known here, so that Alembic need not be imported while nothing is to be upgraded."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None: it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection) -> None:
    """Bring the database to HEAD in the transaction that `connection` is in; all or nothing where DDL can be undone.

    Raises ConfigurationError when the database is at a revision that this version does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if revision(connection) == HEAD:
        return
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(f"database.url: the tables are of another version of imgsvc: {error}") from error
