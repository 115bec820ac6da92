"""Downloads the data of an image: into a file by parallel ranges, or in order to a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred

from imgsvc.client.digests import expected_digest, new_digest
from imgsvc.client.errors import ImageChanged, LocalFileError, NoData, VerificationFailed
from imgsvc.client.fetching import Fetcher, RangeBody, RangeSource
from imgsvc.client.files import Runner, ThreadedFile, open_for_reading
from imgsvc.client.following import FollowingDigest
from imgsvc.client.gathering import gather_or_cancel
from imgsvc.client.partial import PartialFile, Piece, open_partial
from imgsvc.client.patience import Patience
from imgsvc.client.progress import Progress
from imgsvc.client.view import ImageView

PIECE_SIZE: Final = 32 * 1024 * 1024
"""Bytes of one request."""
CONNECTIONS: Final = 4


async def download_to_file(
    source: RangeSource,
    image: ImageView,
    path: str,
    *,
    patience: Callable[[], Patience],
    run: Runner,
    connections: int,
    piece_size: int,
    resume: bool,
    progress: Progress,
) -> str | None:
    """Download the data of an image into a file, which appears when it is complete and verified.

    source: opens ranges. image: an ImageView. path: of the file. patience: makes a Patience for each piece. run: a
    Runner for reading and writing the file. connections: number of connections at once. piece_size: bytes of one
    request. resume: whether to go on with what an earlier download left. progress: a Progress.

    After a failure `path`.part and its state stay for a download with `resume`, unless nothing had arrived.

    Returns the name of the digest that was compared, None if the server gives none. Raises NoData, VerificationFailed
    (the file is kept as `path`.bad), LocalFileError, and what a Fetcher raises.
    """
    size = _size(image)
    partial: PartialFile = await run(open_partial, path, image, size, piece_size, resume, run)
    expected = expected_digest(image)
    following = FollowingDigest(partial.file, expected.algorithm, _verifying(progress, size)) if expected else None
    tally = _Tally(partial, following, progress)
    try:
        try:
            await _fill(Fetcher(source, image, size, patience, tally.add), partial, tally, connections, piece_size)
        except BaseException:
            if partial.done == 0:
                partial.discard()
            raise
        if expected and following:
            found = await following.finish()
            if found != expected.value:
                kept = await partial.set_aside()
                raise VerificationFailed(image.id, expected.algorithm, expected.value, found, kept)
        await partial.publish()
    finally:
        if following:
            following.stop()
        partial.close()
    return expected.algorithm if expected else None


def _verifying(progress: Progress, size: int) -> Callable[[int], None]:
    return lambda done: progress("verify", done, size)


class _Tally:
    """Counts the bytes that have arrived, and tells the Progress and the digest of them."""

    def __init__(self, partial: PartialFile, following: FollowingDigest | None, progress: Progress) -> None:
        self._partial = partial
        self._following = following
        self._progress = progress
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress("download", self._done, self._partial.identity.size)
        if self._following is not None:
            self._following.reach(self._partial.prefix)


async def _fill(fetcher: Fetcher, partial: PartialFile, tally: _Tally, connections: int, piece_size: int) -> None:
    fetcher.etag = partial.etag
    if not partial.left():
        tally.add(partial.done)
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
            partial.begin(partial.identity.size, fetcher.etag)
        elif not resumed:
            partial.begin(piece_size, fetcher.etag)
    except LocalFileError:
        first.close()
        raise
    tally.add(partial.done)
    await _fetch_all(fetcher, partial, first, connections)


async def _fetch_all(fetcher: Fetcher, partial: PartialFile, first: RangeBody, connections: int) -> None:
    """Fetch the rest over several connections at once. first: the body of the first piece of it, already open."""
    queue = iter(partial.left())

    async def work(body: RangeBody | None) -> None:
        for piece in queue:
            try:
                await fetcher.fetch(piece, partial.write, body)
            finally:
                partial.note(piece)
            body = None

    workers = [Deferred.fromCoroutine(work(first if number == 0 else None)) for number in range(connections)]
    await gather_or_cancel(workers)


async def verify_file(image: ImageView, path: str, *, run: Runner, progress: Progress) -> str | None:
    """Compare a file with the digest of an image.

    image: an ImageView. path: of the file. run: a Runner for reading the file. progress: a Progress.

    Returns the name of the digest if it matches. Returns None if it does not, if there is no such file, and if the
    server gives no digest. Raises NoData, and LocalFileError if the file cannot be read.
    """
    size, expected = _size(image), expected_digest(image)
    if expected is None:
        return None
    try:
        fd, found_size = await run(open_for_reading, path)
    except LocalFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    file = ThreadedFile(path, fd, run)
    following = FollowingDigest(file, expected.algorithm, _verifying(progress, size))
    try:
        if found_size != size:
            return None
        following.reach(size)
        return expected.algorithm if await following.finish() == expected.value else None
    finally:
        following.stop()
        file.close()


async def download_in_order(
    source: RangeSource,
    image: ImageView,
    write: Callable[[bytes], Awaitable[None]],
    *,
    patience: Callable[[], Patience],
    run: Runner,
    progress: Progress,
) -> str | None:
    """Download the data of an image in order, from the first byte to the last.

    write: called with each block of bytes, when its result for the block before is there. The other parameters, the
    result and the errors are those of `download_to_file`. After an error the caller must undo what was written.
    """
    size = _size(image)
    expected = expected_digest(image)
    digest = new_digest(expected.algorithm) if expected else None
    done = 0

    async def sink(offset: int, data: bytes) -> None:
        if digest is not None:
            await run(digest.update, data)
        await write(data)

    def moved(count: int) -> None:
        nonlocal done
        done += count
        progress("download", done, size)

    await Fetcher(source, image, size, patience, moved).fetch(Piece(0, 0, size, 0), sink)
    if expected is None or digest is None:
        return None
    if digest.hexdigest() != expected.value:
        raise VerificationFailed(image.id, expected.algorithm, expected.value, digest.hexdigest())
    return expected.algorithm


def _size(image: ImageView) -> int:
    if image.size is None or image.status not in ("active", "deactivated"):
        raise NoData(image.id, image.status)
    return image.size
