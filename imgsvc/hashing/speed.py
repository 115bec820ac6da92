"""Measures how fast digests are computed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import thread_time
from typing import Final

from imgsvc.hashing.interfaces import IHasher

__all__ = ["measure_speed"]

PIECE: Final = 64 << 10
"""Bytes of a piece. All streams get the same ones."""
PIECES: Final = 4
"""Pieces of a stream in a call."""


def measure_speed(
    hasher: IHasher,
    algorithms: Collection[str],
    streams: int,
    seconds: float,
    clock: Callable[[], float] = thread_time,
) -> float:
    """Return the bytes of all streams together that one core hashes in a second. It computes for `seconds` or longer.

    algorithms: hashlib's names. streams: at most `hasher.lanes`; they are hashed together. clock: returns the seconds
    of processor time that this thread has used.
    """
    pieces = [bytes(PIECE)] * PIECES
    work = [(hasher.new(algorithms), pieces) for _ in range(streams)]
    rounds, used, begin = 0, 0.0, clock()
    while used < seconds:
        for call in hasher.calls(work, 1):
            call()
        rounds += 1
        used = clock() - begin
    return rounds * streams * PIECES * PIECE / used
