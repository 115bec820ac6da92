"""Tokens of users: what they look like, and how they are compared."""

from __future__ import annotations

import hashlib
import re
import secrets
from hmac import compare_digest
from typing import Final

from attrs import field, frozen

from imgsvc.identity.users.accounts import Accounts, Token, User

__all__ = ["NewToken", "find_token", "make_token"]

_TOKEN: Final = re.compile(r"imgsvc_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_NO_DIGEST: Final = "0" * 64


@frozen
class NewToken:
    """A token that was just made. text: for its user; it is not kept. record: for the file."""

    text: str = field(repr=False)
    record: Token


def make_token(project_id: str, now: int, lifetime: int, note: str = "") -> NewToken:
    """Make a random token for the requests of one project. now: in seconds since 1970. lifetime: in seconds."""
    token_id = secrets.token_hex(8)
    text = f"imgsvc_{token_id}_{secrets.token_urlsafe(32)}"
    return NewToken(text, Token(token_id, _digest_of(text), project_id, now, now + lifetime, note))


def find_token(accounts: Accounts, text: str, now: float) -> tuple[User, Token] | None:
    """The user who has a token, and its record; None: there is no such token, or it has expired.

    text: what a client has sent. now: in seconds since 1970. The time it takes does not depend on the secret part.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    user = accounts.owner_of(match[1])
    token = user.tokens[match[1]] if user is not None else None
    same = compare_digest(_digest_of(text), _NO_DIGEST if token is None else token.digest)
    return (user, token) if user and token and same and now < token.expires_at else None


def _digest_of(text: str) -> str:
    """SHA-256 of a token, in hex. A token has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
