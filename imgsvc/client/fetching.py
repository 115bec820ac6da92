"""Bringing the pieces of an image's data here, over breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from imgsvc.client.errors import BadResponse, ImageChanged, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.partial import Piece
from imgsvc.client.patience import Patience
from imgsvc.client.view import ImageView

Sink = Callable[[int, bytes], Awaitable[None]]
"""`sink(offset, data)`: an awaitable that ends when more may come."""


class RangeBody(Protocol):
    """What comes back of a request for a range; Body provides it."""

    whole: bool
    start: int
    total: int | None
    etag: str | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class RangeSource(Protocol):
    """Gives ranges of images; ImageClient provides it."""

    async def open_range(
        self, image_id: str, start: int = 0, length: int | None = None, *, if_range: str | None = None
    ) -> RangeBody: ...


class Fetcher:
    """Gets pieces of one image's data into a sink, trying again where a connection breaks.

    etag: of the data that the pieces must be of, once it is known. patience: makes a new one for each piece.
    moved: called with the bytes of each block, when the sink has taken it.
    """

    def __init__(
        self,
        source: RangeSource,
        image: ImageView,
        size: int,
        patience: Callable[[], Patience],
        moved: Callable[[int], None],
    ) -> None:
        self.etag: str | None = None
        self._source = source
        self._image = image
        self._size = size
        self._patience = patience
        self._moved = moved

    async def open(self, piece: Piece) -> RangeBody:
        """What is left of a piece; the body may begin before it, where the server gives no ranges.

        Raises ImageChanged, BadResponse, NoData, and what the source raises.
        """
        whole = piece.position == 0 and piece.stop == self._size
        length = None if whole else piece.stop - piece.position
        try:
            body = await self._source.open_range(self._image.id, piece.position, length, if_range=self.etag)
        except RequestRefused as refusal:
            if refusal.status != 400 or whole:
                raise
            # A store that cannot read at an offset (Image API contract, GET file, 400).
            body = await self._source.open_range(self._image.id)
        if self._fits(body, piece):
            self.etag = self.etag or body.etag
            return body
        body.close()
        if (self.etag is not None and body.etag != self.etag) or body.total not in (None, self._size):
            raise ImageChanged(self._image.id)
        raise BadResponse("The server gave another part of the image than was asked for.")

    def _fits(self, body: RangeBody, piece: Piece) -> bool:
        same = self.etag is None or body.etag == self.etag
        return same and (body.whole or body.start == piece.position) and body.total in (None, self._size)

    async def begin(self, piece: Piece) -> RangeBody:
        """As open, with patience."""
        patience = self._patience()
        while True:
            try:
                return await self.open(piece)
            except (TransferInterrupted, RequestRefused) as problem:
                await patience.after(problem)

    async def fetch(self, piece: Piece, sink: Sink, body: RangeBody | None = None) -> None:
        """Bring a piece to its end, with patience. body: what begin gave, if that was called already.

        A server that cannot be reached is waited for, too: it was there, and may be about to start again.
        """
        patience = self._patience()
        while not piece.whole:
            before = piece.position
            try:
                await self._take(body or await self.open(piece), piece, sink)
            except (TransferInterrupted, RequestRefused, Unreachable) as problem:
                if piece.position > before:
                    patience.renew()
                await patience.after(problem)
            body = None

    async def _take(self, body: RangeBody, piece: Piece, sink: Sink) -> None:
        offset = body.start
        try:
            async for block in body:
                offset, block = offset + len(block), block[max(0, piece.position - offset) :]
                block = block[: piece.stop - piece.position]
                if block:
                    await sink(piece.position, block)
                    piece.position += len(block)
                    self._moved(len(block))
                if piece.whole and offset >= piece.stop:
                    break
        finally:
            body.close()
        if not piece.whole:
            raise TransferInterrupted("The server ended the data before it was whole.")
