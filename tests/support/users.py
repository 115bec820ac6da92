"""Users for tests, with hashes that are made quickly."""

from __future__ import annotations

import base64
import os
import time
from functools import cache
from pathlib import Path

from imgsvc.identity.users.accounts import Accounts, User
from imgsvc.identity.users.file import change_accounts
from imgsvc.identity.users.passwords import hash_password
from imgsvc.identity.users.tokens import NewToken, make_token

__all__ = ["PASSWORD", "a_user", "basic", "quick_hash", "touch_later", "with_token", "write_users"]

PASSWORD = "correct horse"


@cache
def quick_hash(password: str) -> str:
    """A bcrypt hash of the lowest cost."""
    return hash_password(password, 4)


def a_user(name: str, password: str = PASSWORD, **projects: str) -> User:
    """A user with one role in each project."""
    return User(name, quick_hash(password), {project: (role,) for project, role in projects.items()})


def with_token(user: User, project: str, lifetime: int = 3600) -> tuple[User, NewToken]:
    """A user with one token more, and this token."""
    made = make_token(project, int(time.time()), lifetime)
    return User(user.name, user.password, user.projects, {**user.tokens, made.record.token_id: made.record}), made


def write_users(path: Path, *users: User) -> None:
    """Replace all users of a file."""
    change_accounts(path, lambda _: Accounts({user.name: user for user in users}))


def touch_later(path: Path) -> None:
    """Make a file look newer: two writes may have the same time."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
