"""The largest size of a certificate."""

from __future__ import annotations

from typing import Final

from imgsvc.errors import BadSignature

LARGEST: Final = 64 << 10
"""Bytes. Usual certificates have a few thousand."""


def readable(data: bytes, certificate_id: str) -> bytes:
    """Return the data if it is small enough to be a certificate.

    Raises BadSignature: it has more bytes than LARGEST.
    """
    if len(data) > LARGEST:
        raise too_large(certificate_id)
    return data


def too_large(certificate_id: str) -> BadSignature:
    """The error for a certificate of more bytes than LARGEST."""
    return BadSignature(f"Certificate {certificate_id} has more than {LARGEST} bytes.")
