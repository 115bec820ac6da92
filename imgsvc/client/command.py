"""The `imgsvc` command: upload, download, list, show, delete, stores; and update."""

from __future__ import annotations

import json
import os
import sys
from itertools import count
from typing import Any, Final, NoReturn

import click
from twisted.internet.defer import CancelledError, Deferred

from imgsvc import __version__
from imgsvc.client import arguments
from imgsvc.client.answers import printable
from imgsvc.client.api import ImageClient
from imgsvc.client.downloads import CONNECTIONS
from imgsvc.client.errors import (
    Broken,
    ClientError,
    ImageChanged,
    LocalFileError,
    Refused,
    Unreachable,
)
from imgsvc.client.inspection import guess_disk_format
from imgsvc.client.output import write_to_descriptor
from imgsvc.client.partial import part_path
from imgsvc.client.progress import format_size
from imgsvc.client.running import REFUSED, Settings, Tools, run, say
from imgsvc.client.session import check_endpoint
from imgsvc.client.updating import update
from imgsvc.client.view import ImageView
from imgsvc.model import Visibility

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:9292"
CLEANUP_LIMIT: Final = 10.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--endpoint",
    envvar=["IMGSVC_ENDPOINT", "OS_IMAGE_ENDPOINT", "OS_ENDPOINT"],
    default=DEFAULT_ENDPOINT,
    show_default=True,
    help="URL of the Image API.",
)
@click.option("--token", envvar=["IMGSVC_TOKEN", "OS_TOKEN"], help="Sent as X-Auth-Token.")
@click.option(
    "--header", "-H", "headers", multiple=True, callback=arguments.headers, help="A header, as 'NAME: VALUE'."
)
@click.option("--user", envvar="IMGSVC_USER", help="For HTTP Basic; the password is taken from IMGSVC_PASSWORD.")
@click.version_option(__version__)
@click.pass_context
def main(context: click.Context, endpoint: str, token: str | None, headers: dict[str, str], user: str | None) -> None:
    """Keep disk images on a server that speaks the OpenStack Image API v2.

    \b
    Exit codes:
      0  done
      1  the server refused
      2  the command line is wrong
      3  the server cannot be reached, or is no Image API
      4  the bytes do not match the image's size or digest
      5  interrupted or broken off; may be tried again, a download with --continue
      6  a local file cannot be read or written
    """
    try:
        check_endpoint(endpoint)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--endpoint") from error
    auth = (user, os.environ.get("IMGSVC_PASSWORD", "")) if user else None
    context.obj = Settings(endpoint, token, headers, auth)


main.add_command(update)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--name", help="Default: the file's name.")
@click.option("--disk-format", help="raw, qcow2, vmdk, ... Default: what the file looks like.")
@click.option("--container-format", default="bare", show_default=True)
@click.option(
    "--property", "properties", multiple=True, callback=arguments.properties, help="A custom property, as KEY=VALUE."
)
@click.option("--tag", "tags", multiple=True)
@click.option("--visibility", type=click.Choice([str(each) for each in Visibility]))
@click.option("--min-disk", type=click.IntRange(min=0), help="GiB.")
@click.option("--min-ram", type=click.IntRange(min=0), help="MiB.")
@click.option("--store", help="Where to put it. Default: the server's default store.")
@click.option("--id", "image_id", help="The id of the image. One that exists and has no data yet is taken.")
@click.option("--protected", is_flag=True, help="The image cannot be deleted.")
@click.option("--keep", is_flag=True, help="Do not delete the new image when its upload fails.")
@click.pass_obj
def upload(settings: Settings, /, file: str, **options: Any) -> None:
    """Make an image of FILE and print its id."""
    run(settings, lambda tools: _upload(tools, file, **options))


async def _upload(
    tools: Tools,
    file: str,
    *,
    name: str | None,
    disk_format: str | None,
    properties: dict[str, str],
    tags: tuple[str, ...],
    store: str | None,
    image_id: str | None,
    protected: bool,
    keep: bool,
    **options: Any,
) -> int:
    fields = {key: value for key, value in options.items() if value is not None}
    fields["name"] = _image_name(file) if name is None else name
    fields["disk_format"] = disk_format or guess_disk_format(file)
    if protected:
        fields["protected"] = True
    fields |= properties | ({"tags": list(tags)} if tags else {}) | ({"id": image_id} if image_id else {})
    client = tools.client
    image = await _create_or_take(client, fields, image_id)
    try:
        image = await client.upload(image.id, file, store=store, progress=tools.progress)
    except (ClientError, CancelledError):
        tools.progress.end()
        if keep or image_id:
            say(f"Image {image.id} stays; upload again with --id {image.id}.")
        else:
            await _take_back(tools, image.id, protected)
        raise
    tools.progress.end()
    say(f"Image {image.id} is {image.status}: {format_size(image.size or 0)}, {image.disk_format}, verified.")
    click.echo(image.id)
    return 0


def _image_name(path: str) -> str:
    """A file's own name; what of it is not UTF-8 is marked, for JSON has no such text."""
    return os.fsencode(os.path.basename(path)).decode("utf-8", "replace")


async def _create_or_take(client: ImageClient, fields: dict[str, Any], image_id: str | None) -> ImageView:
    try:
        return await client.create(**fields)
    except Refused as refusal:
        if refusal.status != 409 or image_id is None:
            raise
        try:
            image = await client.show(image_id)
        except Refused:
            raise refusal from None
        if image.status != "queued":
            raise
        return image


async def _take_back(tools: Tools, image_id: str, protected: bool) -> None:
    async def delete() -> None:
        if protected:
            await tools.client.update(image_id, protected=False)
        await tools.client.delete(image_id)

    deleting = Deferred.fromCoroutine(delete())
    deleting.addTimeout(CLEANUP_LIMIT, tools.reactor, onTimeoutCancel=_not_in_time)
    try:
        await deleting
    except ClientError as error:
        say(f"Image {image_id}, which was made for this upload, could not be deleted: {error}")
    else:
        say(f"Image {image_id}, which was made for this upload, was deleted again.")


def _not_in_time(result: object, limit: float) -> NoReturn:
    raise Broken(f"no answer within {limit:.0f} seconds.")


@main.command()
@click.argument("id_or_name")
@click.option("--output", "-o", help="The file; - is standard output. Default: ID.DISK_FORMAT in this folder.")
@click.option("--continue", "resume", is_flag=True, help="Go on with what an earlier download left in FILE.part.")
@click.option("--connections", type=click.IntRange(1, 64), default=CONNECTIONS, show_default=True)
@click.pass_obj
def download(settings: Settings, id_or_name: str, output: str | None, resume: bool, connections: int) -> None:
    """Get the data of an image, verified against its digest."""
    if output == "-" and resume:
        raise click.UsageError("--continue needs a file.")
    run(settings, lambda tools: _download(tools, id_or_name, output, resume, connections))


async def _download(tools: Tools, id_or_name: str, output: str | None, resume: bool, connections: int) -> int:
    client, progress = tools.client, tools.progress
    image = await client.find(id_or_name)
    if output == "-":
        if sys.stdout is None:
            raise LocalFileError("standard output", "closed")
        write = write_to_descriptor(tools.reactor, sys.stdout.fileno())
        algorithm = await client.stream(image, write, progress=progress)
        target = "standard output"
    else:
        target = output or _file_name(image)
        try:
            algorithm = await client.download(image, target, connections=connections, resume=resume, progress=progress)
        except (Broken, Unreachable, LocalFileError, CancelledError) as error:
            progress.end()
            if os.path.exists(part_path(target)) and not isinstance(error, ImageChanged):
                say(f"What has arrived is kept as {part_path(target)}; go on with --continue -o {target}.")
            raise
    progress.end()
    verified = f"{algorithm} matches" if algorithm else "not verified, for the server gives no digest"
    say(f"Image {image.id} is in {target}: {format_size(image.size or 0)}, {verified}.")
    return 0


def _file_name(image: ImageView) -> str:
    """A name made of what the server says, but without anything that would lead to another folder."""
    parts = [image.id] + ([image.disk_format] if image.disk_format else [])
    return ".".join("".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in part) for part in parts)


@main.command("list")
@click.option("--name")
@click.option("--status")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many images. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_images(settings: Settings, /, limit: int | None, as_json: bool, **filters: str | None) -> None:
    """List images, the newest first."""
    given = {key: value for key, value in filters.items() if value is not None}
    run(settings, lambda tools: _list(tools, limit, as_json, given))


async def _list(tools: Tools, limit: int | None, as_json: bool, filters: dict[str, str]) -> int:
    shown = count(1)
    first = True
    async for image in tools.client.images(page_size=min(limit, 1000) if limit else None, **filters):
        if as_json:
            click.echo(("[\n" if first else ",\n") + json.dumps(dict(image.document), ensure_ascii=False), nl=False)
        else:
            if first:
                click.echo(f"{'ID':36}  {'STATUS':11}  {'SIZE':>8}  {'FORMAT':6}  NAME")
            size = "-" if image.size is None else format_size(image.size)
            name = printable(image.name or "-")
            click.echo(f"{image.id:36}  {image.status:11}  {size:>8}  {image.disk_format or '-':6}  {name}")
        first = False
        if next(shown) == limit:
            break
    if as_json:
        click.echo("[]" if first else "\n]")
    return 0


@main.command()
@click.argument("id_or_name")
@click.option("--json", "as_json", is_flag=True)
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


@main.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def delete(settings: Settings, ids: tuple[str, ...]) -> None:
    """Delete images and their data. Goes on when one of them is refused."""
    run(settings, lambda tools: _delete(tools, ids))


async def _delete(tools: Tools, ids: tuple[str, ...]) -> int:
    refusals = 0
    for image_id in ids:
        try:
            await tools.client.delete(image_id)
        except Refused as refusal:
            say(f"Image {image_id} was not deleted. {refusal}")
            refusals += 1
    return REFUSED if refusals else 0


@main.command()
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
        text = [printable(str(store["id"])), *marks, printable(str(store.get("description") or ""))]
        click.echo("  ".join(part for part in text if part))
    return 0
