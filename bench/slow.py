"""Slow clients in one child process. Each sends or reads 1 KiB a second.

`python -m bench.slow` reads a JSON line with the paths from standard input, connects, prints `held`, and goes on until
standard input ends. Then it prints as JSON how many clients the server has disconnected. `Crowd` starts it.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from bench.client import Address
from bench.held import Held, begin, end, held

RATE = 1 << 10
SLOTS = 20
"""The parts of a second. Each client has its turn in one of them, so that they do not all send at once."""
DECLARED = 64 << 20
"""Content-Length of an upload that will never be complete."""
BURST = 100 << 10
"""The first bytes of a slow upload: more than the smallest block, so that the server holds some in memory."""
RECEIVE_BUFFER = 4 << 10


class Crowd(Held):
    """Runs slow clients during the block: an upload to each of `uploads`, and a download of each of `downloads`."""

    def __init__(self, address: Address, uploads: Sequence[str], downloads: Sequence[str]) -> None:
        document = {"address": asdict(address), "uploads": list(uploads), "downloads": list(downloads)}
        super().__init__("bench.slow", document)

    @property
    def cut(self) -> int:
        """The number of clients that the server has disconnected, after the block."""
        return int(self.result["cut"])


class Slow:
    """One slow client."""

    def __init__(self, address: Address, head: bytes, uploads: bool) -> None:
        self._uploads = uploads
        self._pending = BURST if uploads else 0
        self._answered = False
        self.cut = False
        self._connection = socket.socket()
        if not uploads:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._connection.connect((address.host, address.port))
        self._connection.sendall(head)
        self._connection.setblocking(False)

    def step(self, data: bytes) -> None:
        """Send or read the bytes of one second."""
        if self.cut:
            return
        try:
            if self._uploads:
                self._pending += RATE
                self._pending -= self._connection.send(data[: self._pending])
                self._connection.recv(RATE)  # raises BlockingIOError while the server waits for the rest
                self.cut = True
            else:
                taken = self._connection.recv(RATE)
                self.cut = not taken or not (self._answered or taken.startswith(b"HTTP/1.1 200"))
                self._answered = True
        except BlockingIOError:
            pass  # the upload is paused, or the download has no more bytes yet
        except OSError:
            self.cut = True


def main() -> None:
    """Run the clients until standard input ends."""
    document = begin()
    address = Address(**document["address"])
    fields = {"Content-Type": "application/octet-stream", "Content-Length": str(DECLARED)}
    clients = [Slow(address, address.head("PUT", path, fields), True) for path in document["uploads"]]
    clients += [Slow(address, address.head("GET", path), False) for path in document["downloads"]]
    data = bytes(BURST + RATE)
    for client in clients:
        client.step(data)
    held()
    slot = 0
    until = time.monotonic()
    while True:
        until += 1 / SLOTS
        if select.select([sys.stdin], [], [], max(0, until - time.monotonic()))[0]:
            break
        for client in clients[slot::SLOTS]:
            client.step(data)
        slot = (slot + 1) % SLOTS
    end({"cut": sum(client.cut for client in clients)})


if __name__ == "__main__":
    main()
