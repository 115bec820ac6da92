"""The digests that a client gives of the bytes it sends (RFC 9530, and RFC 1864 before it)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final

from imgsvc.errors import Invalid

ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512"}
"""Those that RFC 9530 calls active, by hashlib's names."""

_VALUE: Final = re.compile(r"\s*:([A-Za-z0-9+/]*)={0,2}:\s*(?:;.*)?")
"""As RFC 9651 has it: the padding may be missing, and there may be parameters, which mean nothing here."""

_MD5_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_MD5_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}")


def parse_digests(name: str, lines: Iterable[str]) -> dict[str, bytes]:
    """hashlib's name of each algorithm -> the raw digest, from the lines of `Repr-Digest` and its like.

    name: of the header. Algorithms that are not checked are left out, as the RFC asks for. Raises Invalid for one that
    is and whose value is no digest of it.
    """
    digests: dict[str, bytes] = {}
    for member in ",".join(lines).split(","):
        key, _, value = member.partition("=")
        algorithm = ALGORITHMS.get(key.strip().lower())
        if algorithm is not None:
            digests[algorithm] = _raw(name, member, value, hashlib.new(algorithm).digest_size)
    return digests


def parse_md5(lines: Iterable[str]) -> dict[str, bytes]:
    """`md5` -> the raw digest, from the lines of `Content-MD5`; nothing if there are none.

    It is in base64, as RFC 1864 has it, or in hex, as Glance sends it. Raises Invalid.
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
