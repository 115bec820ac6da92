"""Times pages of lists in two checkouts: `python -m bench.lists_beside FOLDER`. FOLDER has another version of imgsvc.

Each version runs in its own process. Both read the same catalogue, and their pages are timed in turn: A B A B. Each
case has two pages of 25: the first, and the one after the middle image. The versions must have the same tables.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from attrs import evolve

from bench.lists import analyze, cases, fill, middle, open_engine
from imgsvc.catalogue import schema, tables
from imgsvc.model import ImageQuery

PROGRAM = """
import pickle, sys, time
from bench.lists import list_images, open_engine
with open_engine(sys.argv[1]).connect() as connection:
    while True:
        query = pickle.load(sys.stdin.buffer)
        began = time.perf_counter()
        list_images(connection, query)
        print((time.perf_counter() - began) * 1000, flush=True)
"""
"""Runs in each checkout. Reads queries, and prints the milliseconds of each."""


class Version:
    """A process in which one checkout reads the catalogue."""

    def __init__(self, folder: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def milliseconds(self, query: ImageQuery) -> float:
        """The time of one page."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(query, self._process.stdin)
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def versions(*folders: Path, url: str) -> Iterator[list[Version]]:
    """Run one process for each folder."""
    opened = [Version(folder, url) for folder in folders]
    try:
        yield opened
    finally:
        for version in opened:
            version.close()


def compare(here: Version, there: Version, query: ImageQuery, rounds: int) -> tuple[float, float, float]:
    """The median of `there`, the median of `here`, and the median of the ratios of the rounds.

    A first round, which compiles the statements, is not counted.
    """
    here.milliseconds(query)
    there.milliseconds(query)
    pairs = [(there.milliseconds(query), here.milliseconds(query)) for _ in range(rounds)]
    before, after = zip(*pairs, strict=True)
    return statistics.median(before), statistics.median(after), statistics.median(b / a for a, b in pairs)


def main() -> None:
    """Fill the catalogue, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.lists_beside", description=__doc__)
    parser.add_argument("folder", type=Path, help="the other checkout, named `before` in the table")
    parser.add_argument("--images", type=int, default=100_000, help="number of images in the catalogue")
    parser.add_argument("--rounds", type=int, default=15, help="how many times to time each page")
    parser.add_argument(
        "--url", help="URL of an empty database, which is filled, or of one that this program has filled before"
    )
    parser.add_argument("--only", nargs="+", default=[""], help="only cases whose name contains one of these")
    told = parser.parse_args()
    print(f"| {told.images:,} images, ms | page | before | after | ratio |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="imgsvc-bench-") as folder:
        url = told.url or f"sqlite:///{Path(folder) / 'catalogue'}"
        engine = open_engine(url)
        with engine.begin() as connection:
            schema.upgrade(connection)
            if not connection.execute(sa.select(sa.func.count()).select_from(tables.images)).scalar_one():
                fill(connection, told.images)
        analyze(engine)
        with versions(Path(__file__).parent.parent, told.folder.absolute(), url=url) as (here, there):
            for case in cases():
                if not any(each in case.name for each in told.only):
                    continue
                with engine.connect() as connection:
                    later = evolve(case.query, marker=middle(connection, case.query))
                for page, query in (("first", case.query), ("middle", later)):
                    times = " | ".join(f"{value:.2f}" for value in compare(here, there, query, told.rounds))
                    print(f"| {case.caller}, {case.name} | {page} | {times} |", flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
