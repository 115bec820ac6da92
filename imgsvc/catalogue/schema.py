"""The version of the tables, and their upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from imgsvc.catalogue.tables import metadata
from imgsvc.errors import ConfigurationError

__all__ = ["HEAD", "MIGRATIONS", "check", "revision", "upgrade"]

HEAD: Final = "0009"
"""Alembic's newest revision. It is repeated here so that Alembic is imported only for upgrades."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check(found: str | None) -> None:
    """Raise ConfigurationError unless the revision is HEAD."""
    if found == HEAD:
        return
    tables = "there are no tables yet" if found is None else f"the tables are of version {found}, not {HEAD}"
    later = found is not None and found > HEAD
    command = "run `imgsvc-admin database upgrade` with the --config and --data of the daemon before `database`"
    remedy = "this imgsvc is too old for them" if later else command
    raise ConfigurationError(f"database.url: {tables}: {remedy}")


def upgrade(connection: Connection) -> None:
    """Upgrade the database to HEAD in the transaction of `connection`. It is atomic if the database can undo DDL.

    Raises ConfigurationError if this version does not know the revision of the database.
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
    """Create the tables of HEAD in an empty database. Faster than the migrations, and does not import Alembic.

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
    """Check that MariaDB has no tables of other programs: an upgrade would take them for its own, see `dialects.py`."""
    if connection.dialect.name == "mariadb" and not inspect(connection).has_table("alembic_version"):
        names = metadata.tables.keys() & inspect(connection).get_table_names()
        if names:
            raise ConfigurationError(f"database.url: has a table {min(names)} that imgsvc did not make")
