"""The floor: the least work that a server in Python must do for an upload, in one thread and one plain loop.

`python -m bench.floor PORT FOLDER [--fsync]` serves one connection after the other, with one request on each. It reads
the head, reads the body from the socket in pieces of 256 KiB, computes MD5 and SHA-512, writes the pieces to a file,
and answers 204 with the digests. It has no catalogue, no checks and no concurrent clients.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

READ_SIZE = 256 << 10


class Reader:
    """Reads a connection through one buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._start = self._end = 0

    def _fill(self) -> None:
        """Move the unread bytes to the front, and receive more behind them."""
        unread = self._end - self._start
        self._buffer[:unread] = bytes(self._buffer[self._start : self._end])
        count = self._connection.recv_into(self._buffer[unread:])
        if not count:
            raise ConnectionError("the request is cut off")
        self._start, self._end = 0, unread + count

    def until(self, mark: bytes) -> bytes:
        """The bytes before the mark. The mark is skipped."""
        while (found := bytes(self._buffer[self._start : self._end]).find(mark)) < 0:
            self._fill()
        text = bytes(self._buffer[self._start : self._start + found])
        self._start += found + len(mark)
        return text

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, in pieces as they arrive. Each piece is valid until the next one is read."""
        while size:
            if self._start == self._end:
                self._fill()
            piece = self._buffer[self._start : min(self._end, self._start + size)]
            self._start += len(piece)
            size -= len(piece)
            yield piece

    def chunks(self) -> Iterator[memoryview]:
        """The pieces of a chunked body."""
        while size := int(self.until(b"\r\n").partition(b";")[0], 16):
            yield from self.pieces(size)
            self.until(b"\r\n")
        while self.until(b"\r\n"):
            pass  # trailers


def serve(connection: socket.socket, folder: Path, fsync: bool) -> None:
    """Serve one upload."""
    reader = Reader(connection)
    line, *lines = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = reader.pieces(int(headers["content-length"])) if "content-length" in headers else reader.chunks()
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    with open(folder / Path(line.split()[1]).name, "wb", buffering=0) as file:
        for piece in body:
            md5.update(piece)
            sha512.update(piece)
            written = 0
            while written < len(piece):
                written += file.write(piece[written:])
        if fsync:
            os.fsync(file.fileno())
    answer = f"HTTP/1.1 204 No Content\r\nX-MD5: {md5.hexdigest()}\r\nX-SHA512: {sha512.hexdigest()}\r\n"
    connection.sendall(f"{answer}Connection: close\r\n\r\n".encode())


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="The plain loop that uploads are measured against.")
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fsync", action="store_true", help="call fsync at the end of each upload")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", arguments.port)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                try:
                    serve(connection, arguments.folder, arguments.fsync)
                except ConnectionError as error:
                    print(error, flush=True)


if __name__ == "__main__":
    main()
