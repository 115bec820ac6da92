"""`imgsvc-admin quota`: sets limits of single projects, which replace those of the configuration."""

from __future__ import annotations

from typing import Final

import click

from imgsvc.admin.running import with_database
from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Database, projects
from imgsvc.errors import Invalid, NotFound
from imgsvc.operations.limits import LIMITS, SIZES
from imgsvc.options import LARGEST, Size, converter

__all__ = ["quota"]

UNLIMITED: Final = "unlimited"
LONGEST_PROJECT: Final = 255

name_argument = click.argument("name", type=click.Choice([*LIMITS]))


@click.group()
def quota() -> None:
    """Limits of single projects. With `quotas.unified = true` they take effect at the next request."""


@quota.command("list")
@click.argument("project", required=False)
@click.pass_obj
def list_limits(setting: Setting, project: str | None) -> None:
    """Show the limits that were set for PROJECT, or for all projects, in bytes or numbers."""

    async def work(database: Database) -> list[tuple[str, str, int]]:
        return await database.read(projects.all_limits)

    for owner, name, value in with_database(setting, work):
        if project in (None, owner):
            click.echo(f"{owner}\t{name}\t{UNLIMITED if value < 0 else value}")


@quota.command("set")
@click.argument("project")
@name_argument
@click.argument("value")
@click.pass_obj
def set_limit(setting: Setting, project: str, name: str, value: str) -> None:
    """Set the limit NAME of a PROJECT. VALUE is a number, a size as "10 GiB", or `unlimited`."""
    number = _number(name, value)
    if not 0 < len(project) <= LONGEST_PROJECT or not project.isprintable():
        raise Invalid(f"{project!r} is not the id of a project.")

    async def work(database: Database) -> None:
        await database.write(lambda connection: projects.set_limit(connection, project, name, number))

    with_database(setting, work)
    if not setting.config.quotas.unified:
        click.echo("Saved, but limits of projects have no effect: quotas.unified is false.", err=True)


@quota.command("unset")
@click.argument("project")
@name_argument
@click.pass_obj
def unset_limit(setting: Setting, project: str, name: str) -> None:
    """Remove the limit NAME of a PROJECT, so that the one of the configuration holds again."""

    async def work(database: Database) -> bool:
        return await database.write(lambda connection: projects.remove_limit(connection, project, name))

    if not with_database(setting, work):
        raise NotFound(f"Project {project} has no {name} of its own.")


def _number(name: str, value: str) -> int:
    if value == UNLIMITED:
        return -1
    if name not in SIZES:
        if not (value.isascii() and value.isdecimal() and len(value) < 20) or int(value) > LARGEST:
            raise Invalid(f"{name} = {value!r}: must be a number up to {LARGEST}, or {UNLIMITED}")
        return int(value)
    try:
        return int(converter.structure(value, Size))
    except ValueError:
        raise Invalid(f'{name} = {value!r}: must be a size in bytes, as 1048576 or "1 MiB", or {UNLIMITED}') from None
