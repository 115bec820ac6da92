"""The changes of accounts that an operator makes. Each is a pure function: accounts -> accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from imgsvc.errors import Conflict, Invalid, NotFound
from imgsvc.identity.users.accounts import Accounts, Token, User, check_name

__all__ = ["add_token", "add_user", "parse_projects", "remove_token", "remove_user", "replace_user", "user_of"]


def parse_projects(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Roles by project, from texts such as `blue=member,reader`. Without roles, `blue` means `blue=member`.

    The order is kept. Raises Invalid.
    """
    projects: dict[str, tuple[str, ...]] = {}
    for text in texts:
        project, _, roles = text.partition("=")
        project = check_name("project", project)
        if project in projects:
            raise Invalid(f"The project {project!r} was given twice.")
        names = (check_name("role", role.strip().lower()) for role in (roles or "member").split(","))
        projects[project] = tuple(dict.fromkeys(names))
    return projects


def user_of(accounts: Accounts, name: str) -> User:
    """A user. Raises NotFound."""
    try:
        return accounts.users[check_name("user", name)]
    except KeyError:
        raise NotFound(f"There is no user {name!r}.") from None


def add_user(accounts: Accounts, name: str, password: str, projects: Mapping[str, tuple[str, ...]]) -> Accounts:
    """Add a user. password: its bcrypt hash. Raises Conflict: the name is taken. Raises Invalid."""
    name = check_name("user", name)
    if name in accounts.users:
        raise Conflict(f"There is a user {name!r} already.")
    return accounts.with_user(User(name, password, projects))


def replace_user(
    accounts: Accounts,
    name: str,
    *,
    password: str | None = None,
    projects: Mapping[str, tuple[str, ...]] | None = None,
) -> Accounts:
    """Give a user another bcrypt hash or other projects. None: no change. Raises NotFound."""
    user = user_of(accounts, name)
    return accounts.with_user(
        evolve(
            user,
            password=user.password if password is None else password,
            projects=user.projects if projects is None else projects,
        )
    )


def remove_user(accounts: Accounts, name: str) -> Accounts:
    """Remove a user and the user's tokens. Raises NotFound."""
    return accounts.without_user(user_of(accounts, name).name)


def add_token(accounts: Accounts, name: str, token: Token) -> Accounts:
    """Give a user a token. Raises NotFound; Invalid: the user has no role in the project of the token."""
    user = user_of(accounts, name)
    if token.project_id not in user.projects:
        known = ", ".join(user.projects)
        raise Invalid(f"The user {user.name!r} has no role in the project {token.project_id!r}: has roles in {known}.")
    return accounts.with_user(evolve(user, tokens={**user.tokens, token.token_id: token}))


def remove_token(accounts: Accounts, token_id: str) -> Accounts:
    """Remove a token. Raises NotFound."""
    user = accounts.owner_of(token_id)
    if user is None:
        raise NotFound(f"There is no token {token_id!r}.")
    return accounts.with_user(
        evolve(user, tokens={key: token for key, token in user.tokens.items() if key != token_id})
    )
