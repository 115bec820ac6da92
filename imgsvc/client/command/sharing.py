"""`imgsvc share`, `unshare` and `members` for the owner of an image, `accept` and `reject` for other projects."""

from __future__ import annotations

import json

import click

from imgsvc.client.answers import printable
from imgsvc.client.command.running import Tools, run, say
from imgsvc.client.command.settings import Settings
from imgsvc.client.command.several import each, title
from imgsvc.model import MemberStatus

image_argument = click.argument("id_or_name")
projects_argument = click.argument("projects", metavar="PROJECT...", nargs=-1, required=True)
project_option = click.option(
    "--project", envvar="OS_PROJECT_ID", help="Id of the project that answers. Default: the one that the server shows."
)


@click.command()
@image_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def members(settings: Settings, id_or_name: str, as_json: bool) -> None:
    """List the projects that an image is shared with, and their answers."""
    run(settings, lambda tools: _members(tools, id_or_name, as_json))


async def _members(tools: Tools, id_or_name: str, as_json: bool) -> int:
    image = await tools.client.find(id_or_name, member_status="all")
    found = await tools.client.members(image.id)
    if as_json:
        click.echo(json.dumps([dict(member.document) for member in found], indent=2, ensure_ascii=False))
    elif not found:
        say(f"Image {title(image)} is shared with no project.")
    else:
        click.echo(f"{'STATUS':8}  {'SINCE':20}  PROJECT")
        for member in found:
            since = printable(str(member.document.get("updated_at") or "-"))
            click.echo(f"{printable(member.status):8}  {since:20}  {printable(member.project)}")
    return 0


@click.command()
@image_argument
@projects_argument
@click.pass_obj
def share(settings: Settings, id_or_name: str, projects: tuple[str, ...]) -> None:
    """Share an image with projects, which then accept or reject it. Its visibility must be `shared`."""

    async def work(tools: Tools) -> int:
        image = await tools.client.find(id_or_name)

        async def act(project: str) -> None:
            member = await tools.client.share(image.id, project)
            say(f"Image {title(image)} is shared with {member.project}: {member.status}.")

        return await each(projects, act, f"Image {image.id} was not shared with {{}}.")

    run(settings, work)


@click.command()
@image_argument
@projects_argument
@click.pass_obj
def unshare(settings: Settings, id_or_name: str, projects: tuple[str, ...]) -> None:
    """Stop sharing an image with projects."""

    async def work(tools: Tools) -> int:
        image = await tools.client.find(id_or_name)

        async def act(project: str) -> None:
            await tools.client.unshare(image.id, project)
            say(f"Image {title(image)} is shared with {project} no more.")

        return await each(projects, act, f"Image {image.id} stays shared with {{}}.")

    run(settings, work)


@click.command()
@image_argument
@project_option
@click.pass_obj
def accept(settings: Settings, id_or_name: str, project: str | None) -> None:
    """Accept an image that is shared with your project: it is in your lists from then on."""
    run(settings, lambda tools: _answer(tools, id_or_name, project, MemberStatus.ACCEPTED))


@click.command()
@image_argument
@project_option
@click.pass_obj
def reject(settings: Settings, id_or_name: str, project: str | None) -> None:
    """Reject an image that is shared with your project: it is not in your lists."""
    run(settings, lambda tools: _answer(tools, id_or_name, project, MemberStatus.REJECTED))


async def _answer(tools: Tools, id_or_name: str, project: str | None, status: MemberStatus) -> int:
    # Lists leave out images that were not accepted, unless the filter asks for them.
    image = await tools.client.find(id_or_name, member_status="all")
    if project is None:
        found = await tools.client.members(image.id)  # a member sees only itself
        if len(found) != 1:
            projects = ", ".join(member.project for member in found) or "none"
            raise click.UsageError(f"Say with --project who answers; the image is shared with {projects}.")
        project = found[0].project
    member = await tools.client.answer_share(image.id, project, status)
    say(f"Image {title(image)} is {member.status} by {member.project}.")
    return 0
