"""Reads the credentials of HTTP Basic (RFC 7617)."""

from __future__ import annotations

import base64
from binascii import Error as NotBase64
from typing import Final

from attrs import field, frozen
from twisted.web.http_headers import Headers

from imgsvc.errors import Unauthenticated
from imgsvc.identity.users.accounts import LONGEST_NAME, normal

__all__ = ["CHALLENGE", "Credentials", "read_credentials"]

CHALLENGE: Final = 'Basic realm="imgsvc", charset="UTF-8"'
"""The value of WWW-Authenticate (RFC 7617, section 2.1)."""


@frozen
class Credentials:
    """The name and the password of a request, in their normal form."""

    name: str
    password: str = field(repr=False)


def read_credentials(headers: Headers) -> Credentials:
    """The credentials of a request. Raises Unauthenticated: there are none, or they are malformed."""
    values = headers.getRawHeaders(b"authorization") or []
    if not values:
        raise Unauthenticated(
            "The request carries no credentials: send a user and a password by HTTP Basic, or a token."
        )
    scheme, _, text = values[0].strip().partition(b" ")
    if len(values) > 1 or scheme.lower() != b"basic":
        raise Unauthenticated("The header Authorization must be given once, and with the scheme Basic.")
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (NotBase64, UnicodeDecodeError):
        raise Unauthenticated("The credentials of HTTP Basic must be user:password in UTF-8, in Base64.") from None
    if not colon or len(name) > LONGEST_NAME:
        raise Unauthenticated(f"The credentials must be user:password, with at most {LONGEST_NAME} characters of user.")
    return Credentials(normal(name), normal(password))
