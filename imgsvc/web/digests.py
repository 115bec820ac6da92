"""Parses the headers with digests of a request's body (RFC 9530, and RFC 1864 before it)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final

from imgsvc.errors import Invalid

ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512"}
"""hashlib's names of the algorithms that RFC 9530 calls active."""

_VALUE: Final = re.compile(r"\s*:([A-Za-z0-9+/]*)={0,2}:\s*(?:;.*)?")
"""A byte sequence of RFC 9651. The padding may be missing. Parameters are ignored."""

_MD5_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_MD5_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}")


def parse_digests(name: str, lines: Iterable[str]) -> dict[str, bytes]:
    """The raw digests of a header such as `Repr-Digest`, by hashlib's name of the algorithm.

    name: of the header. lines: its values. Unknown algorithms are ignored, as RFC 9530 asks. Raises Invalid: the value
    of a known algorithm is not a digest.
    """
    digests: dict[str, bytes] = {}
    for member in ",".join(lines).split(","):
        key, _, value = member.partition("=")
        algorithm = ALGORITHMS.get(key.strip().lower())
        if algorithm is not None:
            digests[algorithm] = _raw(name, member, value, hashlib.new(algorithm).digest_size)
    return digests


def parse_md5(lines: Iterable[str]) -> dict[str, bytes]:
    """The raw digest of the header `Content-MD5`, under the key `md5`; empty if there is no such header.

    The value is in base64, as in RFC 1864, or in hex, as Glance sends it. Raises Invalid: it is neither.
    """
    digests = {_raw_md5(line.strip()) for line in lines}
    if len(digests) > 1:
        raise Invalid("The values of Content-MD5 contradict each other.")
    return {"md5": digests.pop()} if digests else {}


def _raw_md5(value: str) -> bytes:
    if _MD5_HEX.fullmatch(value):
        return bytes.fromhex(value)
    if _MD5_BASE64.fullmatch(value):
        return base64.b64decode(value)
    raise Invalid(f"Content-MD5 {value!r} is not the base64 of 16 bytes, nor 32 hex digits.")


def _raw(name: str, member: str, value: str, size: int) -> bytes:
    match = _VALUE.fullmatch(value)
    if match is None:
        raise Invalid(f"{name} {member.strip()!r} is not ALGORITHM=:BASE64:.")
    try:
        text = match.group(1)
        digest = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise Invalid(f"{name} {member.strip()!r} is not base64.") from error
    if len(digest) != size:
        raise Invalid(f"{name} {member.strip()!r} has {len(digest)} bytes, not {size}.")
    return digest
