"""`imgsvc download`."""

from __future__ import annotations

import os
import sys

import click
from twisted.internet.defer import CancelledError

from imgsvc.client.command.descriptors import write_to_descriptor
from imgsvc.client.command.progress import format_size
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.downloads import CONNECTIONS
from imgsvc.client.errors import ImageChanged, LocalFileError, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.partial import part_path
from imgsvc.client.view import ImageView


@click.command()
@click.argument("id_or_name")
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True),
    help="The file, or a folder for it; - is standard output. Default: ID.DISK_FORMAT in this folder.",
)
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
        algorithm, target = await client.stream(image, write, progress=progress), "standard output"
    else:
        target = _target(output, image)
        if resume and os.path.isfile(target):
            algorithm = await client.verify(image, target, progress=progress)
            progress.end()
            if algorithm:
                size = format_size(image.size or 0)
                say(f"Image {image.id} is in {target} already: {size}, {algorithm} matches. Nothing was fetched.")
                return 0
        algorithm = await _to_file(tools, image, target, resume, connections)
    progress.end()
    verified = f"{algorithm} matches" if algorithm else "not verified, because the server gives no digest"
    say(f"Image {image.id} is in {target}: {format_size(image.size or 0)}, {verified}.")
    return 0


async def _to_file(tools: Tools, image: ImageView, target: str, resume: bool, connections: int) -> str | None:
    try:
        return await tools.client.download(
            image, target, connections=connections, resume=resume, progress=tools.progress
        )
    except (TransferInterrupted, RequestRefused, Unreachable, LocalFileError, CancelledError) as problem:
        tools.reporter.problem(problem)
        if os.path.exists(part_path(target)) and not isinstance(problem, ImageChanged):
            say(f"What has arrived is kept as {part_path(target)}; go on with --continue -o {target}.")
        raise


def _target(output: str | None, image: ImageView) -> str:
    """Get the path of the file. Raises LocalFileError if the path ends with a slash but there is no such folder."""
    if output is None:
        return _file_name(image)
    if os.path.isdir(output):
        return os.path.join(output, _file_name(image))
    if not os.path.basename(output):
        raise LocalFileError(output, "there is no such folder")
    return output


def _file_name(image: ImageView) -> str:
    """Make a file name of what the server says, without characters that could lead to another folder."""
    parts = [image.id] + ([image.disk_format] if image.disk_format else [])
    return ".".join("".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in part) for part in parts)
