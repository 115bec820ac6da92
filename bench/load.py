"""Sends small requests as fast as a server answers them: by wrk if it is installed, otherwise by a loop in Python."""

from __future__ import annotations

import json
import random
import re
import select
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.client import Address, connect, parse_head
from bench.processes import Failed

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Request:
    """A request that is sent repeatedly.

    span: (length, file size) in bytes; every request asks for a random range of this length, which begins at a multiple
    of it. places: in every request, a random one replaces `{}` in the path, and a random number `$n` in the body.
    """

    method: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    places: Sequence[str] = ()


@dataclass(frozen=True)
class Rate:
    """The result of a load. median, p99, longest: milliseconds until an answer was complete."""

    requests: int
    seconds: float
    median: float
    p99: float
    longest: float
    failures: int


def drive(address: Address, request: Request, connections: int, seconds: float) -> Rate:
    """Keep `connections` connections busy for `seconds`, with one request at a time on each. Raises Failed, OSError."""
    wrk = shutil.which("wrk")
    if wrk:
        rate = _by_wrk(wrk, address, request, connections, seconds)
    else:
        rate = _by_loop(address, request, connections, seconds)
    if rate.failures >= rate.requests:
        raise Failed(f"{request.method} {request.path}: none of {rate.requests} requests is answered with 2xx")
    return rate


# --- wrk

SCRIPT = """
local fields = {%(fields)s}
local body = %(body)s
local length, ranges = %(length)d, %(ranges)d
local path, places = %(path)s, {%(places)s}
local prepared
request = function()
  if length > 0 then
    local first = math.random(0, ranges - 1) * length
    fields["Range"] = "bytes=" .. first .. "-" .. (first + length - 1)
  elseif #places > 0 then
    local new = body and body:gsub("$n", math.random(0, 1000000))
    return wrk.format(%(method)s, (path:gsub("{}", places[math.random(#places)])), fields, new)
  elseif prepared then
    return prepared
  end
  prepared = wrk.format(%(method)s, path, fields, body)
  return prepared
end
"""


def _by_wrk(wrk: str, address: Address, request: Request, connections: int, seconds: float) -> Rate:
    length, size = request.span or (0, 0)
    fields = {**address.headers, **request.headers}
    text = SCRIPT % {
        "method": json.dumps(request.method),
        "path": json.dumps(address.base + request.path),
        "body": json.dumps(request.body) if request.body else "nil",
        "fields": ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in fields.items()),
        "length": length,
        "ranges": size // length if length else 0,
        "places": ", ".join(json.dumps(place) for place in request.places),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(text)
        script.flush()
        said = subprocess.run(
            [
                *(wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s"),
                *("--timeout", "30s", "--latency", "--script", script.name, f"http://{address.host}:{address.port}/"),
            ],
            capture_output=True,
            text=True,
        )
    if said.returncode:
        raise Failed(f"wrk: {said.stderr or said.stdout}")
    return read_wrk(said.stdout)


def read_wrk(text: str) -> Rate:
    """Parse the report of wrk. Raises Failed: it is not a report."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    latency = re.search(r"Latency +\S+ +\S+ +([\d.]+)(us|ms|s|m)", text)
    shares = {share: float(value) * UNITS[unit] for share, value, unit in re.findall(r"(50|99)% +([\d.]+)(\w+)", text)}
    if not total or not latency or len(shares) < 2:
        raise Failed(f"wrk said:\n{text}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Rate(
        requests=int(total[1]),
        seconds=float(total[2]) * UNITS[total[3]] / 1000,
        median=shares["50"],
        p99=shares["99"],
        longest=float(latency[1]) * UNITS[latency[2]],
        failures=(int(refused[1]) if refused else 0) + (sum(map(int, errors.groups())) if errors else 0),
    )


# --- the loop


class Caller:
    """One connection of the loop."""

    def __init__(self, address: Address, prepare: Callable[[], bytes]) -> None:
        self._address = address
        self._prepare = prepare
        self._head = b""
        self._left: int | None = None
        self._status = 0
        self._began = 0.0
        self.connection = connect(address)

    def send(self) -> None:
        """Send the next request."""
        self._head, self._left = b"", None
        self._began = time.perf_counter()
        self.connection.sendall(self._prepare())

    def receive(self) -> tuple[float, bool] | None:
        """Read once. If the answer is now complete, returns its milliseconds and whether its status was 2xx."""
        data = self.connection.recv(256 << 10)
        if not data:
            raise ConnectionError
        if self._left is None:
            self._head += data
            answer = parse_head(self._head)
            if answer is None:
                return None
            self._status = answer.status
            self._left = answer.length - len(answer.rest)
        else:
            self._left -= len(data)
        if self._left > 0:
            return None
        return (time.perf_counter() - self._began) * 1000, 200 <= self._status < 300

    def renew(self) -> None:
        """Replace a broken connection by a new one."""
        self.connection.close()
        self.connection = connect(self._address)


def _by_loop(address: Address, request: Request, connections: int, seconds: float) -> Rate:
    body = request.body.encode()
    fields = {**request.headers, "Content-Length": str(len(body))} if body else dict(request.headers)
    whole = address.head(request.method, request.path, fields) + body

    def prepare() -> bytes:
        if request.places:
            new = body.replace(b"$n", b"%d" % random.randrange(1_000_000))
            path = request.path.format(random.choice(request.places))
            return address.head(request.method, path, {**fields, "Content-Length": str(len(new))}) + new
        if request.span is None:
            return whole
        length, size = request.span
        first = random.randrange(size // length) * length
        return address.head(request.method, request.path, {**fields, "Range": f"bytes={first}-{first + length - 1}"})

    times: list[float] = []
    failures = 0
    poll = select.epoll()
    callers: dict[int, Caller] = {}

    def begin(caller: Caller) -> None:
        callers[caller.connection.fileno()] = caller
        poll.register(caller.connection, select.EPOLLIN)
        caller.send()

    began = time.perf_counter()
    for _ in range(connections):
        begin(Caller(address, prepare))
    while time.perf_counter() - began < seconds:
        for descriptor, _ in poll.poll(0.1):
            caller = callers[descriptor]
            try:
                done = caller.receive()
                if done:
                    times.append(done[0])
                    failures += not done[1]
                    caller.send()
            except ConnectionError:
                failures += 1
                del callers[descriptor]
                caller.renew()  # closing the old one has removed it from the poll
                begin(caller)
    took = time.perf_counter() - began
    for caller in callers.values():
        caller.connection.shutdown(socket.SHUT_RDWR)
        caller.connection.close()
    poll.close()
    if len(times) < 2:
        raise Failed(f"{request.method} {request.path}: {len(times)} answers in {took:.1f} s")
    p99 = statistics.quantiles(times, n=100)[98]
    return Rate(len(times), took, statistics.median(times), p99, max(times), failures)
