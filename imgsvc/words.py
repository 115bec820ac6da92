"""Escapes texts from clients for the log, so that they cannot be mistaken for other parts of a line."""

from __future__ import annotations

import re
from typing import Final

_NOT_IN_WORDS: Final = re.compile(r"[^!#-Z^-~]")
"""Everything except visible ASCII characters; also quotes, backslashes and brackets."""
_NOT_IN_QUOTES: Final = re.compile(r"[^ !#-\[\]-~]")


def word(value: object) -> str:
    """A value as one word without quotes or brackets; `-` for None and for an empty text.

    Other characters are escaped as in Python: `\\x20`, `\\u202e`.
    """
    text = "" if value is None else str(value)
    return "\\x2d" if text == "-" else _NOT_IN_WORDS.sub(_named, text) or "-"


def quoted(text: str | None) -> str:
    """A text in quotes. It may have blanks, and is escaped like a word otherwise; `-` for None."""
    return "-" if text is None else f'"{_NOT_IN_QUOTES.sub(_named, text)}"'


def _named(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
