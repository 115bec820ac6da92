"""What whole uploads and downloads cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from bench.client import Address, download, side_by_side, upload
from bench.processes import Meter
from bench.servers import Floor, ImageServer
from bench.setting import MIB, Bench, Source, quieten, take_memory
from bench.table import Sample, Table, Target, interleaved, median_ratio

GIB = 1 << 30
WARM_UP = 16 * MIB


def uploads(bench: Bench) -> Table:
    """The cost of uploads, compared with the least that a server in Python needs: the floor, which hashes and writes in
    one loop, and MD5 alone, which limits the speed of one upload. Four clients share the bytes of one.
    """
    table = Table("Upload")
    for fsync in (True, False):
        with bench.imgsvc(fsync=fsync) as imgsvc, bench.floor(fsync) as floor:
            takers: list[ImageServer | Floor] = [imgsvc, floor, *bench.others]
            for taker in takers:
                upload(taker.address, taker.new_path(), bench.file, min(WARM_UP, bench.size), chunked=False)
                taker.clear()
            for clients, chunked in ((1, False), (1, True), (4, False)):
                framing = "chunked" if chunked else "Content-Length"
                case = f"{in_words(clients)}, {framing}, fsync = {'true' if fsync else 'false'}"
                runs: dict[str, Callable[[], Sample]] = {
                    taker.name: partial(upload_by, bench, taker, clients, chunked) for taker in takers
                }
                results = interleaved(bench.rounds, runs | {"MD5 alone": bench.md5_alone})
                table.add(case, results)
                cpu = median_ratio(results["imgsvc"], results["floor"], "CPU s/GiB")
                table.targets.append(Target(f"CPU / floor: {case}", cpu, 1.25))
                if clients == 1:
                    speed = median_ratio(results["imgsvc"], results["MD5 alone"], "MB/s")
                    table.targets.append(Target(f"speed / MD5 alone: {case}", speed, 0.65, at_least=True))
    return table


def upload_by(bench: Bench, taker: ImageServer | Floor, clients: int, chunked: bool) -> Sample:
    """Upload parts of the source, by so many clients at once."""
    share = bench.size // clients
    calls = [
        partial(upload, taker.address, taker.new_path(), bench.file, share, chunked, number * share)
        for number in range(clients)
    ]
    quieten()
    take_memory(bench.folder, bench.size)
    with Meter(taker.pid) as meter:
        side_by_side(calls)
    taker.clear()
    return throughput(meter, share * clients)


def downloads(bench: Bench) -> Table:
    """The cost of downloads, compared with nginx, which uses sendfile(2). Every client downloads the whole file again
    and again; it is in the page cache. Over TLS both encrypt.
    """
    table = Table("Download")
    with bench.sources() as sources:
        for clients in (1, 4):
            runs = {source.name: partial(_download, bench, source, source.address, clients) for source in sources}
            results = interleaved(bench.rounds, runs)
            table.add(in_words(clients), results)
            nginx = results.get("nginx", [{}] * bench.rounds)
            speed = median_ratio(results["imgsvc"], nginx, "MB/s")
            cpu = median_ratio(results["imgsvc"], nginx, "CPU s/GiB")
            table.targets.append(Target(f"speed / nginx: {in_words(clients)}", speed, 0.9, at_least=True))
            table.targets.append(Target(f"CPU / nginx: {in_words(clients)}", cpu, 1.3))
        runs = {s.name: partial(_download, bench, s, s.tls, 1) for s in sources if s.tls}
        table.add("1 client, TLS", interleaved(bench.rounds, runs))
    return table


def _download(bench: Bench, source: Source, address: Address, clients: int) -> Sample:
    return download_by(bench, address, source.path, (source.pid,), clients)


def download_by(bench: Bench, address: Address, path: str, pids: Sequence[int | None], clients: int) -> Sample:
    """Download the whole source again and again, by so many clients at once. pids: the processes that serve it."""
    sizes: list[int] = []

    def again_and_again() -> None:  # one download may be too short to measure
        until = time.monotonic() + bench.seconds / 5
        while time.monotonic() < until:
            download(address, path, bench.size)
            sizes.append(bench.size)

    with Meter(*pids) as meter:
        side_by_side([again_and_again] * clients)
    return throughput(meter, sum(sizes))


def throughput(meter: Meter, size: int) -> Sample:
    """The speed and the CPU time of a measured transfer. size: bytes."""
    sample = {"MB/s": size / 1e6 / meter.seconds}
    if meter.cpu is not None:
        sample["CPU s/GiB"] = meter.cpu / (size / GIB)
    return sample | {"client busy %": meter.client / meter.seconds * 100}


def in_words(number: int) -> str:
    """A number of clients, for a table."""
    return "1 client" if number == 1 else f"{number} clients"
