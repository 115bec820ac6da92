"""The digests of a stream, each computed in a lane of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from imgsvc.interfaces import IThreads

Piece = bytes | bytearray | memoryview


class Digest:
    """A running hash that is fed in a thread. hashlib lets go of the interpreter lock while it computes."""

    def __init__(self, algorithm: str, threads: IThreads) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._threads = threads

    def consume(self, pieces: list[Piece]) -> Deferred[None]:
        """Feed pieces, one call at a time. Fires when they are computed."""
        return self._threads.run(_update, self._hash, pieces)

    def hexdigest(self) -> str:
        """Lower-case hex of all that was fed."""
        return self._hash.hexdigest()

    def digest(self) -> bytes:
        """The raw digest of all that was fed."""
        return self._hash.digest()


def _update(running: Any, pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        running.update(piece)
