"""Measures how long a start takes, and the memory of an idle daemon.

`python -m bench.start` measures, in turn: the imports that every such server needs (the floor), and `twistd -n
imgsvc` on an empty folder until its first answer; then the memory of one process, and of a parent with two workers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.client import Address
from bench.processes import ROOT, Process, cpu_seconds, family, free_port, own_cpu_seconds, python, settle
from bench.servers import answers

FLOOR = "import os, twisted.scripts.twistd, klein, sqlalchemy; from twisted.internet import reactor; os._exit(0)"
"""Skips the shutdown of the interpreter, which takes time, too."""
TWISTD = python("-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=", "imgsvc")


@contextmanager
def daemon(tree: Path, workers: int) -> Iterator[tuple[int, float]]:
    """Run the daemon of a source tree on an empty folder. Yields its process id and the seconds to its first answer."""
    folder, address = Path(tempfile.mkdtemp(prefix="imgsvc-start-")), Address("127.0.0.1", free_port())
    (folder / "imgsvc.toml").write_text(f"[server]\nworkers = {workers}\n")
    listen = ["--listen", f"tcp:{address.port}:interface=127.0.0.1", "--data", "data"]
    configured = [] if workers == 1 else ["--config", "imgsvc.toml"]
    begun = time.perf_counter()
    process = Process([*TWISTD, *configured, *listen], folder, tree)
    try:
        process.wait_until(lambda: answers(address, "/healthcheck"))
        taken = time.perf_counter() - begun
        if workers > 1:
            process.wait_until(lambda: len(family(process.pid)) == workers + 1)
        yield process.pid, taken
    finally:
        process.stop()
        shutil.rmtree(folder)


def floor() -> tuple[float, float]:
    """Run the imports. Returns seconds of wall time and of CPU."""
    begun, used = time.perf_counter(), own_cpu_seconds()
    subprocess.run(python("-c", FLOOR), check=True)
    return time.perf_counter() - begun, own_cpu_seconds() - used


def start(tree: Path) -> tuple[float, float]:
    """Start the daemon. Returns seconds of wall time and of CPU."""
    with daemon(tree, 1) as (pid, taken):
        return taken, cpu_seconds(pid)


def memory(tree: Path, workers: int) -> list[tuple[float, float]]:
    """Rss and Pss of each process of an idle daemon in MiB, the parent first."""
    with daemon(tree, workers) as (pid, _):
        settle(pid)
        return [(_field(each, "Rss"), _field(each, "Pss")) for each in family(pid)]


def _field(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def row(name: str, samples: Sequence[tuple[float, float]]) -> str:
    """A row of the table of times."""
    cells = [f"{function(times):.2f}" for times in zip(*samples, strict=True) for function in (min, statistics.median)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="starts of each (%(default)s)")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another source tree; may be repeated")
    chosen = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled
    trees = {"imgsvc": ROOT, **{str(tree): tree.absolute() for tree in chosen.beside}}
    times: dict[str, list[tuple[float, float]]] = {"floor": [], **{name: [] for name in trees}}
    for tree in trees.values():
        start(tree)  # compiles modules that are not compiled yet
    for _ in range(chosen.rounds):
        times["floor"].append(floor())
        for name, tree in trees.items():
            times[name].append(start(tree))
    print("| s | wall, least | median | CPU, least | median |\n| --- | --- | --- | --- | --- |")
    for name, samples in times.items():
        print(row(name, samples))
    print("\n| MiB | one process, RSS | parent, RSS | workers, RSS | all three, PSS |\n| --- | --- | --- | --- | --- |")
    for name, tree in trees.items():
        ((alone, _),), (parent, *others) = memory(tree, 1), memory(tree, 2)
        workers = " and ".join(f"{rss:.1f}" for rss, _ in others)
        print(
            f"| {name} | {alone:.1f} | {parent[0]:.1f} | {workers} | {parent[1] + sum(pss for _, pss in others):.1f} |"
        )


if __name__ == "__main__":
    main()
