"""Compares a hasher with hashlib, on random streams. As a program it does so for some minutes:

python -m tests.hashing.comparison --minutes 10
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from random import Random

from imgsvc.hashing import IHasher, IRunningHash, Piece
from tests.hashing.builds import hashers

ALGORITHMS = (
    ("md5", "sha512"),
    ("md5", "sha256"),
    ("md5",),
    ("sha512",),
    ("md5", "sha256", "sha512"),
    ("md5", "sha384"),
)
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 70)
SIZES = (0, 5, 130, 1000, 5000, 70000)
"""Most bytes of a piece."""


class Stream:
    """A stream under test, with all its bytes."""

    def __init__(self, hasher: IHasher, algorithms: Sequence[str]) -> None:
        self.running: IRunningHash = hasher.new(algorithms)
        self.data = b""

    def next(self, random: Random) -> list[Piece]:
        """Random pieces, which are more bytes of the stream."""
        size = random.choice(SIZES)
        pieces = [random.randbytes(random.randint(0, size)) for _ in range(random.randint(0, 4))]
        self.data += b"".join(pieces)
        return [random.choice((bytes, bytearray, memoryview))(piece) for piece in pieces]

    def check(self) -> None:
        """Raise AssertionError unless all digests are right."""
        for name in self.running.algorithms:
            assert self.running.digest(name) == hashlib.new(name, self.data).digest(), (name, len(self.data))


def compare(hasher: IHasher, random: Random) -> None:
    """Hash some random streams that join, leave, are copied, exported and restored. Raises AssertionError."""
    waiting = [Stream(hasher, random.choice(ALGORITHMS)) for _ in range(random.choice(COUNTS))]
    streams = [waiting.pop() for _ in range(random.randint(1, len(waiting)))]
    while streams:
        work = [(stream.running, stream.next(random)) for stream in streams]
        for call in hasher.calls(work, random.randint(1, 2)):
            call()
        for stream in streams:
            exported = stream.running.export()
            if exported is not None and random.random() < 0.2:
                stream.running = hasher.restore(exported)
            elif random.random() < 0.2:
                stream.running = stream.running.copy()
            stream.check()
        streams = [stream for stream in streams if random.random() < 0.6]
        streams += [waiting.pop() for _ in range(random.randint(0, len(waiting)))]


def main() -> None:
    """Compare until the time is over. The seed of a failure is on the last line of the output."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end, seed = time.monotonic() + 60 * options.minutes, options.seed
    while time.monotonic() < end:
        for number, hasher in enumerate(hashers()):
            try:
                compare(hasher, Random(seed))
            except AssertionError as error:
                raise SystemExit(f"seed {seed}, hasher {number} ({hasher.name}): {error}") from error
        seed += 1
    print(f"{seed - options.seed} rounds of {len(hashers())} hashers, no difference")


if __name__ == "__main__":
    main()
