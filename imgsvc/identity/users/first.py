"""Makes the first user, at a start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imgsvc.identity.users.accounts import Accounts
from imgsvc.identity.users.editing import add_user
from imgsvc.identity.users.file import change_accounts, read_accounts
from imgsvc.identity.users.passwords import check_new_password, hash_password

__all__ = ["make_first_user"]

PROJECT = "admin"


def make_first_user(path: Path, name: str, ask: Callable[[], str]) -> bool:
    """Add an administrator, unless there are users already. Blocks. Returns whether the user was added.

    path: of the file with the users. ask: returns the password.

    Raises Invalid: the name or the password. Raises ConfigurationError: the file.
    """
    if path.exists() and read_accounts(path).users:
        return False
    projects = {PROJECT: ("admin",)}
    add_user(Accounts(), name, "", projects)  # refuse a wrong name before the password is asked for
    hashed = hash_password(check_new_password(ask()))
    change_accounts(path, lambda accounts: add_user(accounts, name, hashed, projects))
    return True
