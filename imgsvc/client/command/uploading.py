"""`imgsvc upload`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from typing import Final

import click
from attrs import frozen
from twisted.internet.defer import CancelledError

from imgsvc.client.api import ImageClient
from imgsvc.client.command import arguments
from imgsvc.client.command.descriptors import read_from_descriptor
from imgsvc.client.command.leftovers import clean_up
from imgsvc.client.command.progress import format_size
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.errors import ClientError, LocalFileError, RequestRefused, VerificationFailed
from imgsvc.client.inspection import INSPECTED, guess_disk_format, guess_format_of_bytes
from imgsvc.client.patience import RETRIES
from imgsvc.client.view import ImageView
from imgsvc.model import Visibility

STANDARD_INPUT: Final = "standard input"

Fields = dict[str, str | int | bool | list[str]]


@frozen
class Target:
    """Where the bytes go.

    store: None for the default store. image_id: the id that the user chose, or None; the image may exist. keep: whether
    the image stays after a failure. retries: most tries in a row after the first.
    """

    store: str | None
    image_id: str | None
    keep: bool
    retries: int


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--name", help="Default: the name of the file; none for standard input.")
@click.option("--disk-format", help="raw, qcow2, vmdk, ... Default: guessed from the first bytes.")
@click.option("--container-format", default="bare", show_default=True)
@click.option(
    "--property", "properties", multiple=True, callback=arguments.properties, help="A custom property, as KEY=VALUE."
)
@click.option("--tag", "tags", multiple=True)
@click.option("--visibility", type=click.Choice([str(each) for each in Visibility]))
@click.option("--min-disk", type=click.IntRange(min=0), help="GiB.")
@click.option("--min-ram", type=click.IntRange(min=0), help="MiB.")
@click.option("--store", help="The store, one of `imgsvc stores`. Default: the default store of the server.")
@click.option("--id", "image_id", help="The id of the image. It may exist if it has no data yet.")
@click.option("--protected", is_flag=True, help="The image cannot be deleted.")
@click.option("--keep", is_flag=True, help="Do not delete the new image when its upload fails.")
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=RETRIES,
    show_default=True,
    help="How often in a row the upload of a file is tried again when it was interrupted.",
)
@click.pass_obj
def upload(
    settings: Settings,
    file: str,
    name: str | None,
    disk_format: str | None,
    container_format: str,
    properties: dict[str, str],
    tags: tuple[str, ...],
    visibility: str | None,
    min_disk: int | None,
    min_ram: int | None,
    store: str | None,
    image_id: str | None,
    protected: bool,
    keep: bool,
    retries: int,
) -> None:
    """Make an image of FILE and print its id. - is standard input."""
    if file == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("Standard input is a terminal. Let a program write to it: `... | imgsvc upload -`.")
    given = {
        "name": _image_name(file) if name is None and file != "-" else name,
        "disk_format": disk_format,
        "container_format": container_format,
        "visibility": visibility,
        "min_disk": min_disk,
        "min_ram": min_ram,
        "protected": protected or None,
        "tags": list(tags) or None,
        "id": image_id or None,
    }
    fields: Fields = {key: value for key, value in given.items() if value is not None}
    fields.update(properties)
    target = Target(store, image_id, keep, retries)
    run(settings, lambda tools: _upload(tools, file, fields, target))


async def _upload(tools: Tools, file: str, fields: Fields, target: Target) -> int:
    client = tools.client
    if target.store is not None:
        await client.check_store(target.store)
    source: str | AsyncIterator[bytes] = file
    if file == "-":
        source, guessed = await _standard_input(tools, "disk_format" in fields)
    else:
        guessed = "" if "disk_format" in fields else guess_disk_format(file)
    if guessed:
        fields["disk_format"] = guessed
    image = await _create_or_take(client, fields, target.image_id)
    try:
        image = await client.upload(
            image.id, source, store=target.store, retries=target.retries, progress=tools.progress
        )
    except (ClientError, CancelledError) as problem:
        tools.reporter.problem(problem)
        await clean_up(
            tools,
            image.id,
            wrong_bytes=isinstance(problem, VerificationFailed),
            keep=target.keep or target.image_id is not None,
            protected="protected" in fields,
        )
        raise
    tools.progress.end()
    say(f"Image {image.id} is {image.status}: {format_size(image.size or 0)}, {image.disk_format}, verified.")
    click.echo(image.id)
    return 0


async def _standard_input(tools: Tools, format_is_known: bool) -> tuple[AsyncIterator[bytes], str]:
    """Read standard input. Returns its blocks, and its disk format; an empty string if `format_is_known`.

    Raises LocalFileError also when there are no bytes: else a program that failed would make an empty image.
    """
    if sys.stdin is None:
        raise LocalFileError(STANDARD_INPUT, "closed")
    blocks = read_from_descriptor(tools.reactor, sys.stdin.fileno())
    first, held = [], 0
    async for block in blocks:
        first.append(block)
        held += len(block)
        if format_is_known or held >= INSPECTED:
            break
    if not held:
        raise LocalFileError(STANDARD_INPUT, "ended before its first byte")

    async def all_blocks() -> AsyncIterator[bytes]:
        while first:
            yield first.pop(0)
        async for block in blocks:
            yield block

    return all_blocks(), "" if format_is_known else guess_format_of_bytes(b"".join(first), STANDARD_INPUT)


def _image_name(path: str) -> str:
    """Make the name of an image of the name of a file. Bytes that are not UTF-8 are replaced, as JSON needs it."""
    return os.fsencode(os.path.basename(path)).decode("utf-8", "replace")


async def _create_or_take(client: ImageClient, fields: Fields, image_id: str | None) -> ImageView:
    try:
        return await client.create(**fields)
    except RequestRefused as refusal:
        if refusal.status != 409 or image_id is None:
            raise
        try:
            image = await client.show(image_id)
        except RequestRefused:
            raise refusal from None
        if image.status != "queued":
            raise
        return image
