"""A store that keeps each object as a file in a folder, in the layout of Glance's file store."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from imgsvc import page_cache
from imgsvc.errors import ConfigurationError, ObjectDamaged, StoreFull, StoreUnavailable
from imgsvc.interfaces import IListedStore, IMarkedStore, IResumableStore, IResumableWriter, IStoreReader, IStoreWriter
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Location, Span, StoredObject, StoreUsage, Survey, UnfinishedObject
from imgsvc.shield import ignore, shielded
from imgsvc.store_model import Scope, StoreInfo, StoreSettings
from imgsvc.stores.direct import DirectWrites
from imgsvc.stores.disk import Disk, Fault
from imgsvc.stores.faults import delete_fault, read_fault, write_fault
from imgsvc.stores.file_locations import SCHEMES, FileLocations
from imgsvc.stores.file_options import FileOptions, read_options
from imgsvc.stores.file_reader import FileReader, OpenFile
from imgsvc.stores.file_writer import FileWriter, WriteOptions
from imgsvc.stores.folder import Folder, share_folder
from imgsvc.stores.mark import fault_of
from imgsvc.stores.objects import Objects
from imgsvc.stores.pieces import UNIT, write_all
from imgsvc.stores.presence import Presence
from imgsvc.stores.readahead import ReadAhead
from imgsvc.stores.services import StoreServices

T = TypeVar("T")
A = TypeVar("A")

log = make_logger()

FLUSHERS: Final = 2
"""Threads that flush while other threads write. More of them would only make the disk seek."""
ROOM_OF_CATALOGUE: Final = 32 << 20
"""Bytes that images leave free for a catalogue on the same file system, so that it can record deletions."""


@implementer(IMarkedStore, IListedStore, IResumableStore)
class FileStore:
    """A store with one file for each object, in one folder. Processes on several hosts may share the folder."""

    def __init__(self, settings: StoreSettings, options: FileOptions, mode: int, services: StoreServices) -> None:
        """mode: options.file_perm as a number."""
        self.store_id = settings.id
        self._options = options
        write = DirectWrites(self.store_id).write if options.direct_writes and options.fsync else write_all
        self._write_options = WriteOptions(options.fsync, mode, options.thin_provisioning, write=write)
        self._services = services
        self._folder = Folder(os.path.abspath(services.data_folder / options.path), options.fsync)
        self.info = StoreInfo(
            id=settings.id,
            kind="file",
            description=settings.description,
            weight=settings.weight,
            reserved=settings.reserved,
            scope=Scope.HOST,
            medium=f"file:{os.path.realpath(self._folder.path)}",
            folder=self._folder.path,
            schemes=SCHEMES,
            properties={
                "data_dir": self._folder.path,
                "chunk_size": UNIT,
                "thin_provisioning": options.thin_provisioning,
            },
        )
        self._objects = Objects(self._folder)
        self._locations = FileLocations(settings.id, self._folder.path)
        self._running: Disk | None = None
        self._present: Presence | None = None

    @property
    def _disk(self) -> Disk:
        if self._running is None:
            raise StoreUnavailable(self.store_id, "it is not running.")
        return self._running

    @property
    def _presence(self) -> Presence:
        if self._present is None:
            raise StoreUnavailable(self.store_id, "it is not running.")
        return self._present

    def start(self) -> Deferred[None]:
        """See IStore."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        make_threads = self._services.make_threads
        self._running = disk = Disk(
            self.store_id,
            self._folder,
            make_threads(f"{self.store_id}-files", self._options.threads),
            make_threads(f"{self.store_id}-flush", FLUSHERS),
            self._services.clock,
        )
        self._present = Presence(
            self.store_id, disk, self._services.holdings, self._services.clock, self._make, self._prepare
        )
        try:
            await self._present.begin()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigurationError(
                f"stores.{self.store_id}.path = {self._options.path!r}: {self._folder.path}: {reason};"
                " must be a folder that may be written, on a file system with hard links and locks"
            ) from error
        log.info("Store {store} keeps images in {path}", store=self.store_id, path=self._folder.path)

    def _make(self) -> None:
        """Create the folder if it does not exist. Runs in a thread."""
        self._folder.make(self._services.folders, self._write_options.mode)

    def _prepare(self) -> None:
        """Prepare a folder that belongs to the store. Runs in a thread."""
        self._make()
        self._folder.prepare()
        share_folder(self._folder.path, self._write_options.mode)

    def stop(self) -> Deferred[None]:
        """See IStore."""
        presence, self._present = self._present, None
        if presence is not None:
            presence.stop()
        disk, self._running = self._running, None
        if disk is not None:
            disk.threads.stop()
            disk.flushers.stop()
        return succeed(None)

    def check(self) -> Deferred[None]:
        """See IStore."""
        return _whole(self._check())

    async def _check(self) -> None:
        await self._presence.check()

    def survey(self) -> Deferred[Survey]:
        """See IMarkedStore."""
        return _whole(self._survey())

    async def _survey(self) -> Survey:
        return await self._presence.survey()

    def mark_fault(self, catalogue_id: str | None, object_count: int) -> str | None:
        """See IMarkedStore."""
        return fault_of(self._folder.mark.read(), catalogue_id, self.store_id, object_count)

    def adopt(self, force: bool) -> Deferred[None]:
        """See IMarkedStore."""
        return _whole(self._adopt(force))

    async def _adopt(self, force: bool) -> None:
        await self._presence.adopt(force)

    def locate(self, url: str, image_id: str) -> Location | None:
        """See IStore. A URL in another folder is never a URL of this store."""
        return self._locations.locate(url, image_id)

    def writer(
        self, name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """See IStore."""
        return _whole(self._writer(name, lease_id, expected_size), lambda writer: writer.abort())

    async def _writer(self, name: str, lease_id: str, expected_size: int | None) -> IStoreWriter:
        path = self._folder.part(name, lease_id)
        usage, min_free = await self._disk.run("make", path, write_fault, self._room)
        needed = (expected_size or 0) + min_free
        if usage.free is not None and needed > usage.free:
            raise StoreFull(self.store_id, f"{expected_size or 'more'} bytes do not fit.")
        mode = self._write_options.mode
        fd = await self._disk.run("make", path, write_fault, self._folder.begin, name, lease_id, mode)
        return self._file_writer(name, lease_id, fd, 0, min_free)

    def resume(self, name: str, lease_id: str, caller: Caller | None = None) -> Deferred[IResumableWriter]:
        """See IResumableStore."""
        return _whole(self._resume(name, lease_id), lambda writer: writer.suspend())

    async def _resume(self, name: str, lease_id: str) -> IResumableWriter:
        path = self._folder.part(name, lease_id)
        _, min_free = await self._disk.run("look at", path, write_fault, self._room)
        fd, size = await self._disk.run("go on with", path, read_fault, self._folder.resume, name, lease_id)
        return self._file_writer(name, lease_id, fd, size, min_free)

    def _file_writer(self, name: str, lease_id: str, fd: int, size: int, min_free: int) -> FileWriter:
        location = self._locations.of(name)
        options = evolve(self._write_options, min_free=min_free)
        return FileWriter(self._disk, name, lease_id, fd, size, location, options)

    def _room(self) -> tuple[StoreUsage, int]:
        """Return the usage of the file system, and the bytes that uploads must leave free. Runs in a thread.

        More must stay free if the catalogue is on the same file system.
        """
        usage, min_free, catalogue = self._folder.usage(), self._options.min_free, self._services.catalogue
        if catalogue is not None and os.stat(catalogue).st_dev == os.stat(self._folder.path).st_dev:
            min_free = max(min_free, ROOM_OF_CATALOGUE)
        return usage, min_free

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore."""
        return _whole(self._reader(location, span, size), lambda reader: reader.stopProducing())

    async def _reader(self, location: Location, span: Span, size: int | None) -> IStoreReader:
        disk, name = self._disk, self._locations.name(location)
        path = self._folder.final(name)
        cached = page_cache.open_cached(path) if disk.local and disk.away is None else None
        if cached is None:
            fd, found = await disk.run("open", path, read_fault, self._folder.open, name)
        else:
            fd, found = cached, os.fstat(cached).st_size
        file = OpenFile(disk, path, fd)
        if span.stop > found or size not in (None, found):
            file.close()
            raise ObjectDamaged(self.store_id, f"the object has {found} bytes, not {size or span.stop}.")
        if disk.local:
            return FileReader(self.store_id, name, file, span, self._services.budget)
        return ReadAhead(self.store_id, file.read, file.close, span, self._services.budget)

    def size(self, location: Location) -> Deferred[int]:
        """See IStore."""
        return _whole(self._at(location, "look at", read_fault, self._folder.size))

    def delete(self, location: Location) -> Deferred[None]:
        """See IStore."""
        return _whole(self._at(location, "delete", delete_fault, self._folder.delete))

    def unfinished(self) -> Deferred[list[UnfinishedObject]]:
        """See IStore."""
        return _whole(self._look("list", self._folder.unfinished))

    def discard(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return _whole(self._end("discard", delete_fault, self._folder.discard, name, lease_id))

    def finalize(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return _whole(self._end("finalize", write_fault, self._folder.finalize, name, lease_id))

    async def objects(self) -> AsyncGenerator[list[StoredObject], None]:
        """See IListedStore."""
        walk = self._objects.walk()
        while batch := await _whole(self._look("list", lambda: self._objects.batch(walk))):
            yield batch

    def object(self, name: str) -> Deferred[StoredObject]:
        """See IListedStore."""
        return _whole(self._named(name, "look at", read_fault, self._objects.find, name))

    def set_aside(self, found: StoredObject) -> Deferred[str]:
        """See IListedStore."""
        return _whole(self._named(found.name, "set aside", delete_fault, self._objects.set_aside, found))

    def put_back(self, found: StoredObject) -> Deferred[None]:
        """See IListedStore."""
        return _whole(self._named(found.name, "put back", delete_fault, self._objects.put_back, found))

    def usage(self) -> Deferred[StoreUsage]:
        """See IStore."""
        return _whole(self._usage())

    async def _usage(self) -> StoreUsage:
        await self._presence.check()
        return await self._look("look at", self._folder.usage)

    async def _look(self, action: str, function: Callable[[], T]) -> T:
        return await self._disk.run(action, self._folder.path, read_fault, function)

    async def _at(self, location: Location, action: str, fault: Fault, function: Callable[[str], T]) -> T:
        name = self._locations.name(location)
        return await self._named(name, action, fault, function, name)

    async def _named(self, name: str, action: str, fault: Fault, function: Callable[[A], T], argument: A) -> T:
        return await self._disk.run(action, self._folder.final(name), fault, function, argument)

    async def _end(
        self, action: str, fault: Fault, function: Callable[[str, str], None], name: str, lease_id: str
    ) -> None:
        await self._disk.run(action, self._folder.part(name, lease_id), fault, function, name, lease_id)


def _whole(call: Coroutine[Any, Any, T], dispose: Callable[[T], object] = ignore) -> Deferred[T]:
    """Run a call to its end even if the caller has cancelled it, because a thread cannot be interrupted."""
    return shielded(Deferred.fromCoroutine(call), dispose)


def make(settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> FileStore:
    """See IStoreMaker."""
    return FileStore(settings, *read_options(options, f"stores.{settings.id}"), services)
