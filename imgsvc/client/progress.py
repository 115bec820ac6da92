"""How far a transfer is, for whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""`progress(stage, done, total)`: bytes; total None is unknown.

stage: `upload`, `download`, or `verify` for what was digested of a file. A download is verified while it arrives, so
its last two stages come in turn. An upload that is begun again begins at 0.
"""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """Shows nothing."""
