"""`imgsvc list` and `imgsvc show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Final

import click
from attrs import frozen

from imgsvc.client.answers import printable
from imgsvc.client.calls import exactly
from imgsvc.client.command import arguments
from imgsvc.client.command.progress import format_size
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.view import ImageView
from imgsvc.image_fields import SORT_KEYS
from imgsvc.model import MemberStatus, Status, Visibility

MOST_OF_A_PAGE: Final = 1000


@frozen
class Column:
    """A column of the table.

    heading: a string. layout: a format with the width. text: a function that gets the text of an image; None is shown
    as `-`.
    """

    heading: str
    layout: str
    text: Callable[[ImageView], object]

    def cell(self, image: ImageView) -> str:
        """Make the text of a cell, without characters that control a terminal."""
        text = self.text(image)
        return format("-" if text is None or text == "" else printable(str(text)), self.layout)


BRIEF: Final = (
    Column("ID", "36", lambda image: image.id),
    Column("STATUS", "11", lambda image: image.status),
    Column("SIZE", ">8", lambda image: None if image.size is None else format_size(image.size)),
    Column("FORMAT", "6", lambda image: image.disk_format),
)
FURTHER: Final = (
    Column("VISIBILITY", "10", lambda image: image.visibility),
    Column("PROTECTED", "9", lambda image: "yes" if image.document.get("protected") else "no"),
    Column("CREATED", "20", lambda image: image.document.get("created_at")),
    Column("OWNER", "32", lambda image: image.document.get("owner")),
    Column("TAGS", "20", lambda image: ",".join(image.tags)),
)
NAME: Final = Column("NAME", "", lambda image: image.name)


@click.command("list")
@click.option("--name", help="Only images with exactly this name.")
@click.option("--status", type=click.Choice([*map(str, Status)]))
@click.option("--visibility", type=click.Choice([*map(str, Visibility), "all"]))
@click.option("--owner", help="Only images of this project.")
@click.option("--tag", "tags", multiple=True, help="Only images with this tag. Given several times: with all of them.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    callback=arguments.filters,
    help="Only images with this property: KEY=VALUE.",
)
@click.option("--hidden", is_flag=True, help="Only hidden images.")
@click.option(
    "--member-status",
    type=click.Choice([*map(str, MemberStatus), "all"]),
    help="Of images that others share with you, those that you answered so. Default: accepted.",
)
@click.option(
    "--sort",
    callback=arguments.sorting,
    shell_complete=arguments.complete_sorting,
    metavar="KEY[:asc|:desc],...",
    help=f"By {', '.join(SORT_KEYS)}. Default: created_at:desc.",
)
@click.option("--limit", type=click.IntRange(min=1), help="The most images to list. Default: all.")
@click.option("--long", "in_full", is_flag=True, help="More columns.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_images(
    settings: Settings,
    name: str | None,
    status: str | None,
    visibility: str | None,
    owner: str | None,
    tags: tuple[str, ...],
    properties: dict[str, str],
    hidden: bool,
    member_status: str | None,
    sort: str | None,
    limit: int | None,
    in_full: bool,
    as_json: bool,
) -> None:
    """List images, the newest first unless told otherwise."""
    given = {
        "name": None if name is None else exactly(name),
        "status": status,
        "visibility": visibility,
        "owner": owner,
        "os_hidden": "true" if hidden else None,
        "member_status": member_status,
        "sort": sort,
    }
    filters: dict[str, str | list[str]] = {key: value for key, value in given.items() if value is not None}
    if tags:
        filters["tag"] = list(tags)
    filters.update(properties)
    run(settings, lambda tools: _list(tools, limit, filters, in_full=in_full, as_json=as_json))


async def _list(
    tools: Tools, limit: int | None, filters: dict[str, str | list[str]], *, in_full: bool, as_json: bool
) -> int:
    columns = (*BRIEF, *(FURTHER if in_full else ()), NAME)
    shown = count(1)
    first = True
    async for image in tools.client.images(min(limit, MOST_OF_A_PAGE) if limit else None, **filters):
        if as_json:
            click.echo(("[\n" if first else ",\n") + json.dumps(dict(image.document), ensure_ascii=False), nl=False)
        else:
            if first:
                click.echo("  ".join(format(column.heading, column.layout) for column in columns))
            click.echo("  ".join(column.cell(image) for column in columns))
        first = False
        if next(shown) == limit:
            break
    if as_json:
        click.echo("[]" if first else "\n]")
    elif first:
        say("No image fits." if filters else "There are no images.")
    return 0


@click.command()
@click.argument("id_or_name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(settings: Settings, id_or_name: str, as_json: bool) -> None:
    """Show all fields of an image."""
    run(settings, lambda tools: _show(tools, id_or_name, as_json))


async def _show(tools: Tools, id_or_name: str, as_json: bool) -> int:
    image = await tools.client.find(id_or_name)
    if as_json:
        click.echo(json.dumps(dict(image.document), indent=2, ensure_ascii=False))
        return 0
    width = max(map(len, image.document))
    for key in sorted(image.document):
        value = image.document[key]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{printable(key):{width}}  {printable(text)}")
    return 0
