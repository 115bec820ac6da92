"""Measures what digests cost: `python -m bench.hashing`.

Each row is a number of streams that are hashed at once, in one thread. The figures are CPU seconds for a GiB of data,
medians, measured in turn: hashlib, then the kernels of imgsvc for each kind of processor that this one can be.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from attrs import evolve

from imgsvc.hashing import IHasher
from imgsvc.hashing.compiled import CompiledHasher
from imgsvc.hashing.library import Instructions, load_library
from imgsvc.hashing.reference import HashlibHasher

GIB = 1 << 30
PIECE = 64 << 10
PIECES = 16
COUNTS = (1, 2, 3, 4, 6, 8, 16)
ALGORITHMS = (("md5", "sha512"), ("md5", "sha256"))


def hashers() -> dict[str, IHasher]:
    """What can compute digests here, by name."""
    library = load_library()
    avx2 = evolve(library, instructions=library.instructions & ~Instructions.AVX512)
    compiled = [CompiledHasher(avx2)]
    if library.instructions & Instructions.AVX512:
        compiled.append(CompiledHasher(library))
    return {"hashlib": HashlibHasher(), **{hasher.name: hasher for hasher in compiled}}


def measure(hasher: IHasher, algorithms: Sequence[str], count: int, pieces: Sequence[bytes]) -> float:
    """CPU seconds of a GiB, in one thread."""
    streams = [hasher.new(algorithms) for _ in range(count)]
    times = max(1, 24 // count)
    begun = time.thread_time()
    for _ in range(times):
        for call in hasher.calls([(running, pieces) for running in streams], 1):
            call()
    return (time.thread_time() - begun) / (times * count * len(pieces) * PIECE) * GIB


def processor() -> str:
    """The name that the processor gives itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.hashing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (%(default)s)")
    chosen = parser.parse_args()
    kinds = hashers()
    pieces = [Random(i).randbytes(PIECE) for i in range(PIECES)]
    print(f"{processor()}, {load_library().instructions!r}")
    for algorithms in ALGORITHMS:
        print(f"\n| streams, {' and '.join(algorithms)} | {' | '.join(kinds)} | of hashlib |")
        print("| --- |" + " --- |" * (len(kinds) + 1))
        for count in COUNTS:
            samples: dict[str, list[float]] = {name: [] for name in kinds}
            for _ in range(chosen.rounds):
                for name, hasher in kinds.items():
                    samples[name].append(measure(hasher, algorithms, count, pieces))
            medians = [statistics.median(each) for each in samples.values()]
            shares = [f"{median / medians[0]:.2f}" for median in medians[1:]]
            print(f"| {count} | {' | '.join(f'{median:.2f}' for median in medians)} | {', '.join(shares)} |")


if __name__ == "__main__":
    main()
