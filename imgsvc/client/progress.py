"""The one line that shows how far a transfer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TextIO

from twisted.internet.interfaces import IReactorTime

Progress = Callable[[str, int, int | None], None]
"""`progress(stage, done, total)`: stage is `upload`, `download` or `verify`; bytes; total None is unknown."""

INTERVAL: Final = 0.2
LABELS: Final = {"upload": "Uploading", "download": "Downloading", "verify": "Verifying"}


def no_progress(stage: str, done: int, total: int | None) -> None:
    """Shows nothing."""


def format_size(size: float) -> str:
    """As `1.2 GB`: powers of a thousand, three digits."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"


def format_time(seconds: float) -> str:
    """As `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """A Progress that rewrites one line of a terminal: share, rate, time left.

    stream: where the line goes; nothing is written when it is no terminal. clock: for the rate.
    """

    def __init__(self, stream: TextIO, clock: IReactorTime) -> None:
        self._stream = stream
        self._clock = clock
        self._shows = stream.isatty()
        self._stage = ""
        self._began = self._shown = 0.0
        self._first = 0
        self._width = 0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Say that `done` bytes of `total` are behind us."""
        if not self._shows:
            return
        now = self._clock.seconds()
        if stage != self._stage:
            self._stage, self._began, self._shown, self._first = stage, now, now - INTERVAL, done
        if now - self._shown >= INTERVAL or done == total:
            self._shown = now
            self._write(self._line(done, total, now - self._began))

    def end(self) -> None:
        """Leave the line, so that other text can follow."""
        if self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0

    def _line(self, done: int, total: int | None, seconds: float) -> str:
        parts = [LABELS.get(self._stage, self._stage)]
        if total:
            parts.append(f"{100 * done // total:3} %")
        parts.append(f"{format_size(done)} of {format_size(total)}" if total is not None else format_size(done))
        moved = done - self._first
        if seconds > 0 and moved > 0:
            parts.append(f"{moved / seconds / 1e6:.1f} MB/s")
            if total is not None:
                parts.append(f"{format_time((total - done) * seconds / moved)} left")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
