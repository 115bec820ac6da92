"""`imgsvc stores`: where images can be put."""

from __future__ import annotations

import click

from imgsvc.client.answers import printable
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings


@click.command()
@click.pass_obj
def stores(settings: Settings) -> None:
    """List the stores that --store can name."""
    run(settings, _stores)


async def _stores(tools: Tools) -> int:
    found = await tools.client.stores()
    if not found:
        say("The server has one store only, which takes every image.")
    for store in found:
        marks = [mark for mark in ("default", "read-only") if store.get(mark) == "true"]
        text = [printable(str(store.get("id"))), *marks, printable(str(store.get("description") or ""))]
        click.echo("  ".join(part for part in text if part))
    return 0
