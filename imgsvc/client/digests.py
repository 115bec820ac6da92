"""Chooses the digest of an image that is checked, and computes digests."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import frozen

from imgsvc.client.view import ImageView

MD5: Final = "md5"
SHA512: Final = "sha512"
DIGEST_FIELDS: Final = {"sha256": "sha-256", "sha512": "sha-512"}
"""Names of digests in hashlib, and in Repr-Digest (RFC 9530, section 5)."""


@frozen
class ExpectedDigest:
    """The digest that the data must have. algorithm: hashlib's name. value: a hex string in lower case."""

    algorithm: str
    value: str


def new_digest(algorithm: str) -> Any:
    """Make a hashlib object. algorithm: hashlib's name. Raises ValueError if hashlib does not know it."""
    return hashlib.new(algorithm, usedforsecurity=False)


def is_computable(algorithm: str) -> bool:
    """Whether hashlib knows a digest of that name, and its length is fixed."""
    try:
        return bool(new_digest(algorithm).digest_size)
    except ValueError:
        return False


def expected_digest(image: ImageView) -> ExpectedDigest | None:
    """Choose the digest that is checked: `os_hash_value` if hashlib knows its algorithm, else `checksum` (MD5).

    Returns None if the image has neither.
    """
    if image.os_hash_algo and image.os_hash_value and is_computable(image.os_hash_algo):
        return ExpectedDigest(image.os_hash_algo, image.os_hash_value.lower())
    if image.checksum:
        return ExpectedDigest(MD5, image.checksum.lower())
    return None
