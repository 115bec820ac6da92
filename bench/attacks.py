"""Hostile clients in one child process, `python -m bench.attacks`.

An `Attack` describes them. A client of a flood sends its next request when the last answer has come or the connection
has broken. A client of a trickle sends one request, and then reads a little of the answer every few seconds. Idle
clients connect and send nothing. The clients of a storm all connect at the same moment and send one request each.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from bench.client import Address, connect, parse_head
from bench.held import Held, begin, end, held
from bench.payloads import PAYLOADS, PIPELINED

RECEIVE_BUFFER = 4 << 10
READ_SIZE = 256 << 10


@dataclass(frozen=True)
class Attack:
    """kind: `flood`, `trickle`, `idle` or `storm`. payload: a name in `PAYLOADS`. path: of the requests.

    amount: bytes that a client of a trickle reads every `interval` seconds.
    """

    kind: str
    connections: int
    payload: str = "get"
    path: str = ""
    amount: int = 0
    interval: float = 1.0


class Attackers(Held):
    """Runs an attack during the block. `result`: numbers by name, such as `answers` of a flood."""

    def __init__(self, attack: Attack, address: Address) -> None:
        super().__init__("bench.attacks", {"attack": asdict(attack), "address": asdict(address)})


class Flooder:
    """One connection of a flood. It never blocks."""

    def __init__(self, address: Address, requests: Iterator[bytes], batch: int) -> None:
        self._address = address
        self._requests = requests
        self._batch = batch
        self.answers = 0
        self.refused = 0
        self.broken = 0
        self.connect()

    def connect(self) -> None:
        """Open a new connection and begin the next request."""
        self.connection = socket.socket()
        self.connection.setblocking(False)
        self.connection.connect_ex((self._address.host, self._address.port))
        self._next()

    def _next(self) -> None:
        self._out = memoryview(next(self._requests))
        self._left = self._batch
        self._head = b""
        self._body = 0
        self._closes = False

    def step(self, events: int) -> bool:
        """Send and receive what is possible now. Returns whether the connection is still usable."""
        try:
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._receive():
                return False
            if self._out and events & select.EPOLLOUT:
                self._out = self._out[self.connection.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self.broken += 1
            return False
        return True

    @property
    def wants(self) -> int:
        """The events to wait for."""
        return select.EPOLLIN | (select.EPOLLOUT if self._out else 0)

    def _receive(self) -> bool:
        data = self.connection.recv(READ_SIZE)
        if not data:
            self.broken += 1
            return False
        while data:
            if self._body:
                taken = min(self._body, len(data))
                self._body -= taken
                data = data[taken:]
            else:
                self._head += data
                answer = parse_head(self._head)
                if answer is None:
                    return True
                data, self._head = answer.rest, b""
                self._body = answer.length
                self.refused += answer.status >= 400
                self._closes = answer.headers.get("connection", "").lower() == "close"
            if self._body == 0:
                self.answers += 1
                self._left -= 1
                if self._out or self._closes:  # the server refused the request before all of it was sent
                    return False
                if not self._left:
                    self._next()
        return True


class Trickler:
    """One connection that sends one request and reads the answer slowly."""

    def __init__(self, address: Address, request: bytes, amount: int, small_buffer: bool) -> None:
        self._amount = amount
        self.connection = connect(address) if address.tls else socket.create_connection((address.host, address.port))
        if small_buffer:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if request:
            self.connection.sendall(request)
        self.connection.setblocking(False)
        self.cut = False

    def step(self) -> None:
        """Read the next few bytes."""
        if self.cut:
            return
        left = self._amount
        try:
            while left > 0 and (data := self.connection.recv(left)):
                left -= len(data)
            self.cut = left > 0
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.cut = True


def main() -> None:
    """Attack until standard input ends."""
    document = begin()
    attack, address = Attack(**document["attack"]), Address(**document["address"])
    end({"flood": flood, "trickle": trickle, "idle": trickle, "storm": storm}[attack.kind](attack, address))


def flood(attack: Attack, address: Address) -> dict[str, float]:
    """Send requests as fast as they are answered."""
    make = PAYLOADS[attack.payload]
    batch = PIPELINED if attack.payload == "pipelined" else 1
    poll = select.epoll()
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    clients: dict[int, Flooder] = {}

    def register(client: Flooder) -> None:
        clients[client.connection.fileno()] = client
        poll.register(client.connection, client.wants)

    everybody = [Flooder(address, make(address, attack.path), batch) for _ in range(attack.connections)]
    for client in everybody:
        register(client)
    held()
    while True:
        for descriptor, events in poll.poll():
            if descriptor == sys.stdin.fileno():
                return {
                    "answers": sum(client.answers for client in everybody),
                    "refused": sum(client.refused for client in everybody),
                    "broken": sum(client.broken for client in everybody),
                }
            client = clients[descriptor]
            if client.step(events):
                poll.modify(descriptor, client.wants)
            else:
                del clients[descriptor]
                client.connection.close()
                client.connect()
                register(client)


def trickle(attack: Attack, address: Address) -> dict[str, float]:
    """Run slow readers, or idle clients."""
    idle = attack.kind == "idle"
    request = b"" if idle else next(PAYLOADS[attack.payload](address, attack.path))
    clients: list[Trickler] = []
    for _ in range(attack.connections):
        with suppress(OSError):
            clients.append(Trickler(address, request, attack.amount, not address.tls))
    held()
    _take_slowly(clients, attack.interval)
    for client in clients if idle else []:
        with suppress(BlockingIOError):
            try:
                client.cut = not client.connection.recv(1)
            except ConnectionError:
                client.cut = True
    cut = sum(client.cut for client in clients)
    return {"cut off": cut + attack.connections - len(clients)}


def _take_slowly(clients: list[Trickler], interval: float) -> None:
    """Let each client read once in every interval, evenly spread, until standard input ends."""
    slots = 20
    until = time.monotonic()
    slot = 0
    while True:
        until += interval / slots
        if select.select([sys.stdin], [], [], max(0, until - time.monotonic()))[0]:
            return
        for client in clients[slot::slots]:
            client.step()
        slot = (slot + 1) % slots


def storm(attack: Attack, address: Address) -> dict[str, float]:
    """Connect all clients at once. Measures the seconds until the last answer began."""
    request = next(PAYLOADS[attack.payload](address, attack.path))
    held()
    began = time.monotonic()
    poll = select.epoll()
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    waiting: dict[int, socket.socket] = {}
    connected, answered, broken = 0, 0, 0
    result: dict[str, float] = {}
    for _ in range(attack.connections):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.setblocking(False)
        connection.connect_ex((address.host, address.port))
        waiting[connection.fileno()] = connection
        poll.register(connection, select.EPOLLOUT)
    while True:
        for descriptor, events in poll.poll():
            if descriptor == sys.stdin.fileno():
                result.setdefault("connected s", time.monotonic() - began)
                result.setdefault("answered s", time.monotonic() - began)
                return result | {"answered": answered, "broken": broken}
            connection = waiting[descriptor]
            try:
                if events & select.EPOLLOUT:
                    connection.send(request)
                    connected += 1
                    poll.modify(descriptor, select.EPOLLIN)
                else:
                    answered += bool(connection.recv(1))
                    poll.unregister(descriptor)
            except OSError:
                broken += 1
                poll.unregister(descriptor)
            now = time.monotonic() - began
            if connected + broken >= attack.connections:
                result.setdefault("connected s", now)
            if answered + broken >= attack.connections:
                result.setdefault("answered s", now)


if __name__ == "__main__":
    main()
