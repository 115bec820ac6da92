"""Fetches pieces of an image's data, and goes on when a connection breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from imgsvc.client.errors import BadResponse, ImageChanged, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.partial import Piece
from imgsvc.client.patience import Patience
from imgsvc.client.view import ImageView

Sink = Callable[[int, bytes], Awaitable[None]]
"""`sink(offset, data)`: takes bytes for an offset. Returns an awaitable that ends when the next bytes may come."""


class RangeBody(Protocol):
    """The answer to a request for a range. Body has this form."""

    whole: bool
    start: int
    total: int | None
    etag: str | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class RangeSource(Protocol):
    """Opens ranges of images. ImageClient has this form."""

    async def open_range(
        self, image_id: str, start: int = 0, length: int | None = None, *, if_range: str | None = None
    ) -> RangeBody: ...


class Fetcher:
    """Fetches pieces of one image's data into a sink, and tries again when a connection breaks.

    source: opens ranges. image: an ImageView. size: bytes of the image. patience: makes a Patience for each piece.
    moved: called with the number of bytes of each block, when the sink has taken it.

    etag: the entity tag that the data of every piece must have; None until it is known.
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
        """Request the rest of a piece.

        Returns its body. If the server sends no ranges, the body begins before the piece. Raises ImageChanged,
        BadResponse, NoData, and what the source raises.
        """
        whole = piece.position == 0 and piece.stop == self._size
        length = None if whole else piece.stop - piece.position
        try:
            body = await self._source.open_range(self._image.id, piece.position, length, if_range=self.etag)
        except RequestRefused as refusal:
            if refusal.status != 400 or whole:
                raise
            # The store cannot read at an offset (Image API contract, GET file, 400).
            body = await self._source.open_range(self._image.id)
        if self._fits(body, piece):
            self.etag = self.etag or body.etag
            return body
        body.close()
        if (self.etag is not None and body.etag != self.etag) or body.total not in (None, self._size):
            raise ImageChanged(self._image.id)
        raise BadResponse("The server sent another part of the image than was requested.")

    def _fits(self, body: RangeBody, piece: Piece) -> bool:
        same = self.etag is None or body.etag == self.etag
        return same and (body.whole or body.start == piece.position) and body.total in (None, self._size)

    async def begin(self, piece: Piece) -> RangeBody:
        """Do the same as `open`, and try again as the Patience allows."""
        patience = self._patience()
        while True:
            try:
                return await self.open(piece)
            except (TransferInterrupted, RequestRefused) as problem:
                await patience.after(problem)

    async def fetch(self, piece: Piece, sink: Sink, body: RangeBody | None = None) -> None:
        """Fetch the rest of a piece, and try again as the Patience allows.

        piece: the Piece; its position moves with the bytes. sink: a Sink. body: what `begin` returned, if it was
        called.

        A server that cannot be reached is tried again too: it was there before, and may be restarting.
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
            raise TransferInterrupted("The server ended the data before they were complete.")
