"""`imgsvc-admin user`: the users of mode `users`, their projects, roles and tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import Final, TypeVar

import click

from imgsvc.admin.setting import Setting
from imgsvc.errors import Invalid
from imgsvc.identity.users.accounts import Accounts, check_name
from imgsvc.identity.users.editing import (
    add_token,
    add_user,
    parse_projects,
    remove_token,
    remove_user,
    replace_user,
    user_of,
)
from imgsvc.identity.users.file import change_accounts, read_accounts
from imgsvc.identity.users.passwords import check_new_password, hash_password, read_password
from imgsvc.identity.users.tokens import make_token

__all__ = ["user"]

DAY: Final = 86400
LONGEST_LIFE: Final = 3650
LONGEST_NOTE: Final = 255

F = TypeVar("F", bound=Callable[..., object])


def projects_option(required: bool) -> Callable[[F], F]:
    """The option --project."""
    return click.option(
        "--project",
        "-p",
        "projects",
        multiple=True,
        required=required,
        metavar="PROJECT[=ROLE,...]",
        help="A project, and the roles in it; `member` if none is given. May be repeated; the first is the default.",
    )


stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of standard input."
)


@click.group()
def user() -> None:
    """Users of identity.mode = "users". A running daemon takes up changes within about a second."""


@user.command("add")
@click.argument("name")
@projects_option(required=True)
@stdin_option
@click.pass_obj
def add(setting: Setting, name: str, projects: tuple[str, ...], password_stdin: bool) -> None:
    """Add the user NAME, and ask for the password.

    The role `admin` in any project makes an administrator of the whole server; `member` may create and change images of
    the project, `reader` may list and show them.
    """
    granted = parse_projects(projects)
    if _path(setting).exists():
        add_user(read_accounts(_path(setting)), name, "", granted)  # refuse before the password is asked for
    else:
        check_name("user", name)
    hashed = hash_password(_new_password(password_stdin))
    _change(setting, partial(add_user, name=name, password=hashed, projects=granted))
    if setting.config.identity.mode != "users":
        click.echo(
            "Saved. Users have an effect only with identity.mode = 'users' or with --first-user of twistd.", err=True
        )


@user.command("list")
@click.pass_obj
def list_users(setting: Setting) -> None:
    """Show the users: name, projects with roles, number of tokens."""
    for each in _accounts(setting).users.values():
        projects = " ".join(f"{project}={','.join(roles)}" for project, roles in each.projects.items())
        click.echo(f"{each.name}\t{projects}\t{len(each.tokens)}")


@user.command("set")
@click.argument("name")
@projects_option(required=True)
@click.pass_obj
def set_projects(setting: Setting, name: str, projects: tuple[str, ...]) -> None:
    """Replace all projects and roles of the user NAME."""
    _change(setting, partial(replace_user, name=name, projects=parse_projects(projects)))


@user.command("passwd")
@click.argument("name")
@stdin_option
@click.pass_obj
def change_password(setting: Setting, name: str, password_stdin: bool) -> None:
    """Change the password of the user NAME. The user's tokens stay."""
    user_of(_accounts(setting), name)
    hashed = hash_password(_new_password(password_stdin))
    _change(setting, partial(replace_user, name=name, password=hashed))


@user.command("remove")
@click.argument("name")
@click.pass_obj
def remove(setting: Setting, name: str) -> None:
    """Remove the user NAME and the user's tokens. Images stay with their projects."""
    _change(setting, partial(remove_user, name=name))


@user.group()
def token() -> None:
    """Tokens of users, for scripts: sent as X-Auth-Token."""


@token.command("add")
@click.argument("name")
@click.option("--project", "-p", help="The project of its requests. By default the first one of the user.")
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_LIFE),
    default=90,
    show_default=True,
    help="How long the token is valid.",
)
@click.option("--note", default="", help="What the token is for.")
@click.pass_obj
def new_token(setting: Setting, name: str, project: str | None, days: int, note: str) -> None:
    """Make a token for the user NAME, and print it. It cannot be shown again: the server keeps a hash of it only."""
    if len(note) > LONGEST_NOTE or not note.isprintable():
        raise Invalid(f"--note must have at most {LONGEST_NOTE} printable characters.")
    owner = user_of(_accounts(setting), name)
    chosen = next(iter(owner.projects), "") if project is None else check_name("project", project)
    made = make_token(chosen, int(time()), days * DAY, note)
    _change(setting, partial(add_token, name=name, token=made.record))
    click.echo(made.text)


@token.command("list")
@click.argument("name", required=False)
@click.pass_obj
def list_tokens(setting: Setting, name: str | None) -> None:
    """Show the tokens of the user NAME, or of all users: id, user, project, end, note. The tokens are not shown."""
    accounts = _accounts(setting)
    for each in accounts.users.values() if name is None else [user_of(accounts, name)]:
        for one in each.tokens.values():
            end = datetime.fromtimestamp(one.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            state = "" if one.expires_at > time() else " (expired)"
            click.echo(f"{one.token_id}\t{each.name}\t{one.project_id}\t{end}{state}\t{one.note}")


@token.command("remove")
@click.argument("token_id", metavar="ID")
@click.pass_obj
def end_token(setting: Setting, token_id: str) -> None:
    """Make the token with this ID invalid."""
    _change(setting, partial(remove_token, token_id=token_id))


def _path(setting: Setting) -> Path:
    return setting.data_folder / setting.config.identity.users.file


def _accounts(setting: Setting) -> Accounts:
    """The users; none if there is no file yet."""
    path = _path(setting)
    return read_accounts(path) if path.exists() else Accounts()


def _change(setting: Setting, change: Callable[[Accounts], Accounts]) -> None:
    """Change the file. Tokens that have expired are removed at the same time."""
    change_accounts(_path(setting), lambda accounts: change(accounts).without_expired(time()))


def _new_password(from_stdin: bool) -> str:
    """Ask for a new password, twice, or read it. Raises Invalid."""
    if not from_stdin:
        if not sys.stdin.isatty():
            raise Invalid("There is no terminal to ask for the password: use --password-stdin.")
        return check_new_password(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return check_new_password(read_password(sys.stdin.buffer))
