"""A hasher with lanes for tests, and a scheduler of one thread of control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from imgsvc.hashing import IHasher, IRunningHash, Piece
from imgsvc.hashing.reference import HashlibHasher
from imgsvc.pipeline.cores import Cores
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from tests.support.threads import ImmediateThreads

__all__ = ["FixedCores", "LanesHasher", "WholeHash", "plain_scheduler"]


@implementer(IRunningHash)
class WholeHash:
    """Keeps all bytes of a stream."""

    def __init__(self, algorithms: Collection[str], data: bytes = b"") -> None:
        self.algorithms = frozenset(algorithms)
        self.data = bytearray(data)

    def digest(self, algorithm: str) -> bytes:
        assert algorithm in self.algorithms
        return hashlib.new(algorithm, self.data).digest()

    def copy(self) -> WholeHash:
        return WholeHash(self.algorithms, self.data)

    def export(self) -> bytes:
        return json.dumps([sorted(self.algorithms), self.data.hex()]).encode()


@implementer(IHasher)
class LanesHasher:
    """Hashes several streams in one call, and remembers what it was asked for.

    fails: whether the calls for these hashes raise ArithmeticError; refuses: the same of `calls` itself.
    """

    name = "lanes"

    def __init__(self, lanes: int = 8, common_from: int = 3) -> None:
        self.lanes = lanes
        self.common_from = common_from
        self.fails: Callable[[Sequence[IRunningHash]], bool] = lambda hashes: False
        self.refuses = False
        self.sizes: list[list[int]] = []
        """For each time that calls were asked for: bytes of each stream."""
        self.hashes: list[list[IRunningHash]] = []
        """For each of them: the streams."""
        self.threads: list[int] = []
        """For each of them: idle threads."""

    def new(self, algorithms: Collection[str]) -> WholeHash:
        HashlibHasher().new(algorithms)
        return WholeHash(algorithms)

    def restore(self, exported: bytes) -> WholeHash:
        algorithms, data = json.loads(exported)
        return WholeHash(algorithms, bytes.fromhex(data))

    def calls(self, work: Sequence[tuple[IRunningHash, Sequence[Piece]]], threads: int) -> list[Callable[[], None]]:
        hashes = [running for running, _ in work]
        assert len(set(map(id, hashes))) == len(work) <= self.lanes and threads >= 1
        assert len(work) == 1 or len(work) >= self.common_from
        self.sizes.append([sum(map(len, pieces)) for _, pieces in work])
        self.hashes.append(hashes)
        self.threads.append(threads)
        if self.refuses:
            raise ArithmeticError("refused")

        def call() -> None:
            if self.fails(hashes):
                raise ArithmeticError("failed")
            for running, pieces in work:
                assert isinstance(running, WholeHash)
                for piece in pieces:
                    running.data += piece

        return [call]


class FixedCores(Cores):
    """As many as the test says."""

    def __init__(self, left: float) -> None:
        self.now = left

    def left(self, used: float) -> float:
        return self.now


def plain_scheduler(clock: IReactorTime) -> DigestScheduler:
    """Hashes with hashlib, at once."""
    return DigestScheduler(HashlibHasher(), ImmediateThreads(), 2, clock, Cores(clock))
