"""`imgsvc delete`, `deactivate` and `reactivate`: commands that take several images."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import click

from imgsvc.client.command.running import REFUSED, Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.errors import AmbiguousName, ClientError, NoSuchImage, RequestRefused
from imgsvc.client.view import ImageView

images_argument = click.argument("images", metavar="ID_OR_NAME...", nargs=-1, required=True)


def title(image: ImageView) -> str:
    """Name an image in messages: its id, and its name if it has one."""
    return f"{image.id} ({image.name})" if image.name else image.id


async def each(names: Sequence[str], act: Callable[[str], Awaitable[None]], not_done: str) -> int:
    """Do something for each of several names, and go on when the server refuses one.

    names: strings. act: a function that does it for one name and says so. not_done: the message for a refusal, with
    `{}` for the name; the reason follows.

    After a 401, which means that the server does not know who asks, the rest is not tried. Returns the exit code.
    """
    refusals = 0
    for name in names:
        try:
            await act(name)
        except (NoSuchImage, AmbiguousName, RequestRefused) as refusal:
            if is_final(refusal):
                raise
            say(f"{not_done.format(name)} {refusal}")
            refusals += 1
    return REFUSED if refusals else 0


def is_final(refusal: ClientError) -> bool:
    """Whether the server will refuse everything else too."""
    return isinstance(refusal, RequestRefused) and refusal.status == 401


@click.command()
@images_argument
@click.pass_obj
def delete(settings: Settings, images: tuple[str, ...]) -> None:
    """Delete images and their data. Goes on when one of them is refused."""

    async def work(tools: Tools) -> int:
        async def act(name: str) -> None:
            image = await tools.client.find(name)
            await tools.client.delete(image.id)
            say(f"Image {title(image)} was deleted.")

        return await each(images, act, "Image {} was not deleted.")

    run(settings, work)


@click.command()
@images_argument
@click.pass_obj
def deactivate(settings: Settings, images: tuple[str, ...]) -> None:
    """Withhold the data of images from all but administrators, until they are reactivated."""

    async def work(tools: Tools) -> int:
        async def act(name: str) -> None:
            image = await tools.client.find(name)
            await tools.client.deactivate(image.id)
            say(f"Image {title(image)} is deactivated.")

        return await each(images, act, "Image {} was not deactivated.")

    run(settings, work)


@click.command()
@images_argument
@click.pass_obj
def reactivate(settings: Settings, images: tuple[str, ...]) -> None:
    """Let the data of deactivated images be downloaded again."""

    async def work(tools: Tools) -> int:
        async def act(name: str) -> None:
            image = await tools.client.find(name)
            await tools.client.reactivate(image.id)
            say(f"Image {title(image)} is active.")

        return await each(images, act, "Image {} was not reactivated.")

    run(settings, work)
