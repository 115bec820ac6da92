"""`imgsvc-admin store`: adopts folders of stores, and verifies stores."""

from __future__ import annotations

import click

from imgsvc.admin.running import with_core
from imgsvc.admin.setting import Setting
from imgsvc.admin.verify import verify
from imgsvc.daemon.core import Core
from imgsvc.errors import Invalid
from imgsvc.interfaces import IMarkedStore

__all__ = ["store"]


@click.group()
def store() -> None:
    """The stores and their objects."""


@store.command()
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="Also if the folder has the mark of another store, or none of the images that must be in it.",
)
@click.pass_obj
def adopt(setting: Setting, name: str, force: bool) -> None:
    """Make the folder at the path of the store NAME the store's own.

    Says what is in the folder, and marks it. This is needed for a folder that Glance has filled, and for one that lost
    its mark. First make sure that everything is mounted. Daemons may run: they use the store a few seconds later.
    """
    with_core(setting, lambda core: _adopt(core, name, force))


store.add_command(verify)


async def _adopt(core: Core, name: str, force: bool) -> None:
    found = core.stores.find(name)
    if not IMarkedStore.providedBy(found):
        raise Invalid(f"Store {name} is of kind {found.info.kind}: it keeps no mark, and is never away.")
    try:
        await found.start()
        survey = await found.survey()
        click.echo(f"{survey.place} {survey.mark}.")
        click.echo(
            f"Objects in it: {survey.known} that the catalogue has in store {name}, {survey.unknown} that it has not."
            f" Missing from it: {survey.missing}."
        )
        await found.adopt(force)
    finally:
        await found.stop()
    click.echo(f"It is store {name}'s own already." if survey.own else f"It is store {name}'s own now.")
