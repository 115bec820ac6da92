"""What is done to several images, one after the other: `delete`, `deactivate`, `reactivate`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import click

from imgsvc.client.command.running import REFUSED, Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.errors import AmbiguousName, ClientError, NoSuchImage, RequestRefused
from imgsvc.client.view import ImageView

images_argument = click.argument("images", metavar="ID_OR_NAME...", nargs=-1, required=True)


def title(image: ImageView) -> str:
    """What an image is called in messages: its id, and its name if it has one."""
    return f"{image.id} ({image.name})" if image.name else image.id


async def each(names: Sequence[str], act: Callable[[str], Awaitable[None]], not_done: str) -> int:
    """Do something for each of `names`, going on when one is refused; the exit code.

    act: what is done; it says what was done. not_done: a message, with `{}` for the name, that is followed by the
    reason. A server that does not know who asks (401) is not asked again.
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
    """Whether everything else will be refused, too."""
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
    """Give the data of deactivated images again."""

    async def work(tools: Tools) -> int:
        async def act(name: str) -> None:
            image = await tools.client.find(name)
            await tools.client.reactivate(image.id)
            say(f"Image {title(image)} is active.")

        return await each(images, act, "Image {} was not reactivated.")

    run(settings, work)
