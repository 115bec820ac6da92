"""What strangers send, as a part of a line in the log that cannot be taken for another part."""

from __future__ import annotations

import re
from typing import Final

_NOT_IN_WORDS: Final = re.compile(r"[^!#-Z^-~]")
"""All but ASCII that is seen; and also quotes, backslashes, brackets."""
_NOT_IN_QUOTES: Final = re.compile(r"[^ !#-\[\]-~]")


def word(value: object) -> str:
    """A value as one word without quotes or brackets; `-` for None and for a text of no length.

    Characters that a word does not have are written as Python does: `\\x20`, `\\u202e`.
    """
    text = "" if value is None else str(value)
    return "\\x2d" if text == "-" else _NOT_IN_WORDS.sub(_named, text) or "-"


def quoted(text: str | None) -> str:
    """A text in quotes, which has blanks, and otherwise what a word has; `-` for None."""
    return "-" if text is None else f'"{_NOT_IN_QUOTES.sub(_named, text)}"'


def _named(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
