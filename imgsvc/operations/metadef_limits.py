"""Limits of one namespace of metadata definitions, because it is read, changed and shown as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from imgsvc.errors import QuotaExceeded
from imgsvc.metadef_model import Definition, Definitions

__all__ = ["LARGEST_NAMESPACE", "MOST_DEFINITIONS", "check_growth", "check_number"]

MOST_DEFINITIONS: Final = 1000
"""Definitions of all kinds in one namespace. The largest namespace that comes with imgsvc has 25."""

LARGEST_NAMESPACE: Final = 1 << 20
"""Bytes of all definitions of a namespace, as JSON. So a client can send back as one body what it was shown."""

_encode: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def check_number(number: int) -> None:
    """Raises QuotaExceeded: a namespace may not have so many definitions."""
    if number > MOST_DEFINITIONS:
        raise QuotaExceeded(f"A namespace may have {MOST_DEFINITIONS} definitions, not {number}.")


def check_growth(before: Definitions, after: Definitions) -> None:
    """Check a change of a namespace. One that is beyond a limit may stay so, or shrink.

    Raises QuotaExceeded: the namespace grows beyond a limit.
    """
    if len(after) > len(before):
        check_number(len(after))
    new = [each for key, each in after.items() if before.get(key) is not each]
    gone = [each for key, each in before.items() if after.get(key) is not each]
    added = _size(new)
    if added > _size(gone):
        size = added + _size(each for key, each in after.items() if before.get(key) is each)
        if size > LARGEST_NAMESPACE:
            raise QuotaExceeded(f"The definitions of a namespace may take {LARGEST_NAMESPACE} bytes, not {size}.")


def _size(definitions: Iterable[Definition]) -> int:
    return len(_encode([[each.name, dict(each.document)] for each in definitions]).encode())
