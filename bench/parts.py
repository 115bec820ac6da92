"""The measurements. Each part is a function that takes a Bench and returns a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType

from bench.accelerated import accelerated
from bench.client import Address, ask, side_by_side, upload
from bench.digests import digests
from bench.load import Request, drive
from bench.neighbours import neighbours
from bench.processes import Failed, Meter, forget_peak, memory, settle
from bench.servers import BUDGET, IMAGE_NAME, ImageServer
from bench.setting import Bench
from bench.slow import Crowd
from bench.table import Sample, Table, Target, interleaved, median
from bench.transfers import downloads, uploads

RANGE = 64 << 10
RECORDS = 1000


def ranges(bench: Bench) -> Table:
    """The cost of a request for 64 KiB at a random place of an image, on persistent connections."""
    table = Table("Ranges of 64 KiB")
    with bench.sources() as sources:
        for source in sources:
            headers = {"Range": f"bytes=0-{RANGE - 1}"}
            status, body = ask(source.address, "GET", source.path, headers=headers)
            if status != 206 or len(body) != RANGE:
                raise Failed(f"{source.name}: a range of {RANGE} bytes gives {status}, {len(body)} bytes")
        for connections in (1, 32):
            table.add(
                _connections(connections),
                interleaved(
                    bench.rounds,
                    {
                        source.name: partial(
                            _requests,
                            bench,
                            source.address,
                            source.pid,
                            Request("GET", source.path, span=(RANGE, bench.size)),
                            connections,
                        )
                        for source in sources
                    },
                ),
            )
    return table


def requests(bench: Bench) -> Table:
    """The rate and the cost of requests for images without data, with two processes. The list has 20 of the 1,000
    images in the catalogue. POST comes last, since it adds images.
    """
    table = Table("Requests, workers = 2")
    with bench.imgsvc(workers=2) as imgsvc:
        _about_images(bench, table, [imgsvc, *bench.others], (1, 16))
    return table


def databases(bench: Bench) -> Table:
    """The same requests with the catalogue in SQLite, in PostgreSQL and in MariaDB. Each database is on this machine
    and commits to the disk. The CPU time of database servers is shown separately.
    """
    table = Table("Requests, workers = 2, by database")
    with ExitStack() as stack:
        subjects = [stack.enter_context(bench.imgsvc_on(kind)) for kind in ("SQLite", "PostgreSQL", "MariaDB")]
        _about_images(bench, table, subjects, (16,))
    return table


def _about_images(bench: Bench, table: Table, subjects: Sequence[ImageServer], connections: Sequence[int]) -> None:
    """Add the rows of requests for images to the table. Each server has a catalogue of RECORDS images."""
    images = {server.name: [server.new_image() for _ in range(RECORDS)] for server in subjects}
    for server in subjects:
        if server.pid:
            settle(server.pid)
    document = f'{{"name": "{IMAGE_NAME}", "disk_format": "raw", "container_format": "bare"}}'
    patch = (
        '[{"op": "add", "path": "/os_distro", "value": "debian"}, {"op": "replace", "path": "/min_ram", "value": $n}]'
    )
    json_type = {"Content-Type": "application/json"}
    patch_type = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    cases: list[tuple[str, Callable[[ImageServer], Request]]] = [
        ("GET image", lambda server: Request("GET", f"/v2/images/{images[server.name][-1]}")),
        ("GET 20 of 1,000", lambda server: Request("GET", "/v2/images?limit=20")),
        (
            "PATCH image",
            lambda server: Request("PATCH", "/v2/images/{}", patch, patch_type, places=images[server.name]),
        ),
        ("POST image", lambda server: Request("POST", "/v2/images", document, json_type)),
    ]
    for case, request in cases:
        for number in connections:
            runs = {server.name: partial(_asked, bench, server, request, number) for server in subjects}
            table.add(f"{case}, {_connections(number)}", interleaved(bench.rounds, runs))


def _asked(bench: Bench, server: ImageServer, request: Callable[[ImageServer], Request], connections: int) -> Sample:
    sample = partial(_requests, bench, server.address, server.pid, request(server), connections)
    if server.database_pid is None:
        return sample()
    with Meter(server.database_pid) as meter:
        result = sample()
    assert meter.cpu is not None
    return result | {"database CPU ms/request": meter.cpu * 1000 / (result["requests/s"] * bench.seconds)}


def _requests(bench: Bench, address: Address, pid: int | None, request: Request, connections: int) -> Sample:
    with Meter(pid) as meter:
        rate = drive(address, request, connections, bench.seconds)
    sample = {"requests/s": rate.requests / rate.seconds}
    if meter.cpu is not None:
        sample["CPU ms/request"] = meter.cpu * 1000 / rate.requests
    return sample | {"p50 ms": rate.median, "p99 ms": rate.p99, "failures": rate.failures}


def memories(bench: Bench) -> Table:
    """The memory of a process: after its start, and at the peak of heavy loads. Every measurement starts a new daemon.
    The other server is not restarted; only its peak is reset.
    """
    table = Table("Resident memory")
    cases: list[tuple[str, Callable[[Bench, ImageServer], int], float]] = [
        ("idle", _nothing, 100),
        ("200 slow downloads, 64 slow uploads, 4 fast uploads", _many_transfers, 250),
        ("1,000 slow uploads", _thousand_uploads, BUDGET + 150),
    ]
    for case, load, limit in cases:
        runs: dict[str, Callable[[], Sample]] = {"imgsvc": partial(_fresh_peak, bench, load)}
        for server in bench.others:
            if server.pid:
                runs[server.name] = partial(_peak, bench, server, load)
        results = interleaved(bench.rounds, runs)
        table.add(case, results)
        table.targets.append(Target(f"MiB: {case}", median(results["imgsvc"], "MiB"), limit))
    return table


def _fresh_peak(bench: Bench, load: Callable[[Bench, ImageServer], int]) -> Sample:
    with bench.imgsvc() as server:
        return _peak(bench, server, load)


def _peak(bench: Bench, server: ImageServer, load: Callable[[Bench, ImageServer], int]) -> Sample:
    assert server.pid is not None
    cut = load(bench, server)
    sample = {"MiB": memory(server.pid)[1], "cut off": cut}
    server.clear()
    return sample


def _nothing(bench: Bench, server: ImageServer) -> int:
    assert server.pid is not None
    forget_peak(server.pid)
    time.sleep(2)
    return 0


def _many_transfers(bench: Bench, server: ImageServer) -> int:
    assert server.pid is not None
    source = server.new_path()
    upload(server.address, source, bench.file, bench.size, chunked=False)
    slow = [server.new_path() for _ in range(64)]
    fast = [server.new_path() for _ in range(4)]
    forget_peak(server.pid)
    with Crowd(server.address, slow, [source] * 200) as crowd:
        began = time.monotonic()
        side_by_side([partial(upload, server.address, path, bench.file, bench.size, False) for path in fast])
        time.sleep(max(0, bench.hold - (time.monotonic() - began)))
    return crowd.cut


def _thousand_uploads(bench: Bench, server: ImageServer) -> int:
    assert server.pid is not None
    slow = [server.new_path() for _ in range(1000)]
    forget_peak(server.pid)
    with Crowd(server.address, slow, []) as crowd:
        time.sleep(bench.hold)
    return crowd.cut


def latency(bench: Bench) -> Table:
    """How long small requests wait for transfers: GET of an image, one at a time, alone and beside slow clients.
    `failures` are requests without an answer of 2xx, and slow clients that were disconnected.
    """
    table = Table("GET image beside slow clients")
    with bench.imgsvc() as imgsvc:
        subjects = [imgsvc, *bench.others]
        runs = {}
        for server in subjects:
            path, request = bench.upload_source(server), Request("GET", f"/v2/images/{server.new_image()}")
            runs[server.name, 0] = partial(_latency, bench, server, request, path, 0)
            runs[server.name, 64] = partial(_latency, bench, server, request, path, 64)
        samples: dict[tuple[str, int], list[Sample]] = {key: [] for key in runs}
        for _ in range(bench.rounds):
            for key, run in runs.items():
                samples[key].append(run())
        for slow, case in ((0, "quiet"), (64, "beside 64 slow uploads and 64 slow downloads")):
            table.add(case, {server.name: samples[server.name, slow] for server in subjects})
        table.targets = [
            Target("p99 ms beside slow clients", median(samples["imgsvc", 64], "p99 ms"), 50),
            Target("failures beside slow clients", max(s["failures"] for s in samples["imgsvc", 64]), 0),
        ]
    return table


def _latency(bench: Bench, server: ImageServer, request: Request, path: str, slow: int) -> Sample:
    with Crowd(server.address, [server.new_path() for _ in range(slow)], [path] * slow) as crowd:
        time.sleep(1)  # the start of the slow clients is not to be measured
        rate = drive(server.address, request, 1, bench.seconds)
    server.clear()
    return {
        "p50 ms": rate.median,
        "p99 ms": rate.p99,
        "max ms": rate.longest,
        "requests": rate.requests,
        "failures": rate.failures + crowd.cut,
    }


def _connections(number: int) -> str:
    return "1 connection" if number == 1 else f"{number} connections"


PARTS: Mapping[str, Callable[[Bench], Table]] = MappingProxyType(
    {
        "upload": uploads,
        "digests": digests,
        "download": downloads,
        "accelerated": accelerated,
        "range": ranges,
        "requests": requests,
        "databases": databases,
        "memory": memories,
        "latency": latency,
        "neighbours": neighbours,
    }
)
