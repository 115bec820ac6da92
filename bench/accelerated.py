"""What downloads through nginx cost: with accelerated answers, without them, and from nginx alone."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import servers
from bench.client import Address, ask, md5_of
from bench.load import Request, drive
from bench.processes import Failed, Meter, Process, free_port
from bench.setting import Bench, quieten
from bench.table import Sample, Table, Target, interleaved, median_ratio
from bench.transfers import download_by
from tests.support.documents import block

RANGE = 64 << 10
WITH, WITHOUT, ALONE = "nginx, accelerated", "nginx, not accelerated", "nginx alone"

NGINX = """
user {user} {user};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 16384; }}
http {{
    access_log access.log;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    ssl_protocols TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Imgsvc-Accelerated $accelerated;
    proxy_request_buffering off;
    proxy_buffering off;
    client_max_body_size 0;
    upstream imgsvc {{
        server 127.0.0.1:{imgsvc};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    {fronts}
}}
"""
FRONT = """
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        {accelerated}
        location / {{ proxy_pass http://imgsvc; }}
    }}
"""


@dataclass
class Way:
    """A way to the source file. pids: of all processes whose CPU time counts."""

    name: str
    address: Address
    tls: Address
    path: str
    pids: tuple[int | None, ...]


def accelerated(bench: Bench) -> Table:
    """The cost of downloads and of ranges of 64 KiB through nginx. The CPU time of both servers counts."""
    table = Table("Downloads through nginx")
    with _ways(bench) as ways:
        for case, tls in (("1 client", False), ("1 client, TLS", True)):
            results = interleaved(
                bench.rounds,
                {way.name: partial(_download, bench, way, way.tls if tls else way.address) for way in ways},
            )
            table.add(case, results)
            speed = median_ratio(results[WITH], results[ALONE], "MB/s")
            cpu = median_ratio(results[WITH], results[ALONE], "CPU s/GiB")
            table.targets.append(Target(f"speed / nginx alone: {case}", speed, 0.95, at_least=True))
            table.targets.append(Target(f"CPU / nginx alone: {case}", cpu, 1.1))
        results = interleaved(bench.rounds, {way.name: partial(_ranges, bench, way) for way in ways})
        table.add("ranges of 64 KiB, 32 connections", results)
        rate = median_ratio(results[WITH], results[WITHOUT], "requests/s")
        table.targets.append(Target("rate of ranges / not accelerated", rate, 0.9, at_least=True))
    return table


def _download(bench: Bench, way: Way, address: Address) -> Sample:
    return download_by(bench, address, way.path, way.pids, 1)


def _ranges(bench: Bench, way: Way) -> Sample:
    with Meter(*way.pids) as meter:
        rate = drive(way.address, Request("GET", way.path, span=(RANGE, bench.size)), 32, bench.seconds)
    assert meter.cpu is not None
    cpu = meter.cpu * 1000 / rate.requests
    return {
        "requests/s": rate.requests / rate.seconds,
        "CPU ms/request": cpu,
        "p99 ms": rate.p99,
        "failures": rate.failures,
    }


@contextmanager
def _ways(bench: Bench) -> Iterator[list[Way]]:
    """Run imgsvc, nginx in front of it, and nginx alone. Raises Failed: nginx is not installed, or sends other bytes.

    Each file has been downloaded once and compared, so it is right and in the page cache.
    """
    with ExitStack() as stack:
        imgsvc = stack.enter_context(bench.imgsvc(x_accel=True))
        path = bench.upload_source(imgsvc)
        nginx, addresses = stack.enter_context(_fronts(bench.new_folder("fronts"), imgsvc, bench.certificate))
        alone = stack.enter_context(servers.nginx(bench.new_folder("nginx"), bench.source, bench.certificate))
        pids = (imgsvc.pid, nginx)
        ways = [Way(name, address, tls, path, pids) for name, (address, tls) in addresses.items()]
        ways.append(Way(ALONE, alone.address, alone.tls, servers.FILE_PATH, (alone.pid,)))
        for way in ways:
            if md5_of(way.address, way.path) != bench.digest:
                raise Failed(f"{way.name}: the data are not those that were uploaded")
            status, body = ask(way.address, "GET", way.path, headers={"Range": f"bytes=0-{RANGE - 1}"})
            if status != 206 or len(body) != RANGE:
                raise Failed(f"{way.name}: a range of {RANGE} bytes gives {status}, {len(body)} bytes")
        quieten()
        yield ways


@contextmanager
def _fronts(
    folder: Path, imgsvc: servers.ImageServer, certificate: Path
) -> Iterator[tuple[int, dict[str, tuple[Address, Address]]]]:
    """Run nginx in front of imgsvc. Yields its process, and two addresses for each way, without and with TLS."""
    program = servers.find_nginx()
    if program is None:
        raise Failed("nginx is not installed")
    assert imgsvc.folder is not None
    folder.mkdir()
    on = block("Accelerated downloads", "nginx").replace("/srv/images", str(imgsvc.folder / "data" / "images"))
    addresses: dict[str, tuple[Address, Address]] = {}
    fronts = ""
    for name, told in ((WITH, on), (WITHOUT, 'set $accelerated "";')):
        address = Address("127.0.0.1", free_port())
        addresses[name] = address, replace(address, port=free_port(), tls=True)
        fronts += FRONT.format(port=address.port, tls_port=addresses[name][1].port, accelerated=told)
    text = NGINX.format(
        user=pwd.getpwuid(os.getuid()).pw_name, certificate=certificate, imgsvc=imgsvc.address.port, fronts=fronts
    )
    (folder / "nginx.conf").write_text(text)
    process = Process([program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"], folder)
    try:
        process.wait_until(lambda: servers.answers(addresses[WITH][0], "/healthcheck"))
        yield process.pid, addresses
    finally:
        process.stop()
        shutil.rmtree(folder)
