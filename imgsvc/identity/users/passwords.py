"""Hashes passwords with bcrypt, and compares them with hashes. Both take tenths of a second: call them in a thread."""

from __future__ import annotations

from typing import BinaryIO, Final

import bcrypt

from imgsvc.errors import Invalid
from imgsvc.identity.users.accounts import normal

__all__ = ["LONGEST", "SHORTEST", "check_new_password", "hash_password", "is_password", "read_password"]

COST: Final = 12
"""The cost of new hashes, as a power of 2."""

SHORTEST: Final = 8
"""Characters of a new password, at least."""

LONGEST_LINE: Final = 4096
"""Bytes that are read of a line with a password."""

LONGEST: Final = 72
"""Bytes. bcrypt does not look at further ones."""


def check_new_password(password: str) -> str:
    """The normal form of a new password. Raises Invalid, without the password in the message."""
    password = normal(password)
    if len(password) < SHORTEST:
        raise Invalid(f"The password is too short: it must have at least {SHORTEST} characters.")
    if len(password.encode()) > LONGEST:
        raise Invalid(f"The password is too long: it may have at most {LONGEST} bytes in UTF-8.")
    if not password.isprintable():
        raise Invalid("The password has characters that cannot be printed.")
    return password


def read_password(stream: BinaryIO) -> str:
    """Read a password from the first line of a stream. Raises Invalid: it is not UTF-8."""
    try:
        return stream.readline(LONGEST_LINE).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Invalid("The password is not UTF-8.") from None


def hash_password(password: str, cost: int = COST) -> str:
    """The bcrypt hash of a checked password, with a new salt."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode("ascii")


def is_password(password: str, hashed: str) -> bool:
    """Whether a password has this bcrypt hash. It takes the same time for all passwords."""
    data = password.encode()
    same = bcrypt.checkpw(data[:LONGEST], hashed.encode("ascii"))
    return same and len(data) <= LONGEST
