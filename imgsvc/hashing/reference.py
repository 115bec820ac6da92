"""The digests of the standard library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from zope.interface import implementer

from imgsvc.hashing.interfaces import IHasher, IRunningHash, Piece

__all__ = ["HashlibHasher", "RunningHash"]


class _Hash(Protocol):
    """What hashlib gives."""

    def update(self, piece: Piece, /) -> None: ...

    def digest(self) -> bytes: ...

    def copy(self) -> _Hash: ...


@implementer(IRunningHash)
class RunningHash:
    """The hashlib objects of one stream. hashes: by the name of the algorithm."""

    def __init__(self, hashes: dict[str, _Hash]) -> None:
        self.hashes = hashes
        self.algorithms = frozenset(hashes)

    def digest(self, algorithm: str) -> bytes:
        """See IRunningHash."""
        return self.hashes[algorithm].digest()

    def copy(self) -> RunningHash:
        """See IRunningHash."""
        return RunningHash({name: each.copy() for name, each in self.hashes.items()})

    def export(self) -> None:
        """See IRunningHash. hashlib does not show its state."""


@implementer(IHasher)
class HashlibHasher:
    """Computes each digest of a stream in a call of its own. hashlib releases the interpreter lock meanwhile."""

    name = "hashlib"
    lanes = 1
    common_from = 1

    def new(self, algorithms: Collection[str]) -> RunningHash:
        """See IHasher."""
        return RunningHash({name: hashlib.new(name, usedforsecurity=False) for name in algorithms})

    def restore(self, exported: bytes) -> RunningHash:
        """See IHasher. Always raises ValueError, because there is no exported state of hashlib."""
        raise ValueError("hashlib has no exported state")

    def calls(self, work: Sequence[tuple[IRunningHash, Sequence[Piece]]], threads: int) -> list[Callable[[], None]]:
        """See IHasher."""
        return [partial(_update, each, pieces) for running, pieces in work for each in _hashes(running)]


def _hashes(running: IRunningHash) -> Iterable[_Hash]:
    if not isinstance(running, RunningHash):
        raise TypeError(f"{running!r} is the hash of another hasher")
    return running.hashes.values()


def _update(running: _Hash, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        running.update(piece)
