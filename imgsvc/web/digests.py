"""The digests that a client gives of the bytes it sends (RFC 9530)."""

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
