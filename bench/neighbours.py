"""Measures how long a client waits for its answers while hostile clients attack the server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from bench.attacks import Attack, Attackers
from bench.client import Address, ask, upload
from bench.load import Request, drive
from bench.processes import Failed, forget_peak, memory, settle
from bench.servers import BUDGET, IMAGE_NAME, ImageServer, Nginx, file_path
from bench.setting import MIB, Bench
from bench.table import Sample, Table, Target, interleaved, median

LIMIT = 50.0
"""The p99 during an attack may be this many milliseconds."""
OF_REFUSAL = 3
"""The p99 may also be this many times as long as during the same attack on a server that refuses at once. That server
shows what the machine itself costs."""
ABOVE_BUDGET = 150
"""MiB of memory that a process may use in addition to server.memory_budget."""
MISSING = "00000000-0000-4000-8000-000000000000"
OPERATOR = MappingProxyType(
    {"X-Identity-Status": "Confirmed", "X-User-Id": "victim", "X-Project-Id": "operators", "X-Roles": "admin,member"}
)
READER = MappingProxyType(
    {"X-Identity-Status": "Confirmed", "X-User-Id": "attacker", "X-Project-Id": "guests", "X-Roles": "reader"}
)
UPLOADED = MIB
"""Bytes of an upload during an attack."""
CONNECTING = 0.2
"""Seconds that a victim needs to connect."""
LARGE_IMAGES = 200
VALUE = 60 << 10
VALUES = 15
"""Images of a large list, bytes of a property's value, and such properties of each image."""


@dataclass(frozen=True)
class Case:
    """An attack, and the options of the attacked server.

    path: prepares the server, and returns the path for the attack's requests. attacker: identity headers of the attack.
    budget: MiB. descriptors: see servers.imgsvc. uploads: the victim uploads images instead of reading one.
    """

    name: str
    attack: Attack
    path: Callable[[Bench, ImageServer], str] = lambda bench, server: ""
    attacker: Mapping[str, str] = field(default_factory=lambda: OPERATOR)
    tls: bool = False
    budget: int = BUDGET
    descriptors: int = 0
    uploads: bool = False


def _an_image(bench: Bench, server: ImageServer) -> str:
    return f"/v2/images/{server.new_image()}"


def _no_image(bench: Bench, server: ImageServer) -> str:
    return f"/v2/images/{MISSING}"


def _data(bench: Bench, server: ImageServer) -> str:
    path = file_path(server.new_image())
    upload(server.address, path, bench.file, min(bench.size, 64 * MIB), chunked=False)
    return path


def _large_list(bench: Bench, server: ImageServer) -> str:
    """The path of a list of images that are almost as large as a request may be."""
    image: dict[str, Any] = {"name": IMAGE_NAME, "disk_format": "raw", "container_format": "bare"}
    image |= {f"p{number}": "x" * VALUE for number in range(VALUES)}
    for _ in range(LARGE_IMAGES):
        status, body = ask(server.address, "POST", "/v2/images", image)
        if status != 201:
            raise Failed(f"{server.name}: POST of a large image: {status} {body[:200]!r}")
    return f"/v2/images?limit={LARGE_IMAGES}"


SLOW_READERS = Attack("trickle", 1150, amount=16 << 10, interval=10)
CASES = (
    Case("8 connections, nested JSON", Attack("flood", 8, "nested")),
    Case("the same, by a role that may not create", Attack("flood", 8, "nested"), attacker=READER),
    Case("the same, PATCH of no image", Attack("flood", 8, "nested_patch"), _no_image),
    Case("8 connections, PATCH of 22,000 operations", Attack("flood", 8, "many_operations"), _an_image),
    Case("8 connections, POST of 90,000 keys", Attack("flood", 8, "many_keys")),
    Case("a list of 200 images of 0.9 MiB", Attack("flood", 1), _large_list),
    Case("10 readers of that list who hardly read", Attack("trickle", 10, amount=1 << 10), _large_list),
    Case("1,150 slow readers over TLS", SLOW_READERS, _data, tls=True),
    Case("the same; uploads of 1 MiB", SLOW_READERS, _data, tls=True, uploads=True),
    Case(
        "150 of these, a budget of 16 MiB; uploads of 1 MiB",
        replace(SLOW_READERS, connections=150),
        _data,
        tls=True,
        budget=16,
        uploads=True,
    ),
    Case("32 connections that pipeline", Attack("flood", 32, "pipelined"), _an_image),
    Case("16 connections, lists of ever new shapes", Attack("flood", 16, "new_shapes")),
    Case("9,700 slow downloads that begin at once", Attack("storm", 9700), _data),
    Case("1,100 idle connections, 1,024 descriptors", Attack("idle", 1100), descriptors=1024),
)


def neighbours(bench: Bench) -> Table:
    """How long a victim waits for its answers: alone, during each attack, and during the same attack on an nginx that
    refuses at once (`refusing`). The victim has one connection and sends one request at a time. `MiB`: peak of resident
    memory, including that of an idle daemon. `failures`: of the victim. In the cases of writes by two workers, the
    writers themselves are the victims.
    """
    table = Table("Beside hostile clients")
    with bench.refusing() as nginx:
        with bench.imgsvc(identity=dict(OPERATOR)) as server:
            table.add("alone", interleaved(bench.rounds, {"imgsvc": _victim(bench, server, False)}))
            table.add("alone, uploads of 1 MiB", interleaved(bench.rounds, {"imgsvc": _victim(bench, server, True)}))
        for case in CASES:
            print(f"  {case.name}", file=sys.stderr, flush=True)
            _measure(bench, table, case, nginx)
        _writes(bench, table)
    return table


def _measure(bench: Bench, table: Table, case: Case, nginx: Nginx | None) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(
            bench.imgsvc(tls=case.tls, budget=case.budget, identity=dict(OPERATOR), descriptors=case.descriptors)
        )
        path = case.path(bench, server)
        assert server.pid is not None
        settle(server.pid)
        own = server.tls if case.tls else server.address
        assert own is not None
        runs: dict[str, Callable[[], Sample]] = {"imgsvc": partial(_beside, bench, case, server, own, path)}
        if nginx is not None:
            refusing = nginx.refusing_tls if case.tls else nginx.refusing
            runs["refusing"] = partial(_beside, bench, case, server, refusing, path)
        results = interleaved(bench.rounds, runs)
    table.add(case.name, results)
    beside = median(results.get("refusing", []), "p99 ms") or 0.0
    limit = max(LIMIT, OF_REFUSAL * beside)
    table.targets += [
        Target(f"p99 ms: {case.name}", median(results["imgsvc"], "p99 ms"), round(limit, 1)),
        Target(f"MiB: {case.name}", median(results["imgsvc"], "MiB"), case.budget + ABOVE_BUDGET),
        Target(f"failures: {case.name}", median(results["imgsvc"], "failures"), 0),
    ]


def _beside(bench: Bench, case: Case, server: ImageServer, attacked: Address, path: str) -> Sample:
    """The victim's times while `attacked` is under attack."""
    assert server.pid is not None
    victim = _victim(bench, server, case.uploads)
    forget_peak(server.pid)
    attackers = Attackers(replace(case.attack, path=path), replace(attacked, headers=dict(case.attacker)))
    storm = case.attack.kind == "storm"
    with ThreadPoolExecutor(1) as pool:
        if storm:  # the victim connects first; otherwise it would wait behind all the others
            answers = pool.submit(victim)
            time.sleep(CONNECTING)
        with attackers:
            if not storm:
                time.sleep(1)  # until the attack has its full strength
                answers = pool.submit(victim)
            try:
                sample = answers.result()
            except (Failed, OSError):  # the victim got no answer
                sample = {"p99 ms": bench.seconds * 1000, "failures": 1}
            sample["MiB"] = memory(server.pid)[1]
    settle(server.pid)
    shown = {f"attack: {name}": value for name, value in attackers.result.items()}
    return sample | shown


def _victim(bench: Bench, server: ImageServer, uploads: bool) -> Callable[[], Sample]:
    if uploads:
        return partial(_uploads, bench, server)
    return partial(_requests, bench, server.address, Request("GET", f"/v2/images/{server.new_image()}"), 1)


def _requests(bench: Bench, address: Address, request: Request, connections: int) -> Sample:
    rate = drive(address, request, connections, bench.seconds)
    return {"p50 ms": rate.median, "p99 ms": rate.p99, "max ms": rate.longest, "failures": rate.failures}


def _uploads(bench: Bench, server: ImageServer) -> Sample:
    """Upload one image after the other. With fewer than 100, the p99 is the longest time."""
    times: list[float] = []
    until = time.monotonic() + bench.seconds
    while time.monotonic() < until:
        path = server.new_path()
        began = time.perf_counter()
        upload(server.address, path, bench.file, UPLOADED, chunked=False)
        times.append((time.perf_counter() - began) * 1000)
    server.clear()
    times.sort()
    p99 = times[int(len(times) * 0.99)] if len(times) > 1 else times[0]
    return {"p50 ms": times[len(times) // 2], "p99 ms": p99, "max ms": times[-1], "failures": 0}


def _writes(bench: Bench, table: Table) -> None:
    with bench.imgsvc(workers=2, identity=dict(OPERATOR)) as server:
        images = [server.new_image() for _ in range(1000)]
        document = json.dumps({"name": IMAGE_NAME, "disk_format": "raw", "container_format": "bare"})
        patch = '[{"op": "replace", "path": "/min_ram", "value": $n}]'
        patch_type = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        requests = {
            "POST": Request("POST", "/v2/images", document, {"Content-Type": "application/json"}),
            "PATCH": Request("PATCH", "/v2/images/{}", patch, patch_type, places=images),
        }
        for method, request in requests.items():
            case = f"{method}, 16 connections, two workers on SQLite"
            results = interleaved(bench.rounds, {"imgsvc": partial(_requests, bench, server.address, request, 16)})
            table.add(case, results)
            table.targets.append(Target(f"p99 ms: {case}", median(results["imgsvc"], "p99 ms"), LIMIT))
