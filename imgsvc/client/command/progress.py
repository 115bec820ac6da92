"""Shows how far a transfer is, on one line of the terminal."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INTERVAL: Final = 0.2
"""Seconds between two updates of the line."""
WINDOW: Final = 5.0
"""Seconds over which the rate is computed."""
LABELS: Final = {"upload": "Uploading", "download": "Downloading", "verify": "Verifying"}
WIDEST_BAR: Final = 40
NARROWEST_BAR: Final = 8
BESIDE_BAR: Final = 60
"""Columns for everything beside the bar, so that the bar keeps its width while other parts come and go."""
USUAL_COLUMNS: Final = 80


def format_size(size: float) -> str:
    """Write a number of bytes as `1.2 GB`: powers of a thousand, up to three digits."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"


def format_time(seconds: float) -> str:
    """Write a number of seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """A Progress that rewrites one line at most every INTERVAL seconds: share, bar, rate, time left.

    In the bar `#` stands for what is verified, or needs no verification, and `-` for what has only arrived.

    stream: where the line goes; nothing is written if it is not a terminal. clock: for the rate. columns: a function
    that gets the width of the terminal in characters; by default the terminal is asked. The caller must call `end`.
    """

    def __init__(self, stream: TextIO, clock: IReactorTime, columns: Callable[[], int] | None = None) -> None:
        self._stream = stream
        self._clock = clock
        self._columns = columns or self._ask_columns
        self._shows = stream.isatty()
        self._moved = "upload"
        self._done = 0
        self._verified: int | None = None
        self._total: int | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._shown = ""
        self._pause: IDelayedCall | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """See Progress. For a download, the stage `verify` says how much of it is verified."""
        if not self._shows:
            return
        self._total = total
        if stage == "verify":
            self._verified = done
        else:
            self._moved, self._done = stage, done
        if self._pause is None:
            self._write()
            self._pause = self._clock.callLater(INTERVAL, self._pause_ended)

    def end(self) -> None:
        """Show the last state and end the line, so that other text can follow. May be called several times."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
            self._write()
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
        self._shown, self._verified, self._done = "", None, 0
        self._recent.clear()

    def _pause_ended(self) -> None:
        self._write()
        self._pause = self._clock.callLater(INTERVAL, self._pause_ended)

    @property
    def _stage(self) -> str:
        """The stage to show.

        A download is verified while it arrives, so `verify` is shown only when all has arrived, or when nothing is
        downloaded.
        """
        return self._moved if self._verified is None or 0 < self._done != self._total else "verify"

    def _write(self) -> None:
        line = self._line(self._columns() - 1)
        if line != self._shown:
            self._stream.write("\r" + line.ljust(len(self._shown)))
            self._stream.flush()
            self._shown = line

    def _line(self, width: int) -> str:
        """Make the line, of at most `width` characters."""
        verifying, total = self._stage == "verify", self._total
        done = (self._verified or 0) if verifying else self._done
        parts = [LABELS.get(self._stage, self._stage)]
        if total:
            parts.append(f"{100 * done // total:3} %")
        parts.append(f"{format_size(done)} of {format_size(total)}" if total is not None else format_size(done))
        rate = self._rate(done)
        if rate:
            parts.append(f"{rate / 1e6:.1f} MB/s")
            if total is not None and done < total:
                parts.append(f"{format_time((total - done) / rate)} left")
        room = min(WIDEST_BAR, width - BESIDE_BAR)
        if total and room >= NARROWEST_BAR:
            parts.insert(2, f"[{self._bar(room, total)}]")
        return "  ".join(parts)[:width]

    def _bar(self, width: int, total: int) -> str:
        arrived = self._done or self._verified or 0
        verified = arrived if self._verified is None and self._moved == "upload" else self._verified or 0
        return ("#" * (width * verified // total)).ljust(width * arrived // total, "-").ljust(width)

    def _rate(self, done: int) -> float:
        """Compute the bytes a second of the last WINDOW seconds; 0 when not known yet."""
        now, recent = self._clock.seconds(), self._recent
        if recent and done < recent[-1][1]:
            recent.clear()  # another stage is counted now, or the same one from the beginning
        recent.append((now, done))
        while len(recent) > 2 and recent[1][0] <= now - WINDOW:
            recent.popleft()
        began, first = recent[0]
        return (done - first) / (now - began) if now > began else 0.0

    def _ask_columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):
            return USUAL_COLUMNS
