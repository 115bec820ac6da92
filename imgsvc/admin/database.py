"""`imgsvc-admin database`: makes and upgrades the tables of the catalogue."""

from __future__ import annotations

import click

from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Schema

__all__ = ["database"]


@click.group()
def database() -> None:
    """The tables of the catalogue."""


@database.command()
@click.pass_obj
def upgrade(setting: Setting) -> None:
    """Make the tables, or upgrade them to the version of this program.

    Stop all daemons first: while an older one runs, the upgrade or its requests may fail.
    """
    schema = Schema(setting.config.database, setting.data_folder)
    before = schema.version()
    schema.upgrade()
    click.echo(f"{before or 'empty'} -> {schema.head}" if before != schema.head else f"{schema.head} already")


@database.command()
@click.pass_obj
def version(setting: Setting) -> None:
    """Show the version of the tables and the one that this program needs. The exit status is 1 if these differ."""
    schema = Schema(setting.config.database, setting.data_folder)
    found = schema.version()
    click.echo(f"{found or 'empty'}, needed {schema.head}")
    if found != schema.head:
        raise SystemExit(1)
