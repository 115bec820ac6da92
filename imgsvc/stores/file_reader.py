"""Reads an object of a file store."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer

from imgsvc import page_cache
from imgsvc.errors import ObjectDamaged, StoreError
from imgsvc.interfaces import IBudget, IFileBacked, IStoredFile
from imgsvc.model import Span
from imgsvc.shield import shielded
from imgsvc.stores.disk import Disk
from imgsvc.stores.faults import read_fault
from imgsvc.stores.readahead import ReadAhead

T = TypeVar("T")

SCRATCH: Final = 256 * 1024
"""Bytes of the buffer for reads that only fill the page cache."""

INLINE: Final = 64 * 1024
"""Bytes up to which a read from the page cache costs less than a call in a thread."""


class OpenFile:
    """An open file. It is closed after its owner has called `close` and all threads have finished their reads."""

    def __init__(self, disk: Disk, path: str, fd: int) -> None:
        self._disk = disk
        self._path = path
        self._users = 0
        self._closing = False
        self.fd = fd

    def read(self, offset: int, size: int) -> Deferred[bytes]:
        """Return the bytes at an offset; fewer only at the end of the file. Fails with StoreError."""
        if self._disk.local and size <= INLINE and not self._closing:
            cached = page_cache.read_cached(self.fd, offset, size)
            if cached is not None:
                return succeed(cached)
        return self._use(lambda fd: os.pread(fd, size, offset))

    def load(self, offset: int, size: int) -> Deferred[None]:
        """See IFileBacked."""
        return self._use(lambda fd: self._load(fd, offset, size))

    def close(self) -> None:
        """Close the file as soon as no thread reads it. Must be called once."""
        self._closing = True
        if self._users:
            return
        # The last user of a deleted file frees its blocks, which may take long.
        if self._disk.local and os.fstat(self.fd).st_nlink:
            os.close(self.fd)
        else:
            Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        # A StoreError was logged. The descriptor is closed even then, and nothing was written to it. When the threads
        # have ended, the process is about to end, which closes the descriptor.
        with suppress(StoreError, CancelledError):
            await self._disk.run("close", self._path, read_fault, os.close, self.fd)

    def _use(self, function: Callable[[int], T]) -> Deferred[T]:
        """Call `function(fd)` in a thread."""
        if self._closing:
            return fail(CancelledError())
        self._users += 1
        using = Deferred.fromCoroutine(self._disk.run("read", self._path, read_fault, function, self.fd))
        return shielded(using.addBoth(self._used))

    def _used(self, result: T) -> T:
        self._users -= 1
        if self._closing and not self._users:
            self.close()
        return result

    def _load(self, fd: int, offset: int, size: int) -> None:
        """Read the bytes and discard them, to fill the page cache.

        Unlike readahead(2) and MAP_POPULATE, this waits for the bytes and reports errors.
        """
        scratch = bytearray(min(size, SCRATCH))
        end = offset + size
        while offset < end:
            count = os.preadv(fd, [memoryview(scratch)[: end - offset]], offset)
            if count == 0:
                raise ObjectDamaged(self._disk.store_id, f"the object ends at byte {offset}, before its end.")
            offset += count


@implementer(IFileBacked, IStoredFile)
class FileReader(ReadAhead):
    """A reader whose file can also be sent by sendfile(2), or by a proxy."""

    def __init__(self, store_id: str, name: str, file: OpenFile, span: Span, budget: IBudget) -> None:
        """name: of the object, which is that of the file."""
        super().__init__(store_id, file.read, file.close, span, budget)
        self._file = file
        self.store_id = store_id
        self.name = name
        self.fd = file.fd
        self.offset = span.start

    def load(self, offset: int, length: int) -> Deferred[None]:
        """See IFileBacked."""
        return self._file.load(offset, length)
