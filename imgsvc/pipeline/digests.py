"""Digests of a stream. Each is computed in a separate lane."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from imgsvc.interfaces import IThreads

Piece = bytes | bytearray | memoryview


class Digest:
    """A running hash that is updated in a thread. hashlib releases the interpreter lock while it computes."""

    def __init__(self, algorithm: str, threads: IThreads) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._threads = threads

    def consume(self, pieces: list[Piece]) -> Deferred[None]:
        """Add pieces to the hash. The Deferred fires when that is done; the next call must come after it."""
        return self._threads.run(_update, self._hash, pieces)

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in lower-case hexadecimal."""
        return self._hash.hexdigest()

    def digest(self) -> bytes:
        """The raw digest of all bytes so far."""
        return self._hash.digest()


def _update(running: Any, pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        running.update(piece)
