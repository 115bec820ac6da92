"""The interfaces of stores, and of the catalogue as stores see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import Attribute, Interface

from imgsvc.model import Caller, Location, Span, StoredObject, StoreUsage, Survey, UnfinishedObject
from imgsvc.store_model import Buffer, Purpose, StoreInfo

__all__ = [
    "ICopyingWriter",
    "IFileBacked",
    "IHoldings",
    "IListedStore",
    "IMarkedStore",
    "IRedirectingStore",
    "IResumableStore",
    "IResumableWriter",
    "IStore",
    "IStoreReader",
    "IStoreRegistry",
    "IStoreWriter",
    "IStoredFile",
]


class IStoreWriter(Interface):
    """Writes the bytes of one object. One upload uses it: write*, commit, finalize; or abort at any point.

    One call is under way at a time, with one exception: abort may be called while a write or commit is under way.
    """

    def write(pieces: Sequence[Buffer]) -> Deferred[None]:
        """Append `pieces`. When the Deferred fires, the caller may reuse their memory.

        Fails: StoreFull, StoreWriteDenied, StoreUnavailable. The caller must abort after a failure.
        """

    def commit() -> Deferred[Location]:
        """Make the whole object durable and visible under its name, atomically. Returns its location.

        Fails as `write`, and with ObjectExists if the name has another object. An object that an earlier upload of the
        same image has left unfinalized is replaced.
        """

    def finalize() -> Deferred[None]:
        """Remove what was kept to undo the upload. Called when the catalogue has the location."""

    def abort() -> Deferred[None]:
        """Remove everything that this upload has written, committed or not. Never harms what another upload wrote.

        May be called any number of times, after any failure, also when the outcome of a write is unknown.
        Fails only with StoreError, if the medium refuses; `discard` is then tried again later.
        """


class IResumableWriter(IStoreWriter):
    """A writer whose upload can be interrupted and resumed later: see IResumableStore."""

    size: int = Attribute("Bytes that the object has so far. What `write` gets is appended to them.")

    def suspend() -> Deferred[int]:
        """Make the bytes durable and keep them for `resume`. Returns `size`, the number of bytes.

        The upload stays unfinished. This writer cannot be used any more: write and commit fail, finalize and abort have
        no effect. Fails as `write`; the caller must abort then.
        """


class ICopyingWriter(IStoreWriter):
    """A writer that can let a server or the kernel copy bytes, so that they do not pass through this process."""

    def copy(source: IStore, location: Location, span: Span) -> Deferred[int]:
        """Append the first bytes of a span of another object. Returns their number; the caller asks again for the rest.

        source: the store of `location`, of any kind.
        One call copies only as much as an abort can wait for. It returns 0 if it cannot copy; the caller then reads the
        bytes from `source` and writes them. No call of `write` may be under way. Fails as `write`, and as
        `IStore.reader`.
        """


class IStoreReader(IPushProducer):
    """Produces a span of an object for a consumer, once. The consumer pauses and resumes it."""

    length: int = Attribute("Bytes that will be produced.")

    def startProducing(consumer: IConsumer) -> Deferred[None]:
        """Register with `consumer` as a push producer, write `length` bytes to it, unregister.

        The Deferred fires when the last byte was written. Fails: StoreError if the object ends early or the store
        fails, and fewer bytes were written; CancelledError after stopProducing.
        """

    def stopProducing() -> None:
        """End, and free all resources. May be repeated, and called when startProducing never was."""


class IFileBacked(Interface):
    """A reader whose bytes are in an open file. The file stays open until the reader's stopProducing."""

    fd: int = Attribute("File descriptor, open for reading, positioned reads only.")
    offset: int = Attribute("Where the span begins in the file.")
    length: int = Attribute("Bytes in the span.")

    def load(offset: int, length: int) -> Deferred[None]:
        """Read these bytes of the file into the kernel's page cache, in a thread of the store.

        Fails: ObjectDamaged if the file ends before them; StoreUnavailable if it cannot be read.
        """


class IStoredFile(Interface):
    """A reader of an object that is a file of its own, which other processes of this machine can open by its name."""

    store_id: str = Attribute("The store that has the object.")
    name: str = Attribute("The name of the file in the folder of the store: the object's name.")
    length: int = Attribute("Bytes in the span.")


class IHoldings(Interface):
    """The part of the catalogue that a store uses to decide whether a medium belongs to it.

    All methods may fail with CatalogueUnavailable.
    """

    def identity() -> Deferred[str]:
        """Return the unique id of this catalogue. It is kept in the database."""

    def object_count(store_id: str) -> Deferred[int]:
        """Return the number of objects that must be in that store, with those that are being deleted or uploaded."""

    def known_objects(store_id: str, names: Collection[str]) -> Deferred[set[str]]:
        """Return those of the names, at most 1000, whose objects `object_count` counts."""


class IStore(Interface):
    """Keeps objects, each under the id of its image. Every implementation passes the store contract suite.

    The server itself calls the methods without a parameter `caller`: for example, it deletes an object long after the
    request.

    The medium of a store may be away: not mounted, not attached, or replaced by another one. The objects are not lost
    then. A store whose medium can be away is an IMarkedStore; the medium of other stores is never away.
    """

    info: StoreInfo = Attribute("The properties of the store; they never change.")
    store_id: str = Attribute("The same as info.id: the name that the operator gave the store.")

    def start() -> Deferred[None]:
        """Prepare the store: create folders, open connections. Fails: ConfigurationError, StoreError.

        Succeeds if the medium is away: the store works again as soon as the medium is back.
        """

    def stop() -> Deferred[None]:
        """End threads and close connections."""

    def check() -> Deferred[None]:
        """Succeed if the store's own medium is there. Fails: StoreAway, StoreUnavailable."""

    def locate(url: str, image_id: str) -> Location | None:
        """Return the location for a URL that a client gave for that image; None if the URL is not one of this store.

        In a store that accepts images, the URL may name only the image's own object: the object is deleted with the
        image, so no other image may need it. Raises Invalid: the URL is one of this store, but not allowed.
        """

    def writer(
        name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """Begin an object. It is not visible under `name` before commit.

        lease_id: the lease that the upload holds. expected_size: bytes; None: unknown. caller: the owner of the image,
        for stores that use an account of the caller; None: the server itself.
        Fails: StoreFull if expected_size does not fit, StoreWriteDenied, StoreUnavailable, StoreReadOnly.
        """

    def reader(
        location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """Open a span of an object. The caller ends the reader with stopProducing.

        size: bytes of the whole object; None: unknown. caller: the one who asks for the bytes; None: the server itself.
        Fails: ObjectMissing; ObjectDamaged if the object ends before the span or does not have `size` bytes;
        PartUnavailable if the store can read it only as a whole; StoreUnavailable.
        """

    def size(location: Location) -> Deferred[int]:
        """Return the size of the object in bytes. Fails: ObjectMissing, StoreUnavailable."""

    def delete(location: Location) -> Deferred[None]:
        """Delete the object at a location.

        Fails: ObjectMissing, StoreForbidden, ObjectInUse, StoreUnavailable.
        """

    def unfinished() -> Deferred[list[UnfinishedObject]]:
        """Return the objects of uploads that were neither finalized nor aborted."""

    def discard(name: str, lease_id: str) -> Deferred[None]:
        """Do what `abort` of that upload's writer would do, from any process. Succeeds if there is nothing to do."""

    def finalize(name: str, lease_id: str) -> Deferred[None]:
        """Do what `finalize` of that upload's writer would do, from any process. Succeeds if there is nothing to do."""

    def usage() -> Deferred[StoreUsage]:
        """Return the total and free bytes of the medium. Fails: StoreUnavailable."""


class IMarkedStore(IStore):
    """A store whose medium may be away. It recognises its medium by a mark on it.

    The mark names the catalogue and the store that the medium belongs to. While the mark is missing or names another
    owner, the store is away: `check` and every other call that needs the medium fails with StoreAway, and nothing is
    read, written or deleted. When a store starts, it marks a medium without a mark only if the medium is empty and the
    catalogue has no object there. Two catalogues can never have the same medium, even if many processes start on it at
    once.
    """

    def survey() -> Deferred[Survey]:
        """Return the content of the medium, whoever owns it. Changes nothing. Fails: StoreUnavailable."""

    def mark_fault(catalogue_id: str | None, object_count: int) -> str | None:
        """Return why a start of the store would not accept the medium's mark, in words; None if it would.

        For tools that only inspect the configuration: the store need not be started, and the call blocks.
        catalogue_id, object_count: see IHoldings. catalogue_id is None for a catalogue that has no id yet.
        """

    def adopt(force: bool) -> Deferred[None]:
        """Mark the medium as this store's, on the operator's request.

        force: adopt it despite a Conflict.
        Fails: Conflict if the mark names another owner, or if the catalogue has objects in the store but none of them
        is on the medium; StoreUnavailable, StoreWriteDenied, StoreFull.
        """


class IResumableStore(IStore):
    """A store that can resume an interrupted upload. Its writers provide IResumableWriter."""

    def resume(name: str, lease_id: str, caller: Caller | None = None) -> Deferred[IResumableWriter]:
        """Return a writer that continues an upload which was suspended, or whose process died.

        The writer's `size` is the number of bytes that are there and durable: all bytes that were written before
        `suspend`, and at least all whose write was answered before the process died. More may be lost if the host lost
        its power. The store keeps no digests of these bytes. If this call fails, the upload stays unfinished.
        Fails: ObjectMissing if the store has nothing of that upload; ObjectExists if it is committed; ObjectInUse if
        another writer of that upload may still be active; StoreWriteDenied, StoreUnavailable.
        """


class IRedirectingStore(IStore):
    """A store whose server can give objects to clients directly, if `info.can_redirect` is true."""

    def redirect(location: Location, lifetime: float, caller: Caller | None = None) -> Deferred[str]:
        """Return a URL from which a client can GET the object, whole or in ranges. The URL contains all credentials.

        lifetime: seconds for which the URL is valid. caller: the one who will use it. Fails: ObjectMissing,
        StoreUnavailable.
        """


class IListedStore(IStore):
    """A store that can list its objects, so that they can be compared with the catalogue."""

    def objects() -> AsyncGenerator[list[StoredObject], None]:
        """Yield all objects that can be read, in lists of at most 1000, in any order. The caller closes the generator.

        An object that is committed or deleted meanwhile may be missing; every other object is yielded once. Fails:
        StoreUnavailable.
        """

    def object(name: str) -> Deferred[StoredObject]:
        """Return the object of that name, as it is now. Fails: ObjectMissing, StoreUnavailable."""

    def set_aside(found: StoredObject) -> Deferred[str]:
        """Move a listed object out of the store, and keep its bytes. Returns the new place, for the operator.

        Fails: ObjectMissing if the object was deleted or replaced; ObjectInUse if an upload of that name is unfinished;
        ObjectExists if an object of that name was set aside before; StoreForbidden, StoreUnavailable.
        """

    def put_back(found: StoredObject) -> Deferred[None]:
        """Undo `set_aside`. Fails: ObjectMissing; ObjectExists if the name has another object now; StoreUnavailable."""


class IStoreRegistry(Interface):
    """The stores of this server by id: those for images, which clients see, and those reserved for the server."""

    default: IStore = Attribute("The store for uploads that name no store.")
    several: bool = Attribute("Whether more than one store for images is configured.")

    def get(store_id: str) -> IStore:
        """Return the store for images with that id. Raises UnknownStore."""

    def all() -> Sequence[IStore]:
        """Return the stores for images, in the order of the configuration."""

    def find(store_id: str) -> IStore:
        """Return the store with that id, reserved or not. For ids that no client has chosen. Raises UnknownStore."""

    def every() -> Sequence[IStore]:
        """Return all stores, reserved ones included, in the order of the configuration."""

    def reserved(purpose: Purpose) -> IStore | None:
        """Return the store that is reserved for this purpose; None if the configuration has none."""
