"""Measures JSON before it is parsed, because parsing a few bytes can take a lot of work.

All steps use operations on whole byte strings: the contents of JSON strings are cut out, and the rest is counted.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from attrs import frozen

from imgsvc.errors import BodyTooLarge, Invalid

__all__ = ["DEEPEST", "LONGEST_NUMBER", "MOST_VALUES", "Structure", "check_structure"]

DEEPEST: Final = 32
"""Nested arrays and objects, at most. Metadata definitions are the deepest documents in use, and have 7."""

MOST_VALUES: Final = 20_000
"""Strings, numbers, words, arrays and objects at all levels, at most. Keys are not counted."""

LONGEST_NUMBER: Final = 310
"""Characters of a number, at most. The largest 64-bit float has as many digits. Parsing time grows faster than length.
"""

_MOST_QUOTES: Final = 4 * MOST_VALUES
"""Each value may be a string and have a key. Each of both has two quotes."""

_BRACKETS: Final = b"[{]}"
_STEPS: Final = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
"""Maps a bracket to its effect on the depth, as a signed byte."""
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_DIGITS: Final = b"0123456789+-.eE"
_AS_ZEROS: Final = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_TOO_LONG: Final = b"0" * (LONGEST_NUMBER + 1)


@frozen
class Structure:
    """values: the number of values. depth: the largest number of nested arrays and objects."""

    values: int
    depth: int


def check_structure(data: bytes) -> Structure:
    """Measure a JSON text. If it is not JSON, the result covers at least the part that a parser reads before it fails.

    Raises Invalid: it is nested too deep, or has a number that is too long. Raises BodyTooLarge: it has too many
    values.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # the remaining quotes begin and end strings
    parts = data.split(b'"', _MOST_QUOTES + 1)
    too_many_quotes = len(parts) > _MOST_QUOTES + 1
    outside = b'"'.join(parts[: _MOST_QUOTES + 1 : 2]).translate(None, b" \t\r\n")
    opened = outside.count(b"[") + outside.count(b"{")
    steps = outside.translate(_STEPS, _OTHERS)[: 2 * MOST_VALUES]  # a text within the limit of values has no more
    depth = max(accumulate(memoryview(steps).cast("b")), default=0)
    if depth > DEEPEST:
        raise Invalid(f"The body is nested more than {DEEPEST} levels deep.")
    values = 1 + opened + outside.count(b",") - outside.count(b"[]") - outside.count(b"{}")
    if values > MOST_VALUES or too_many_quotes:
        raise BodyTooLarge(f"The body holds more than {MOST_VALUES} values.")
    if _TOO_LONG in outside.translate(_AS_ZEROS):
        raise Invalid(f"The body holds a number of more than {LONGEST_NUMBER} characters.")
    return Structure(values, depth)
