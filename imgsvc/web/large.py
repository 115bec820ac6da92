"""Large JSON responses. They are made piece by piece, and their memory is reserved first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import define

from imgsvc.interfaces import IAnswers, IReservation
from imgsvc.web.request import StreamingRequest
from imgsvc.web.turns import ReactorTurns

__all__ = [
    "SLICE_PIECES",
    "SLICE_SIZE",
    "SMALL",
    "LargeResponse",
    "LargeResponses",
    "array_pieces",
    "encode",
    "object_pieces",
]

SMALL: Final = 64 << 10
"""A response of up to this many bytes is written at once."""

SLICE_SIZE: Final = 256 << 10
SLICE_PIECES: Final = 100
"""Characters and pieces of a response that are made in one turn of the reactor: some milliseconds of work."""

encode = json.JSONEncoder(ensure_ascii=False).encode


@define
class LargeResponse:
    """A response that a handler returns instead of the bytes of JSON.

    pieces: its text; making one piece takes some milliseconds at most. reservation: the memory for it. LargeResponses
    closes the reservation.
    """

    pieces: Iterator[str]
    reservation: IReservation
    status: int = 200


def object_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    """The pieces of a JSON object, one key at a time. If a value is an Iterator, it yields the pieces of that value."""
    separator = "{"
    for key, value in document.items():
        yield f"{separator}{encode(key)}: "
        if isinstance(value, Iterator):
            yield from value
        else:
            yield encode(value)
        separator = ", "
    yield "}" if document else "{}"


def array_pieces(elements: Iterator[Iterator[str]]) -> Iterator[str]:
    """The pieces of a JSON array. Each element is given as its pieces."""
    separator = "["
    for element in elements:
        yield separator
        yield from element
        separator = ", "
    yield "[]" if separator == "[" else "]"


@define
class LargeResponses:
    """Sends large responses. turns: each slice of a response is made in a turn of its own."""

    sender: IAnswers
    turns: ReactorTurns

    async def send(self, request: StreamingRequest, response: LargeResponse) -> None:
        """Make the response and send it. Closes its reservation in every case."""
        try:
            blocks = await self._made(response.pieces)
            del response.pieces  # and with them the objects that they are made of
            request.setResponseCode(response.status)
            request.setHeader(b"content-type", b"application/json")
            request.setHeader(b"content-length", b"%d" % sum(map(len, blocks)))
            await self.sender.send(blocks, request, response.reservation)
        finally:
            response.reservation.close()

    async def send_bytes(self, request: StreamingRequest, body: bytes) -> None:
        """Send a body whose headers are set."""
        reservation = await self.sender.reserve(len(body))
        try:
            await self.sender.send([body], request, reservation)
        finally:
            reservation.close()

    async def _made(self, pieces: Iterator[str]) -> list[bytes]:
        blocks: list[bytes] = []
        gathered: list[str] = []
        size = 0
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= SLICE_SIZE or len(gathered) >= SLICE_PIECES:
                blocks.append("".join(gathered).encode())
                gathered, size = [], 0
                await self.turns.own()
        blocks.append("".join(gathered).encode())
        return blocks
