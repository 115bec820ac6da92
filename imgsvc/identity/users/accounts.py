"""Users, their roles in projects and their tokens, and the JSON document that has them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, field, frozen

from imgsvc.errors import Invalid

__all__ = ["LONGEST_NAME", "Accounts", "Token", "User", "check_name", "normal"]

LONGEST_NAME: Final = 255
"""Characters of the name of a user, project or role. The catalogue stores no longer ones."""

HIGHEST_COST: Final = 16
"""The check of one password at this cost of bcrypt takes some seconds."""

_HASH: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@frozen
class Token:
    """A token of a user. The token itself is not kept.

    token_id: names it; a part of the token. digest: SHA-256 of the token, in hex. project_id: the project of its
    requests. created_at, expires_at: in seconds since 1970. note: what its user says of it.
    """

    token_id: str
    digest: str = field(repr=False)
    project_id: str
    created_at: int
    expires_at: int
    note: str = ""


@frozen
class User:
    """A user. password: its bcrypt hash. projects: the roles by project; the first project is the default one.

    tokens: by their ids.
    """

    name: str
    password: str = field(repr=False)
    projects: Mapping[str, tuple[str, ...]]
    tokens: Mapping[str, Token] = field(factory=dict)


@frozen
class Accounts:
    """All users, by name."""

    users: Mapping[str, User] = field(factory=dict)

    def owner_of(self, token_id: str) -> User | None:
        """The user who has the token with this id."""
        return self._owners.get(token_id)

    _owners: Mapping[str, User] = field(init=False, repr=False, eq=False)

    @_owners.default
    def _find_owners(self) -> Mapping[str, User]:
        return {token_id: user for user in self.users.values() for token_id in user.tokens}

    def with_user(self, user: User) -> Accounts:
        """The same accounts with a new or changed user."""
        return Accounts({**self.users, user.name: user})

    def without_user(self, name: str) -> Accounts:
        """The same accounts without one user."""
        return Accounts({key: user for key, user in self.users.items() if key != name})

    def without_expired(self, now: float) -> Accounts:
        """The same accounts without the tokens that have expired. now: in seconds since 1970."""
        return Accounts(
            {
                name: evolve(user, tokens={key: each for key, each in user.tokens.items() if each.expires_at > now})
                for name, user in self.users.items()
            }
        )

    def to_json(self) -> str:
        """The document of the file."""
        users = {
            user.name: {
                "password": user.password,
                "projects": {project: list(roles) for project, roles in user.projects.items()},
                "tokens": {
                    token.token_id: {
                        "sha256": token.digest,
                        "project": token.project_id,
                        "created_at": token.created_at,
                        "expires_at": token.expires_at,
                        "note": token.note,
                    }
                    for token in user.tokens.values()
                },
            }
            for user in self.users.values()
        }
        return json.dumps({"users": users}, ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Accounts:
        """Read the document. Raises ValueError, whose text has no hash in it."""
        document = _members(json.loads(text), "the document", "users")
        users = (_user(name, value) for name, value in _mapping(document["users"], "users").items())
        return Accounts({user.name: user for user in users})


def normal(text: str) -> str:
    """A name or password in the form in which it is compared (RFC 7617, section 2.1: Normalization Form C)."""
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1024)
def check_name(kind: str, name: str) -> str:
    """The normal form of the name of a user, project or role. kind: which of these. Raises Invalid.

    HTTP Basic cannot carry a user name with a colon (RFC 7617, section 2).
    """
    name = normal(name)
    is_clean = name.isprintable() and name == name.strip() and not any(mark in name for mark in ":=,")
    if not 0 < len(name) <= LONGEST_NAME or not is_clean:
        raise Invalid(
            f"{name!r} cannot be the name of a {kind}: it must have 1 to {LONGEST_NAME} printable characters,"
            " without ':', '=' and ',', and no blank at its ends."
        )
    return name


# --- reading


def _user(name: str, value: object) -> User:
    where = f"users.{name}"
    members = _members(value, where, "password", "projects", "tokens")
    password = members["password"]
    match = _HASH.fullmatch(password) if isinstance(password, str) else None
    if match is None or not 4 <= int(match[1]) <= HIGHEST_COST:
        raise ValueError(f"{where}.password is not a bcrypt hash of a cost up to {HIGHEST_COST}")
    projects = {
        _name("project", project, where): tuple(_name("role", role, where) for role in _list(roles, where))
        for project, roles in _mapping(members["projects"], f"{where}.projects").items()
    }
    tokens = _mapping(members["tokens"], f"{where}.tokens")
    return User(
        _name("user", name, where),
        members["password"],
        projects,
        {key: _token(key, value, f"{where}.tokens.{key}") for key, value in tokens.items()},
    )


def _token(token_id: str, value: object, where: str) -> Token:
    members = _members(value, where, "sha256", "project", "created_at", "expires_at", "note")
    digest, note = members["sha256"], members["note"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(note, str):
        raise ValueError(f"{where}: sha256 must be 64 hex digits, and note a string")
    if not all(type(members[key]) is int for key in ("created_at", "expires_at")):
        raise ValueError(f"{where}: created_at and expires_at must be integers")
    return Token(
        token_id,
        digest,
        _name("project", members["project"], where),
        members["created_at"],
        members["expires_at"],
        note,
    )


def _name(kind: str, name: object, where: str) -> str:
    try:
        if isinstance(name, str) and check_name(kind, name) == name:
            return name
    except Invalid as error:
        raise ValueError(f"{where}: {error}") from None
    raise ValueError(f"{where}: {name!r} cannot be the name of a {kind}")


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: the roles in a project must be a list")
    return value


def _members(value: object, where: str, *names: str) -> dict[str, Any]:
    """The members of an object that must have exactly these."""
    members = _mapping(value, where)
    if set(members) != set(names):
        raise ValueError(f"{where} must have the members {', '.join(names)}")
    return members
