"""The one line that shows how far a transfer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TextIO

from twisted.internet.interfaces import IDelayedCall, IReactorTime

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
    """A Progress that rewrites one line of a terminal, every INTERVAL seconds at most: share, rate, time left.

    stream: where the line goes; nothing is written when it is no terminal. clock: for the rate. Whoever uses it
    ends it.
    """

    def __init__(self, stream: TextIO, clock: IReactorTime) -> None:
        self._stream = stream
        self._clock = clock
        self._shows = stream.isatty()
        self._stage = ""
        self._began = 0.0
        self._first = self._done = 0
        self._total: int | None = None
        self._width = 0
        self._pause: IDelayedCall | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Say that `done` bytes of `total` are behind us."""
        if not self._shows:
            return
        if stage != self._stage:
            self.end()
            self._stage, self._began, self._first = stage, self._clock.seconds(), done
        self._done, self._total = done, total
        if self._pause is None:
            self._write()
            self._pause = self._clock.callLater(INTERVAL, self._pause_ended, done)

    def end(self) -> None:
        """Show where it ended and leave the line, so that other text can follow. Any number of times."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
            self._write()
        if self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0

    def _pause_ended(self, shown: int) -> None:
        self._pause = None
        if self._done != shown:
            self(self._stage, self._done, self._total)

    def _write(self) -> None:
        line = self._line(self._clock.seconds() - self._began)
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def _line(self, seconds: float) -> str:
        done, total = self._done, self._total
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
