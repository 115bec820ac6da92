"""The function that is told how far a transfer is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""`progress(stage, done, total)`: called in the thread of the reactor when bytes were moved.

stage: `upload`, `download`, or `verify` for the digest of a file. done: bytes so far. total: bytes in all; None if not
known. A download is verified while it arrives, so `download` and `verify` alternate. An upload that is sent again
begins at 0.
"""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """A Progress that does nothing."""
