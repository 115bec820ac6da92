"""How much there is in JSON, found out before it is parsed: a few bytes can stand for a lot of work.

Nothing here is done a byte at a time: what strings hold is cut out, and the rest is counted.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from attrs import frozen

from imgsvc.errors import BodyTooLarge, Invalid

__all__ = ["DEEPEST", "LONGEST_NUMBER", "MOST_VALUES", "Structure", "check_structure"]

DEEPEST: Final = 32
"""Arrays and objects within each other. Metadata definitions, the deepest documents that there are, have 7."""

MOST_VALUES: Final = 20_000
"""Texts, numbers, words, arrays and objects, wherever they stand; keys are not counted."""

LONGEST_NUMBER: Final = 310
"""Characters: the largest number of 64 bits has as many digits. The time to read one grows faster than its length."""

_MOST_QUOTES: Final = 4 * MOST_VALUES
"""Each value may be a text, and have a key, and each of both has two quotes."""

_BRACKETS: Final = b"[{]}"
_STEPS: Final = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
"""What a bracket does to the depth, as a signed byte."""
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_DIGITS: Final = b"0123456789+-.eE"
_AS_ZEROS: Final = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_TOO_LONG: Final = b"0" * (LONGEST_NUMBER + 1)


@frozen
class Structure:
    """values: how many values there are. depth: how many arrays and objects are within each other at most."""

    values: int
    depth: int


def check_structure(data: bytes) -> Structure:
    """How much there is in a text of JSON, exactly; in what is no JSON at least what a parser meets before it gives up.

    Raises Invalid for a depth, or a number, beyond the limits, BodyTooLarge for too many values.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # the quotes that are left begin and end strings
    parts = data.split(b'"', _MOST_QUOTES + 1)
    too_many_quotes = len(parts) > _MOST_QUOTES + 1
    outside = b'"'.join(parts[: _MOST_QUOTES + 1 : 2]).translate(None, b" \t\r\n")
    opened = outside.count(b"[") + outside.count(b"{")
    steps = outside.translate(_STEPS, _OTHERS)[: 2 * MOST_VALUES]  # as many as a text with few enough values has
    depth = max(accumulate(memoryview(steps).cast("b")), default=0)
    if depth > DEEPEST:
        raise Invalid(f"The body is nested more than {DEEPEST} levels deep.")
    values = 1 + opened + outside.count(b",") - outside.count(b"[]") - outside.count(b"{}")
    if values > MOST_VALUES or too_many_quotes:
        raise BodyTooLarge(f"The body holds more than {MOST_VALUES} values.")
    if _TOO_LONG in outside.translate(_AS_ZEROS):
        raise Invalid(f"The body holds a number of more than {LONGEST_NUMBER} characters.")
    return Structure(values, depth)
