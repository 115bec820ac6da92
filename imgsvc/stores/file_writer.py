"""Writes the file of one upload."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar, TypeVarTuple

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from imgsvc.errors import StoreError, StoreUnavailable
from imgsvc.interfaces import ICopyingWriter, IFileBacked, IResumableWriter, IStore
from imgsvc.model import Location, Span
from imgsvc.shield import shielded
from imgsvc.store_model import Buffer
from imgsvc.stores.disk import Disk
from imgsvc.stores.faults import delete_fault, write_fault
from imgsvc.stores.pieces import Write, copy_all, copy_sparse, write_all, write_sparse

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FLUSH_EVERY: Final = 64 * 1024 * 1024
"""Bytes after which a flush starts while writes go on, so that the flush at the end is short."""
MOST_COPIED: Final = 64 * 1024 * 1024
"""Bytes that the kernel copies in one call. A disk takes about a second for them, and an abort waits for it."""


@frozen
class WriteOptions:
    """How files are written.

    durable: whether to flush to the disk. mode: permissions of the file; 0: those that the umask leaves. sparse:
    whether to write zeros as holes. min_free: bytes of the file system that stay free. write: what writes the bytes.
    """

    durable: bool = True
    mode: int = 0
    sparse: bool = False
    min_free: int = 0
    write: Write = write_all


@implementer(IResumableWriter, ICopyingWriter)
class FileWriter:
    """Writes the file of one upload and gives it its name. Owns `fd`.

    Calls run one after the other. A call runs to its end even if its caller cancels it, because a thread cannot be
    interrupted.
    """

    def __init__(
        self, disk: Disk, name: str, lease_id: str, fd: int, size: int, location: Location, options: WriteOptions
    ) -> None:
        """size: bytes that are in the file already."""
        self._disk = disk
        self._name = name
        self._lease_id = lease_id
        self._fd: int | None = fd
        self._path = disk.folder.part(name, lease_id)
        self._location = location
        self._options = options
        self.size = size
        self._flushed = size
        self._flush: Deferred[None] | None = None
        self._failure: StoreError | None = None
        self._suspended = False
        self._turns = DeferredLock()

    def write(self, pieces: Sequence[Buffer]) -> Deferred[None]:
        """See IStoreWriter."""
        return self._in_turn(lambda: self._write(pieces))

    def copy(self, source: IStore, location: Location, span: Span) -> Deferred[int]:
        """See ICopyingWriter. Copies only from stores whose objects are files on the same file system."""
        return self._in_turn(lambda: self._copy(source, location, span))

    def commit(self) -> Deferred[Location]:
        """See IStoreWriter."""
        return self._in_turn(self._commit)

    def finalize(self) -> Deferred[None]:
        """See IStoreWriter."""
        return self._in_turn(self._finalize)

    def abort(self) -> Deferred[None]:
        """See IStoreWriter."""
        self._failure = StoreUnavailable(self._disk.store_id, "the upload was aborted.")
        return self._in_turn(self._abort)

    def suspend(self) -> Deferred[int]:
        """See IResumableWriter."""
        return self._in_turn(self._suspend)

    def _in_turn(self, step: Callable[[], Awaitable[T]]) -> Deferred[T]:
        async def taken() -> T:
            return await step()

        return shielded(self._turns.run(lambda: Deferred.fromCoroutine(taken())))

    async def _write(self, pieces: Sequence[Buffer]) -> None:
        await self._append("write", self._put, pieces)

    async def _copy(self, source: IStore, location: Location, span: Span) -> int:
        self._usable()
        before = self.size
        reader = await source.reader(location, span)
        try:
            if IFileBacked.providedBy(reader):
                length = min(reader.length, MOST_COPIED)
                await self._append("copy to", self._put_copy, reader.fd, reader.offset, length)
        finally:
            reader.stopProducing()
        return self.size - before

    async def _append(self, action: str, put: Callable[[int, int, *Ts], int], *arguments: *Ts) -> None:
        """Call `put` with the file, its size and the arguments in a thread. `put` returns the new size of the file."""
        fd = self._usable()
        try:
            self.size = await self._call(action, put, fd, self.size, *arguments)
        except StoreError as error:
            self._failure = error
            raise
        if self._options.durable and self.size - self._flushed >= FLUSH_EVERY and not self._flushing:
            self._flushed = self.size
            self._flush = Deferred.fromCoroutine(self._flush_beside(fd))

    def _put(self, fd: int, offset: int, pieces: Sequence[Buffer]) -> int:
        """Write if there is room. Returns the new end of the file. Runs in a thread."""
        self._disk.folder.check_room(sum(len(piece) for piece in pieces), self._options.min_free)
        write = self._options.write
        return write_sparse(fd, offset, pieces, write) if self._options.sparse else write(fd, offset, pieces)

    def _put_copy(self, fd: int, offset: int, source: int, start: int, length: int) -> int:
        """Do as `_put`, with bytes of another file."""
        self._disk.folder.check_room(length, self._options.min_free)
        return (copy_sparse if self._options.sparse else copy_all)(source, start, length, fd, offset)

    async def _flush_beside(self, fd: int) -> None:
        """Flush while writes go on. Keep an error for the next call: the kernel reports a failed flush only once."""
        try:
            await self._disk.flush(self._path, write_fault, os.fdatasync, fd)
        except StoreError as error:
            self._failure = self._failure or error

    @property
    def _flushing(self) -> bool:
        return self._flush is not None and not self._flush.called

    async def _commit(self) -> Location:
        if self._flush is not None:
            await self._flush
        fd = self._usable()
        await self._call("finish", self._finish, fd, self.size, self._options.mode)
        if self._failure is not None:
            raise self._failure
        await self._call("publish", self._publish, fd)
        return self._location

    def _finish(self, fd: int, size: int, mode: int) -> None:
        """Write all bytes to the disk. mode: the permissions to set; 0: leave them unchanged. Runs in a thread."""
        if self._options.sparse:
            os.ftruncate(fd, size)
        if mode:
            os.fchmod(fd, mode)
        if self._options.durable:
            os.fsync(fd)
        else:
            os.close(os.dup(fd))  # a network file system reports failed writes when a file is closed

    def _publish(self, fd: int) -> None:
        """Give the file its name, then close it: its lock prevents a resumption until then. Runs in a thread."""
        self._disk.folder.publish(self._name, self._lease_id)
        self._fd = None
        os.close(fd)

    async def _suspend(self) -> int:
        if self._flush is not None:
            await self._flush
        fd = self._usable()
        await self._call("suspend", self._finish, fd, self.size, 0)
        if self._failure is not None:
            raise self._failure
        self._fd, self._suspended = None, True
        await self._call("close", os.close, fd)
        return self.size

    async def _abort(self) -> None:
        if self._suspended:
            return
        if self._flush is not None:
            await self._flush
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(StoreError):  # it was logged; the descriptor is closed, and the bytes are deleted next
                await self._call("close", os.close, fd)
        folder = self._disk.folder
        await self._disk.run("discard", self._path, delete_fault, folder.discard, self._name, self._lease_id)

    async def _finalize(self) -> None:
        if self._suspended:
            return
        await self._call("finalize", self._disk.folder.finalize, self._name, self._lease_id)

    async def _call(self, action: str, function: Callable[..., T], *arguments: Any) -> T:
        return await self._disk.run(action, self._path, write_fault, function, *arguments)

    def _usable(self) -> int:
        """Return the descriptor. Raises StoreError if the upload has failed or ended."""
        if self._failure is not None:
            raise self._failure
        if self._fd is None:
            raise StoreUnavailable(self._disk.store_id, "the upload has already ended.")
        return self._fd
