"""Holds a hasher against hashlib, before it is used."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final

from imgsvc.hashing.interfaces import HasherUnavailable, IHasher

__all__ = ["check_hasher"]

ALGORITHMS: Final = ("md5", "sha256", "sha512")
COUNTS: Final = (1, 2, 3, 5, 8, 9)
"""Streams at once: with and without lanes, some of which are not used."""
LONGEST: Final = 1500
"""Bytes of a piece. The kernels work on up to 512 bytes at once."""


def check_hasher(hasher: IHasher) -> None:
    """Hash random pieces of several streams. Raises HasherUnavailable: a digest is not that of hashlib."""
    random = Random(0)
    for count in COUNTS:
        for threads in (1, 2):
            hashes = [hasher.new(ALGORITHMS) for _ in range(count)]
            data = [b""] * count
            for _ in range(2):
                work = []
                for i, running in enumerate(hashes):
                    pieces = [random.randbytes(random.randrange(LONGEST)) for _ in range(random.randrange(1, 4))]
                    data[i] += b"".join(pieces)
                    work.append((running, pieces))
                for call in hasher.calls(work, threads):
                    call()
            for running, whole in zip(hashes, data, strict=True):
                for name in ALGORITHMS:
                    if running.digest(name) != hashlib.new(name, whole, usedforsecurity=False).digest():
                        raise HasherUnavailable(f"its {name} is wrong on this machine")
