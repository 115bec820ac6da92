"""Computes the digest of a file while it is still being written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.client.digests import new_digest
from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import ThreadedFile

BLOCK: Final = 4 * 1024 * 1024


class FollowingDigest:
    """Computes the digest of the beginning of a file while the rest is still being written.

    It reads bytes back soon after they were written, so they come from the page cache and not from the disk. Blocks
    that arrive out of order wait in the file, not in memory. One block at a time is read and digested, in a thread.

    file: a ThreadedFile, which the caller closes. algorithm: hashlib's name. moved: called with the number of bytes
    digested so far. The caller must call `stop`.
    """

    def __init__(self, file: ThreadedFile, algorithm: str, moved: Callable[[int], None]) -> None:
        self._file = file
        self._digest = new_digest(algorithm)
        self._moved = moved
        self._buffer = bytearray(BLOCK)
        self._there = 0
        self._done = 0
        self._following: Deferred[None] | None = None
        self._problem: BaseException | None = None

    def reach(self, there: int) -> None:
        """Say that the first `there` bytes of the file are written. Returns at once."""
        self._there = there
        if there - self._done >= BLOCK:
            self._follow()

    async def finish(self) -> str:
        """Digest the rest of the bytes that are written. Returns the digest in hex.

        Raises LocalFileError if the file ends before them.
        """
        while self._problem is None and self._done < self._there:
            self._follow()
            if self._following is not None:
                await self._following
        if self._problem is not None:
            raise self._problem
        return str(self._digest.hexdigest())

    def stop(self) -> None:
        """Stop reading. May be called several times, also after the end."""
        if self._following is not None:
            self._following.cancel()

    def _follow(self) -> None:
        if self._following is None and self._problem is None:
            self._following = Deferred.fromCoroutine(self._read())
            self._following.addBoth(self._ended)

    def _ended(self, result: Failure | None) -> None:
        self._following = None
        if isinstance(result, Failure):
            self._problem = result.value

    async def _read(self) -> None:
        while self._done < self._there:
            view = memoryview(self._buffer)[: self._there - self._done]
            count = await self._file.digest(self._done, self._digest, view)
            if not count:
                raise LocalFileError(self._file.path, f"ended after {self._done} of {self._there} bytes")
            self._done += count
            self._moved(self._done)
