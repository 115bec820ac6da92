"""How much of the machine other work leaves to the digests."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IReactorTime

__all__ = ["Cores"]

EVERY: Final = 0.5
"""Seconds between two readings, at least."""


class Cores:
    """The cores that other work leaves idle.

    clock: for the time between two readings. file: has the times of all cores in its first line, as /proc/stat.
    """

    def __init__(self, clock: IReactorTime, file: Path = Path("/proc/stat")) -> None:
        self._clock = clock
        self._file = file
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._left = math.inf
        self._read_at: float | None = None
        self._spare: float | None = None
        """Seconds that were idle or the caller's, when the file was read."""

    def left(self, used: float) -> float:
        """Cores that were idle or at the caller's own work, on average, between the last two readings.

        The file is read again if the last reading is older than EVERY. Before the second reading, and where there is no
        such file, there is no limit (infinity).

        used: seconds of processor time that the caller's own work has taken so far.
        """
        now = self._clock.seconds()
        if self._read_at is None or now - self._read_at >= EVERY:
            idle = self._idle()
            spare = None if idle is None else idle + used
            if self._read_at is None or self._spare is None or spare is None:
                self._left = math.inf
            else:
                self._left = (spare - self._spare) / (now - self._read_at)
            self._read_at, self._spare = now, spare
        return self._left

    def _idle(self) -> float | None:
        """Seconds for which the cores have been idle, added up (proc(5)). None: it is not known."""
        try:
            with self._file.open(encoding="ascii") as file:
                fields = file.readline().split()
            return (int(fields[4]) + int(fields[5])) / self._ticks  # idle, and idle while a disk works
        except (OSError, ValueError, IndexError):
            return None
