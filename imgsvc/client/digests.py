"""Which digest of an image can be checked here, and computing it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import frozen

from imgsvc.client.view import ImageView

MD5: Final = "md5"
SHA512: Final = "sha512"
DIGEST_FIELDS: Final = {"sha256": "sha-256", "sha512": "sha-512"}
"""hashlib's name -> the name in Repr-Digest (RFC 9530, section 5)."""


@frozen
class ExpectedDigest:
    """algorithm: hashlib's name. value: lower-case hex."""

    algorithm: str
    value: str


def new_digest(algorithm: str) -> Any:
    """A hashlib object of that name. Raises ValueError for an unknown one."""
    return hashlib.new(algorithm, usedforsecurity=False)


def is_computable(algorithm: str) -> bool:
    """Whether a digest of that name, of fixed length, can be computed here."""
    try:
        return bool(new_digest(algorithm).digest_size)
    except ValueError:
        return False


def expected_digest(image: ImageView) -> ExpectedDigest | None:
    """The strongest digest that the server gives and that can be computed here; None if there is none.

    `os_hash_value` before `checksum` (MD5), as the Image API's other clients do.
    """
    if image.os_hash_algo and image.os_hash_value and is_computable(image.os_hash_algo):
        return ExpectedDigest(image.os_hash_algo, image.os_hash_value.lower())
    if image.checksum:
        return ExpectedDigest(MD5, image.checksum.lower())
    return None
