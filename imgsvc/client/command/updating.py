"""`imgsvc update`: fields, properties and tags of an image."""

from __future__ import annotations

from typing import Any

import click

from imgsvc.client.command.arguments import properties, property_keys
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.model import Visibility


@click.command()
@click.argument("id_or_name")
@click.option("--name")
@click.option("--visibility", type=click.Choice([str(each) for each in Visibility]))
@click.option("--protected/--unprotected", default=None, help="Whether the image is protected from deletion.")
@click.option("--hidden/--unhidden", "os_hidden", default=None, help="Whether lists leave the image out.")
@click.option("--disk-format", help="raw, qcow2, vmdk, ... As long as the image has no data.")
@click.option("--container-format", help="As long as the image has no data.")
@click.option("--min-disk", type=click.IntRange(min=0), help="GiB.")
@click.option("--min-ram", type=click.IntRange(min=0), help="MiB.")
@click.option("--owner", help="Give the image to another project; for administrators.")
@click.option("--property", "to_set", multiple=True, callback=properties, help="A custom property, as KEY=VALUE.")
@click.option("--remove-property", "to_remove", multiple=True, callback=property_keys, metavar="KEY")
@click.option("--tag", "new_tags", multiple=True, help="One more tag; the others stay.")
@click.option("--remove-tag", "old_tags", multiple=True)
@click.pass_obj
def update(settings: Settings, /, id_or_name: str, **options: Any) -> None:
    """Change an image. Either all fields and properties are changed, or none. Then tags are changed one by one."""
    to_set, to_remove = options.pop("to_set"), options.pop("to_remove")
    new_tags, old_tags = options.pop("new_tags"), options.pop("old_tags")
    fields = {key: value for key, value in options.items() if value is not None} | to_set
    if not (fields or to_remove or new_tags or old_tags):
        raise click.UsageError("Say what to change.")
    for kind, both in (("property", to_set.keys() & set(to_remove)), ("tag", set(new_tags) & set(old_tags))):
        for each in sorted(both):
            raise click.UsageError(f"The {kind} {each!r} cannot be set and removed at once.")
    run(settings, lambda tools: _update(tools, id_or_name, fields, to_remove, new_tags, old_tags))


async def _update(
    tools: Tools,
    id_or_name: str,
    fields: dict[str, Any],
    to_remove: tuple[str, ...],
    new_tags: tuple[str, ...],
    old_tags: tuple[str, ...],
) -> int:
    client = tools.client
    image = await client.find(id_or_name)
    if fields or to_remove:
        await client.update(image.id, to_remove, **fields)
    for tag in new_tags:
        await client.add_tag(image.id, tag)
    for tag in old_tags:
        await client.remove_tag(image.id, tag)
    say(f"Image {image.id} is changed.")
    return 0
