"""Decodes the chunked transfer coding (RFC 9112, section 7.1). Copies the bytes at most once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Piece = bytes | memoryview

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
LONGEST_LINE: Final = 4 << 10
"""Bytes of a size line with its extensions, or of one line of the trailers, at most."""
LONGEST_TRAILERS: Final = 16 << 10
"""Bytes of all trailers, at most. Trailers are dropped."""


class MalformedChunks(ValueError):
    """The bytes are not in the chunked coding."""


class ChunkedDecoder:
    """Takes the bytes that a connection reads, and hands on the bytes of the body, and the bytes after its end.

    on_data: called once for each read that contains bytes of the body; a memoryview refers to immutable bytes. on_end:
    called once, with the bytes after the body. Neither may call back into the decoder.
    """

    def __init__(self, on_data: Callable[[Piece], None], on_end: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._on_end = on_end
        self._left = 0
        self._chunk_ends = False
        self._in_trailers = False
        self._trailers = 0
        self._rest = b""
        self._pieces: list[Piece] = []

    def dataReceived(self, data: bytes) -> None:
        """Decode the next bytes. Raises MalformedChunks: the decoder must not be used after that."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        try:
            end = self._decode(data)
        finally:
            self._hand_on(len(data))
        if end is not None:
            self._on_end(data[end:])

    def _decode(self, data: bytes) -> int | None:
        """The index of the first byte after the body in `data`; None if the body goes on."""
        view = memoryview(data)
        position, size = 0, len(data)
        while position < size:
            if self._left:
                stop = min(position + self._left, size)
                self._pieces.append(view[position:stop])
                self._left -= stop - position
                position = stop
            elif self._chunk_ends:
                if size - position < 2 and data[position:] == b"\r":
                    self._keep(data, position)
                    return None
                if data[position : position + 2] != b"\r\n":
                    raise MalformedChunks("a chunk is longer than its size")
                position += 2
                self._chunk_ends = False
            elif self._in_trailers:
                stop = data.find(b"\r\n", position)
                if stop < 0:
                    self._keep(data, position)
                    return None
                if data.find(b"\n", position, stop) >= 0:  # another program may take it for the end of the body
                    raise MalformedChunks("a line of the trailers does not end in CRLF")
                self._trailers += stop + 2 - position
                if self._trailers > LONGEST_TRAILERS:
                    raise MalformedChunks("the trailers are too long")
                if stop == position:
                    return stop + 2
                position = stop + 2
            else:
                line = _SIZE_LINE.match(data, position, position + LONGEST_LINE)
                if line is None:
                    if b"\n" in data[position:]:
                        raise MalformedChunks("a chunk has no size")
                    self._keep(data, position)
                    return None
                position = line.end()
                self._left = int(line.group(1), 16)
                self._chunk_ends = self._left > 0
                self._in_trailers = self._left == 0
        return None

    def _keep(self, data: bytes, position: int) -> None:
        """Keep the bytes of an incomplete line."""
        if len(data) - position > LONGEST_LINE:
            raise MalformedChunks("a line is too long")
        self._rest = data[position:]

    def _hand_on(self, size: int) -> None:
        """Hand on the data of one read of `size` bytes as one piece: joining costs less than handling many pieces.

        A memoryview keeps the whole read in memory. If less than half of the read was data, the data is copied, because
        a consumer that counts it would otherwise count much less than the memory that it holds.
        """
        pieces, self._pieces = self._pieces, []
        if len(pieces) == 1 and len(pieces[0]) * 2 >= size:
            self._on_data(pieces[0])
        elif pieces:
            self._on_data(b"".join(pieces))
