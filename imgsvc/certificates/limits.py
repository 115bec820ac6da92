"""How much a certificate may be."""

from __future__ import annotations

from typing import Final

from imgsvc.errors import BadSignature

LARGEST: Final = 64 << 10
"""Bytes of a certificate; those in use have a few thousand."""


def readable(data: bytes, certificate_id: str) -> bytes:
    """The data, if it is not too much to be a certificate. Raises BadSignature."""
    if len(data) > LARGEST:
        raise too_large(certificate_id)
    return data


def too_large(certificate_id: str) -> BadSignature:
    """What is raised for a certificate of more bytes."""
    return BadSignature(f"Certificate {certificate_id} has more than {LARGEST} bytes.")
