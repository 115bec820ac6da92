"""`imgsvc stores`: the stores of the server."""

from __future__ import annotations

import json

import click

from imgsvc.client.answers import printable
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def stores(settings: Settings, as_json: bool) -> None:
    """List the stores of the server, with the names that --store takes."""
    run(settings, lambda tools: _stores(tools, as_json))


async def _stores(tools: Tools, as_json: bool) -> int:
    found = await tools.client.stores()
    if as_json:
        click.echo(json.dumps([dict(store) for store in found], indent=2, ensure_ascii=False))
        return 0
    if not found:
        say("The server has one store only, which takes every image.")
    for store in found:
        marks = [mark for mark in ("default", "read-only") if store.get(mark) == "true"]
        text = [printable(str(store.get("id"))), *marks, printable(str(store.get("description") or ""))]
        click.echo("  ".join(part for part in text if part))
    return 0
