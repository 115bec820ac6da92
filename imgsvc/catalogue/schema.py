"""The version of the tables, and how a database gets to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from imgsvc import config
from imgsvc.catalogue.url import locate
from imgsvc.errors import CatalogueUnavailable, ConfigurationError

__all__ = ["HEAD", "MIGRATIONS", "Schema", "revision", "upgrade"]

HEAD: Final = "0003"
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


class Schema:
    """The tables of a database that no daemon of this process has open. Calls block.

    All methods raise CatalogueUnavailable, ConfigurationError.
    """

    head: Final = HEAD
    """The version that this program needs."""

    def __init__(self, options: config.Database, data_folder: Path) -> None:
        self._engine = create_engine(locate(options.url, data_folder))

    def version(self) -> str | None:
        """The version of the tables; None: there are none."""
        try:
            with self._engine.connect() as connection:
                return revision(connection)
        except DBAPIError as error:
            raise CatalogueUnavailable(f"The database cannot be read: {error.orig}") from error

    def upgrade(self) -> None:
        """Bring them to `head`. Can be run again when it was interrupted."""
        try:
            with self._engine.begin() as connection:
                upgrade(connection)
        except DBAPIError as error:
            raise CatalogueUnavailable(f"The database cannot be upgraded: {error.orig}") from error
