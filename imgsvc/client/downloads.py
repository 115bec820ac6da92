"""Fetching the data of an image: into a file by parallel ranges, or in order to a sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.client.digests import expected_digest, new_digest
from imgsvc.client.errors import (
    Broken,
    ImageChanged,
    LocalFileError,
    Malformed,
    NoData,
    Refused,
    Unreachable,
    VerificationFailed,
)
from imgsvc.client.files import Runner
from imgsvc.client.partial import PartialFile, Piece, open_partial
from imgsvc.client.progress import Progress
from imgsvc.client.together import together
from imgsvc.client.view import ImageView

log = txaio.make_logger()

PIECE_SIZE: Final = 32 * 1024 * 1024
CONNECTIONS: Final = 4
RETRIES: Final = 5
FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 15.0
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Refusals that another try may turn."""

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


class _Patience:
    """Decides whether, and when, to try again: RETRIES times in a row, with growing pauses."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failures = 0

    async def after(self, problem: Broken | Refused | Unreachable) -> None:
        """Wait before the next try, or raise `problem`: it is one that no retry mends, or patience is at its end."""
        passing = problem.status in PASSING if isinstance(problem, Refused) else not isinstance(problem, ImageChanged)
        if not passing or self._failures == RETRIES:
            raise problem
        pause = min(FIRST_PAUSE * 2**self._failures, LAST_PAUSE)
        self._failures += 1
        log.debug("{problem} Trying again in {pause} s.", problem=problem, pause=pause)
        await deferLater(self._clock, pause)


class Fetcher:
    """Gets pieces of one image's data into a sink, trying again where a connection breaks.

    etag: of the data that the pieces must be of, once it is known. moved: called with the bytes of each block.
    """

    def __init__(
        self, source: RangeSource, image: ImageView, size: int, clock: IReactorTime, moved: Callable[[int], None]
    ) -> None:
        self.etag: str | None = None
        self._source = source
        self._image = image
        self._size = size
        self._clock = clock
        self._moved = moved

    async def open(self, piece: Piece) -> RangeBody:
        """What is left of a piece; the body may begin before it, where the server gives no ranges.

        Raises ImageChanged, Malformed, NoData, and what the source raises.
        """
        whole = piece.position == 0 and piece.stop == self._size
        length = None if whole else piece.stop - piece.position
        try:
            body = await self._source.open_range(self._image.id, piece.position, length, if_range=self.etag)
        except Refused as refusal:
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
        raise Malformed("The server gave another part of the image than was asked for.")

    def _fits(self, body: RangeBody, piece: Piece) -> bool:
        same = self.etag is None or body.etag == self.etag
        return same and (body.whole or body.start == piece.position) and body.total in (None, self._size)

    async def begin(self, piece: Piece) -> RangeBody:
        """As open, with patience."""
        patience = _Patience(self._clock)
        while True:
            try:
                return await self.open(piece)
            except (Broken, Refused) as problem:
                await patience.after(problem)

    async def fetch(self, piece: Piece, sink: Sink, body: RangeBody | None = None) -> None:
        """Bring a piece to its end, with patience. body: what begin gave, if that was called already.

        A server that cannot be reached is waited for, too: it was there, and may be about to start again.
        """
        patience = _Patience(self._clock)
        while not piece.whole:
            before = piece.position
            try:
                await self._take(body or await self.open(piece), piece, sink)
            except (Broken, Refused, Unreachable) as problem:
                if piece.position > before:
                    patience = _Patience(self._clock)
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
            raise Broken("The server ended the data before it was whole.")


async def download_to_file(
    source: RangeSource,
    image: ImageView,
    path: str,
    *,
    clock: IReactorTime,
    run: Runner,
    connections: int,
    piece_size: int,
    resume: bool,
    progress: Progress,
) -> str | None:
    """Fetch an image's data into `path`, which appears when it is whole and verified.

    The name of the digest that was compared; None when the server gives none. After a failure `path`.part and
    its state stay for a download with `resume`, unless nothing had arrived. run: where the disk is waited for.

    Raises NoData, VerificationFailed (the file is kept as `path`.bad), LocalFileError, and what a Fetcher raises.
    """
    size = _size(image)
    partial: PartialFile = await run(open_partial, path, image, size, piece_size, resume, run)
    try:
        try:
            await _fill(source, image, partial, clock, connections, piece_size, progress)
        except BaseException:
            if partial.done == 0:
                partial.discard()
            raise
        algorithm = await _verify(image, partial, progress)
        await partial.publish()
    finally:
        partial.close()
    return algorithm


class _Tally:
    """Counts the bytes that have arrived and shows them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress("download", self._done, self._total)


async def _fill(
    source: RangeSource,
    image: ImageView,
    partial: PartialFile,
    clock: IReactorTime,
    connections: int,
    piece_size: int,
    progress: Progress,
) -> None:
    size = partial.identity.size
    tally = _Tally(progress, size)
    fetcher = Fetcher(source, image, size, clock, tally.add)
    fetcher.etag = partial.etag
    if not partial.left():
        return
    resumed = partial.done > 0
    try:
        first = await fetcher.begin(partial.left()[0])
    except ImageChanged:
        if not resumed:
            raise
        resumed, fetcher.etag = False, None
        partial.begin(piece_size, None)
        first = await fetcher.begin(partial.pieces[0])
    no_ranges = first.whole and len(partial.pieces) > 1
    try:
        if no_ranges:
            partial.begin(size, fetcher.etag)
        elif not resumed:
            partial.begin(piece_size, fetcher.etag)
    except LocalFileError:
        first.close()
        raise
    tally.add(partial.done)
    await _fetch_all(fetcher, partial, first, connections)


async def _fetch_all(fetcher: Fetcher, partial: PartialFile, first: RangeBody, connections: int) -> None:
    """Fetch what is left over so many connections at once. first: the opened body of the first piece of it."""
    queue = iter(partial.left())

    async def work(body: RangeBody | None) -> None:
        for piece in queue:
            try:
                await fetcher.fetch(piece, partial.write, body)
            finally:
                partial.note(piece)
            body = None

    workers = [Deferred.fromCoroutine(work(first if number == 0 else None)) for number in range(connections)]
    await together(workers)


async def _verify(image: ImageView, partial: PartialFile, progress: Progress) -> str | None:
    expected = expected_digest(image)
    if expected is None:
        return None
    size = partial.identity.size
    found = await partial.digest(expected.algorithm, lambda read: progress("verify", read, size))
    if found != expected.value:
        kept = await partial.set_aside()
        raise VerificationFailed(image.id, expected.algorithm, expected.value, found, kept)
    return expected.algorithm


async def download_in_order(
    source: RangeSource,
    image: ImageView,
    write: Callable[[bytes], Awaitable[None]],
    *,
    clock: IReactorTime,
    run: Runner,
    progress: Progress,
) -> str | None:
    """Give an image's data to `write`, block by block from the first byte on, each when the one before is done.

    The name of the digest that was compared; None when the server gives none. Raises as download_to_file; what
    was written is not taken back.
    """
    size = _size(image)
    expected = expected_digest(image)
    digest = new_digest(expected.algorithm) if expected else None
    tally = _Tally(progress, size)

    async def sink(offset: int, data: bytes) -> None:
        if digest is not None:
            await run(digest.update, data)
        await write(data)

    await Fetcher(source, image, size, clock, tally.add).fetch(Piece(0, 0, size, 0), sink)
    if expected is None or digest is None:
        return None
    if digest.hexdigest() != expected.value:
        raise VerificationFailed(image.id, expected.algorithm, expected.value, digest.hexdigest())
    return expected.algorithm


def _size(image: ImageView) -> int:
    if image.size is None or image.status not in ("active", "deactivated"):
        raise NoData(image.id, image.status)
    return image.size
