"""A client that uses very little CPU, so that the server is the bottleneck.

Uploads go from a file in memory to the socket by sendfile(2). The kernel drops downloads without a copy (MSG_TRUNC,
tcp(7)). Over TLS, downloads are dropped without decryption.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from bench.processes import Failed

TIMEOUT = 600
"""Seconds that a connection may be without progress."""
STEP = 64 << 20
CHUNK = 64 << 10
DROP_SIZE = 1 << 20
TLS_OVERHEAD = 17
"""Bytes of a record in addition to its content: its type, and the tag of the cipher (RFC 8446, 5.2)."""
TLS_ALERT_SIZE = 2 + TLS_OVERHEAD
TLS_RECORD_SIZE = (1 << 14) + 256


@dataclass(frozen=True)
class Address:
    """Where a server listens. base: the prefix of all paths. headers: of every request."""

    host: str
    port: int
    base: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The head of a request."""
        fields = {"Host": f"{self.host}:{self.port}", **self.headers, **(headers or {})}
        lines = [f"{method} {self.base}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Answer:
    """The head of an answer, and the bytes of the body that came with it."""

    status: int
    headers: dict[str, str]
    rest: bytes

    @property
    def length(self) -> int:
        """Bytes of the body. Raises Failed: there is no Content-Length."""
        if self.status == 204:
            return 0
        if "content-length" not in self.headers:
            raise Failed(f"an answer {self.status} without Content-Length")
        return int(self.headers["content-length"])


def parse_head(data: bytes) -> Answer | None:
    """Parse the answer at the start of `data`. None if its head is not complete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, rest)


def connect(address: Address) -> socket.socket:
    """Open a blocking connection. A call on it raises OSError after TIMEOUT without progress."""
    connection = socket.create_connection((address.host, address.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Not settimeout, which makes the socket non-blocking inside Python: sendfile could not wait.
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", TIMEOUT, 0))
    if address.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context.wrap_socket(connection)
    return connection


def read_head(connection: socket.socket) -> Answer:
    """Wait for the head of an answer. Raises Failed: the server closed the connection."""
    data = b""
    while (answer := parse_head(data)) is None:
        more = connection.recv(16 << 10)
        if not more:
            raise Failed(f"the server closed the connection instead of an answer; it said {data[:100]!r}")
        data += more
    return answer


def ask(
    address: Address, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request outside of the measurements. Returns status and body of the answer."""
    body = b"" if document is None else json.dumps(document).encode()
    fields = {"Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    if body:
        fields["Content-Type"] = "application/json"
    with connect(address) as connection:
        connection.sendall(address.head(method, path, fields) + body)
        answer = read_head(connection)
        data = answer.rest
        length = answer.length
        while len(data) < length:
            more = connection.recv(DROP_SIZE)
            if not more:
                raise Failed(f"{method} {path}: the body is cut off after {len(data)} bytes")
            data += more
    return answer.status, data


def side_by_side(calls: Sequence[Callable[[], None]]) -> None:
    """Run the calls at the same time, each in a thread. Raises Failed with the message of the first failure."""
    faults: list[str] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except (Failed, OSError) as error:
            faults.append(str(error))

    threads = [Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise Failed(faults[0])


# --- uploads


def upload(address: Address, path: str, file: int, size: int, chunked: bool, offset: int = 0) -> None:
    """PUT `size` bytes of an open file, with a Content-Length or in chunks of 64 KiB. Raises Failed, OSError."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    fields = {"Content-Type": "application/octet-stream", "Connection": "close", **framing}
    with connect(address) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer, if it comes, has the reason
            connection.sendall(address.head("PUT", path, fields))
            if chunked:
                _send_chunks(connection, file, offset, size)
            else:
                for start in range(offset, offset + size, STEP):
                    _send(connection, file, start, min(STEP, offset + size - start))
        answer = read_head(connection)
    if answer.status not in (200, 201, 204):
        raise Failed(f"PUT {path}: {answer.status} {answer.rest[:200]!r}")


def _send_chunks(connection: socket.socket, file: int, offset: int, size: int) -> None:
    end = offset + size
    line = b""
    for start in range(offset, end, CHUNK):
        count = min(CHUNK, end - start)
        connection.sendall(line + b"%x\r\n" % count, socket.MSG_MORE)
        _send(connection, file, start, count)
        line = b"\r\n"
    connection.sendall(line + b"0\r\n\r\n")


def _send(connection: socket.socket, file: int, start: int, count: int) -> None:
    end = start + count
    while start < end:
        start += os.sendfile(connection.fileno(), file, start, end - start)


# --- downloads


def download(address: Address, path: str, size: int) -> None:
    """GET a body of `size` bytes, and drop it. Raises Failed, OSError."""
    fields = {"Connection": "close"}
    with connect(address) as connection:
        connection.sendall(address.head("GET", path, fields))
        if isinstance(connection, ssl.SSLSocket):
            with socket.socket(fileno=os.dup(connection.fileno())) as raw:
                _drop_records(raw, size)
            return
        answer = read_head(connection)
        if answer.status != 200 or answer.length != size:
            raise Failed(f"GET {path}: {answer.status}, {answer.headers.get('content-length')} bytes")
        _drop(connection, size - len(answer.rest))


def _drop(connection: socket.socket, size: int) -> None:
    buffer = bytearray(DROP_SIZE)
    while size:
        count = connection.recv_into(buffer, min(DROP_SIZE, size), socket.MSG_TRUNC)
        if not count:
            raise Failed(f"the body is cut off, {size} bytes before its end")
        size -= count


def _drop_records(connection: socket.socket, size: int) -> None:
    """Drop TLS 1.3 records up to the closing alert. Raises Failed: they have fewer than `size` bytes."""
    received = 0
    header, buffer = bytearray(5), bytearray(TLS_RECORD_SIZE)
    while connection.recv_into(header, 5, socket.MSG_WAITALL) == 5:
        length = int.from_bytes(header[3:])
        connection.recv_into(buffer, length, socket.MSG_TRUNC | socket.MSG_WAITALL)
        if length == TLS_ALERT_SIZE and received >= size:
            return
        received += length - TLS_OVERHEAD
    raise Failed(f"the body of {size} bytes is cut off after {received}")


def md5_of(address: Address, path: str) -> str:
    """The MD5 of the body that GET returns, for checks outside of the measurements. Raises Failed, OSError."""
    digest = hashlib.md5(usedforsecurity=False)
    with connect(address) as connection:
        connection.sendall(address.head("GET", path, {"Connection": "close"}))
        answer = read_head(connection)
        if answer.status != 200:
            raise Failed(f"GET {path}: {answer.status}")
        digest.update(answer.rest)
        left = answer.length - len(answer.rest)
        while left and (data := connection.recv(min(left, DROP_SIZE))):
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()
