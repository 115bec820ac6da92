"""A store in the memory of one process, for tests and trials."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import islice
from typing import Final

from attrs import field, frozen
from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from imgsvc.errors import Invalid, ObjectDamaged, ObjectExists, ObjectInUse, ObjectMissing, StoreFull, StoreUnavailable
from imgsvc.interfaces import IBudget, IListedStore, IResumableStore, IResumableWriter, IStoreReader, IStoreWriter
from imgsvc.model import Caller, Location, Span, StoredObject, StoreUsage, UnfinishedObject
from imgsvc.options import Size, option, structure
from imgsvc.store_model import Buffer, Scope, StoreInfo, StoreSettings
from imgsvc.stores.memory_writer import MemoryWriter, Upload
from imgsvc.stores.readahead import ReadAhead
from imgsvc.stores.services import StoreServices

SCHEME: Final = "memory:///"
BATCH: Final = 1000
"""Objects in one list of `objects`."""


@frozen
class MemoryOptions:
    """[stores.NAME] with kind = "memory"."""

    capacity: Size = option("The most bytes that the store holds. 0: no limit.", 0)


@frozen
class _Object:
    lease_id: str
    data: bytes
    changed_at: float = field(factory=time.time)


@implementer(IListedStore, IResumableStore)
class MemoryStore:
    """Keeps objects in dictionaries. They are lost when the process ends, and no other process can access them."""

    def __init__(self, settings: StoreSettings, capacity: int, budget: IBudget) -> None:
        """capacity: bytes, 0 for no limit."""
        self.store_id = settings.id
        self.info = StoreInfo(
            id=settings.id,
            kind="memory",
            description=settings.description,
            weight=settings.weight,
            reserved=settings.reserved,
            scope=Scope.PROCESS,
            schemes=("memory",),
        )
        self._capacity = capacity
        self._budget = budget
        self._objects: dict[str, _Object] = {}
        self._aside: dict[str, _Object] = {}
        self._uploads: dict[tuple[str, str], Upload] = {}

    def start(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def check(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def locate(self, url: str, image_id: str) -> Location | None:
        """See IStore."""
        if not url.startswith(SCHEME):
            return None
        if url != SCHEME + image_id:
            raise Invalid(f"The location is not the object of image {image_id} in store {self.store_id}.")
        return Location(self.store_id, url)

    def writer(
        self, name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """See IStore."""
        return execute(self._writer, name, lease_id, expected_size)

    def _writer(self, name: str, lease_id: str, expected_size: int | None) -> IStoreWriter:
        self._check_room(expected_size or 0)
        self._uploads[name, lease_id] = upload = Upload()
        return MemoryWriter(self, name, lease_id, upload)

    def resume(self, name: str, lease_id: str, caller: Caller | None = None) -> Deferred[IResumableWriter]:
        """See IResumableStore."""
        return execute(self._resume, name, lease_id)

    def _resume(self, name: str, lease_id: str) -> IResumableWriter:
        upload = self._uploads.get((name, lease_id))
        if upload is None:
            raise ObjectMissing(self.store_id, f"there is no upload {lease_id}.")
        if self._owner(name) == lease_id:
            raise ObjectExists(self.store_id, f"there is an object {name} already.")
        if upload.at_work:
            raise ObjectInUse(self.store_id, f"upload {lease_id} may still be running.")
        upload.at_work = True
        return MemoryWriter(self, name, lease_id, upload)

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore."""
        return execute(self._reader, location, span, size)

    def _reader(self, location: Location, span: Span, size: int | None) -> IStoreReader:
        data = self._object(location).data
        if span.stop > len(data) or size not in (None, len(data)):
            raise ObjectDamaged(self.store_id, f"the object has {len(data)} bytes, not {size or span.stop}.")

        def read(offset: int, size: int) -> Deferred[bytes]:
            return succeed(data[offset : offset + size])

        return ReadAhead(self.store_id, read, _nothing, span, self._budget)

    def size(self, location: Location) -> Deferred[int]:
        """See IStore."""
        return execute(lambda: len(self._object(location).data))

    def delete(self, location: Location) -> Deferred[None]:
        """See IStore."""

        def delete() -> None:
            self._object(location)
            del self._objects[location.url.removeprefix(SCHEME)]

        return execute(delete)

    def unfinished(self) -> Deferred[list[UnfinishedObject]]:
        """See IStore."""
        return succeed([UnfinishedObject(*key) for key in sorted(self._uploads)])

    def discard(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        if self._uploads.pop((name, lease_id), None) is not None and self._owner(name) == lease_id:
            del self._objects[name]
        return succeed(None)

    def finalize(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        self._uploads.pop((name, lease_id), None)
        return succeed(None)

    async def objects(self) -> AsyncGenerator[list[StoredObject], None]:
        """See IListedStore."""
        names = iter(list(self._objects))
        while batch := list(islice(names, BATCH)):
            yield [self._stored(name) for name in batch if name in self._objects]

    def object(self, name: str) -> Deferred[StoredObject]:
        """See IListedStore."""
        return execute(self._stored, name)

    def set_aside(self, found: StoredObject) -> Deferred[str]:
        """See IListedStore."""

        def set_aside() -> str:
            if self._stored(found.name) != found:
                raise ObjectMissing(self.store_id, "it has another object of that name now.")
            self._move(found.name, self._objects, self._aside)
            return "the memory of the process"

        return execute(set_aside)

    def put_back(self, found: StoredObject) -> Deferred[None]:
        """See IListedStore."""
        return execute(self._move, found.name, self._aside, self._objects)

    def usage(self) -> Deferred[StoreUsage]:
        """See IStore."""
        if not self._capacity:
            return succeed(StoreUsage(None, None))
        return succeed(StoreUsage(self._capacity, max(0, self._capacity - self._used())))

    def append(self, name: str, lease_id: str, pieces: Sequence[Buffer]) -> None:
        """Add bytes to an upload. Raises StoreFull, StoreUnavailable."""
        self._check_room(sum(map(len, pieces)))
        self.begun(name, lease_id).pieces.extend(map(bytes, pieces))

    def publish(self, name: str, lease_id: str) -> Location:
        """Make the bytes of an upload the object. Raises ObjectExists, StoreUnavailable."""
        pieces = self.begun(name, lease_id).pieces
        owner = self._owner(name)
        if owner is not None and ((name, owner) not in self._uploads or owner > lease_id):
            raise ObjectExists(self.store_id, f"there is an object {name} already.")
        self._objects[name] = _Object(lease_id, b"".join(pieces))
        pieces.clear()
        return Location(self.store_id, SCHEME + name)

    def _stored(self, name: str) -> StoredObject:
        found = self._named(name)
        return StoredObject(name, len(found.data), found.changed_at, found.lease_id)

    def _move(self, name: str, source: dict[str, _Object], target: dict[str, _Object]) -> None:
        if name not in source:
            raise ObjectMissing(self.store_id, "the object is not there.")
        if name in target:
            raise ObjectExists(self.store_id, f"there is an object {name} already.")
        target[name] = source.pop(name)

    def begun(self, name: str, lease_id: str) -> Upload:
        """Return an upload that was begun. Raises StoreUnavailable if it was discarded."""
        if (name, lease_id) not in self._uploads:
            raise StoreUnavailable(self.store_id, "the upload was discarded meanwhile.")
        return self._uploads[name, lease_id]

    def _owner(self, name: str) -> str | None:
        found = self._objects.get(name)
        return None if found is None else found.lease_id

    def _object(self, location: Location) -> _Object:
        return self._named(location.url.removeprefix(SCHEME))

    def _named(self, name: str) -> _Object:
        found = self._objects.get(name)
        if found is None:
            raise ObjectMissing(self.store_id, "the object is not there.")
        return found

    def _used(self) -> int:
        written = sum(len(piece) for upload in self._uploads.values() for piece in upload.pieces)
        return written + sum(len(found.data) for found in (*self._objects.values(), *self._aside.values()))

    def _check_room(self, size: int) -> None:
        if self._capacity and self._used() + size > self._capacity:
            raise StoreFull(self.store_id, f"{size} bytes do not fit.")


def _nothing() -> None:
    """Do nothing: a reader of memory has nothing to close."""


def make(settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> MemoryStore:
    """See IStoreMaker."""
    capacity = structure(MemoryOptions, options, f"stores.{settings.id}").capacity
    return MemoryStore(settings, capacity, services.budget)
