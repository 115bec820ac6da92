"""The version of the tables, and how a database gets to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from imgsvc.catalogue.tables import metadata
from imgsvc.errors import ConfigurationError

__all__ = ["HEAD", "MIGRATIONS", "check", "revision", "upgrade"]

HEAD: Final = "0009"
"""Alembic's newest revision. Known here, so that Alembic need not be imported while nothing is to be upgraded."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None: it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check(found: str | None) -> None:
    """Raises ConfigurationError where a database is not at HEAD."""
    if found == HEAD:
        return
    tables = "there are no tables yet" if found is None else f"the tables are of version {found}, not {HEAD}"
    later = found is not None and found > HEAD
    command = "run `imgsvc-admin database upgrade` with the --config and --data of the daemon before `database`"
    remedy = "this imgsvc is too old for them" if later else command
    raise ConfigurationError(f"database.url: {tables}: {remedy}")


def upgrade(connection: Connection) -> None:
    """Bring the database to HEAD in the transaction that `connection` is in; all or nothing where DDL can be undone.

    Raises ConfigurationError when the database is at a revision that this version does not know.
    """
    found = revision(connection)
    if found == HEAD:
        return
    _refuse_tables_of_others(connection)
    if found is None and connection.dialect.name == "sqlite":
        _make(connection)
    else:
        _migrate(connection)


def _make(connection: Connection) -> None:
    """Make the tables as they are at HEAD, in a database without any: faster than the migrations, and without Alembic.

    https://alembic.sqlalchemy.org/en/latest/cookbook.html, "Building an Up to Date Database from Scratch"
    """
    metadata.create_all(connection, checkfirst=False)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(f"database.url: the tables are of another version of imgsvc: {error}") from error


def _refuse_tables_of_others(connection: Connection) -> None:
    """MariaDB takes tables that it finds as made by an upgrade that was interrupted, see `dialects.py`."""
    if connection.dialect.name == "mariadb" and not inspect(connection).has_table("alembic_version"):
        names = metadata.tables.keys() & inspect(connection).get_table_names()
        if names:
            raise ConfigurationError(f"database.url: has a table {min(names)} that imgsvc did not make")
