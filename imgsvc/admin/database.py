"""`imgsvc-admin database`: the tables of the catalogue and their version."""

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
    """Make the tables, or bring them to the version of this program.

    While an older daemon runs this may fail or make its requests fail: stop all daemons first.
    """
    schema = Schema(setting.config.database, setting.data_folder)
    before = schema.version()
    schema.upgrade()
    click.echo(f"{before or 'empty'} -> {schema.head}" if before != schema.head else f"{schema.head} already")


@database.command()
@click.pass_obj
def version(setting: Setting) -> None:
    """Say which version the tables have, and which one this program needs. Status 1 if these differ."""
    schema = Schema(setting.config.database, setting.data_folder)
    found = schema.version()
    click.echo(f"{found or 'empty'}, needed {schema.head}")
    if found != schema.head:
        raise SystemExit(1)
