"""What stores promise, and what is promised to them."""

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
]


class IStoreWriter(Interface):
    """Takes the bytes of one object. Used by one upload: write*, commit, finalize; or abort at any point.

    One call is under way at a time, but for abort, which may come while a write or commit is not answered.
    """

    def write(pieces: Sequence[Buffer]) -> Deferred[None]:
        """Append `pieces`. When the Deferred fires, they are free again.

        Fails: StoreFull, StoreWriteDenied, StoreUnavailable. The caller must abort after a failure.
        """

    def commit() -> Deferred[Location]:
        """Make all that was written durable and visible under its name, all or nothing. Deferred of where it is.

        Fails as write does, and with ObjectExists when the name holds an object which is not that of an
        earlier upload of the same image that was never finalized.
        """

    def finalize() -> Deferred[None]:
        """The catalogue has the location now: remove what is kept only while the upload may still be undone."""

    def abort() -> Deferred[None]:
        """Leave nothing behind of this upload, committed or not; never harm what another upload wrote.

        Any number of times, after any failure, also when the outcome of a write is unknown.
        Fails only with StoreError when the medium does not let go; `discard` is then tried again later.
        """


class IResumableWriter(IStoreWriter):
    """A writer whose upload may be interrupted, and gone on with later: see IResumableStore."""

    size: int = Attribute("Bytes that the object has so far. What `write` gets is appended to them.")

    def suspend() -> Deferred[int]:
        """Make what was written durable, and leave it to `resume`. Gives `size`, the number of bytes.

        The upload stays unfinished. Nothing more can be done by this writer: write and commit fail, finalize and abort
        have no effect. Fails as write does; the caller must abort then.
        """


class ICopyingWriter(IStoreWriter):
    """A writer that can have a store's server or the kernel copy bytes, which do not pass through this process."""

    def copy(source: IStore, location: Location, span: Span) -> Deferred[int]:
        """Append the first bytes of a span of another object. Gives their number; the caller asks again for the rest.

        One call copies only as much as an abort can wait for. It gives 0 where it cannot copy: the caller then reads
        the bytes from `source` and writes them. No call of `write` may be under way.
        source: the store of `location`, of any kind. Fails as write does, and as IStore.reader does.
        """


class IStoreReader(IPushProducer):
    """Gives a span of an object to a consumer, once. Paused and resumed by the consumer."""

    length: int = Attribute("Bytes that will be produced.")

    def startProducing(consumer: IConsumer) -> Deferred[None]:
        """Register with `consumer` as a push producer, write `length` bytes to it, unregister.

        The Deferred fires when the last byte was written. Fails with StoreError when the object ends early or
        the store fails; fewer bytes were written then. Fails with CancelledError after stopProducing.
        """

    def stopProducing() -> None:
        """End, and free all that is held. Any number of times; also if startProducing was never called."""


class IFileBacked(Interface):
    """A reader whose bytes are in an open file. The file stays open until the reader's stopProducing."""

    fd: int = Attribute("File descriptor, open for reading, positioned reads only.")
    offset: int = Attribute("Where the span begins in the file.")
    length: int = Attribute("Bytes in the span.")

    def load(offset: int, length: int) -> Deferred[None]:
        """Bring these bytes of the file into the kernel's memory, in a thread of the store.

        Fails with ObjectDamaged when the file ends before them, StoreUnavailable when it cannot be read.
        """


class IHoldings(Interface):
    """What the catalogue tells a store, so that the store can tell whose its medium is.

    All methods may fail with CatalogueUnavailable.
    """

    def identity() -> Deferred[str]:
        """What tells this catalogue from all others. It stays with the database."""

    def object_count(store_id: str) -> Deferred[int]:
        """Objects that must be in that store. Those that are being deleted or uploaded count, too."""

    def known_objects(store_id: str, names: Collection[str]) -> Deferred[set[str]]:
        """Which of these names, 1000 at most, `object_count` counts."""


class IStore(Interface):
    """Keeps objects, each under the id of its image. Every provider passes the store contract suite.

    Methods without a parameter `caller` are called by the server itself: an object may be deleted long after a request.

    The medium of a store may be away: not mounted, not attached, or another's in its place. Nothing that was in the
    store is gone then. So a store whose medium can be away is an IMarkedStore; all others are never away.
    """

    info: StoreInfo = Attribute("What the store is; always the same value.")
    store_id: str = Attribute("info.id: the name that the operator gave it.")

    def start() -> Deferred[None]:
        """Make ready: folders, connections. Fails with ConfigurationError or StoreError.

        A medium that is away is no failure: the store is away then, and comes back by itself.
        """

    def stop() -> Deferred[None]:
        """Let go of threads and connections."""

    def check() -> Deferred[None]:
        """The store's own medium is there. Fails: StoreAway, StoreUnavailable."""

    def locate(url: str, image_id: str) -> Location | None:
        """The location that a URL given by a client means, for that image; None if it is no URL of this store.

        Of the objects of a store that takes images only the image's own can be meant: its bytes go with the image, and
        no other may need them. Raises Invalid for a URL that is this store's, but refused.
        """

    def writer(
        name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """Begin an object. lease_id: of the lease that it is written under. expected_size: bytes; None: not known.

        caller: whose image it is, for stores that keep objects in an account of the caller's; None: the server itself.

        Nothing is visible under `name` until commit. Fails: StoreFull (expected_size does not fit),
        StoreWriteDenied, StoreUnavailable, StoreReadOnly.
        """

    def reader(
        location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """Open a Location for a Span. The caller ends the reader with stopProducing.

        size: bytes that the whole object must have; None: not known. caller: who asks for the bytes; None: the server
        itself. Fails: ObjectMissing, ObjectDamaged (ends before the span does, or has another size), PartUnavailable
        (it can be had as a whole only), StoreUnavailable.
        """

    def size(location: Location) -> Deferred[int]:
        """Bytes of the object. Fails: ObjectMissing, StoreUnavailable."""

    def delete(location: Location) -> Deferred[None]:
        """Remove the object of a Location.

        Fails: ObjectMissing (nothing there), StoreForbidden, ObjectInUse, StoreUnavailable.
        """

    def unfinished() -> Deferred[list[UnfinishedObject]]:
        """What uploads have begun here and neither finalized nor aborted."""

    def discard(name: str, lease_id: str) -> Deferred[None]:
        """As abort of that upload's writer would do, by any process. No failure if nothing is there."""

    def finalize(name: str, lease_id: str) -> Deferred[None]:
        """As finalize of that upload's writer would do, by any process. No failure if nothing is there."""

    def usage() -> Deferred[StoreUsage]:
        """How full the medium is. Fails: StoreUnavailable."""


class IMarkedStore(IStore):
    """A store whose medium may be away, which is told by a mark on the medium.

    The mark names the catalogue and the store that the medium belongs to. While it is missing, or another's, the store
    is away: `check` and every other call that needs the medium fails with StoreAway, and nothing is read, written or
    deleted. At the start a store marks a medium that has no mark only if it is empty, and the catalogue has no object
    there. No two catalogues can have the same medium, however many processes start at once on it.
    """

    def survey() -> Deferred[Survey]:
        """What is on the medium, whosever it is. Changes nothing. Fails: StoreUnavailable."""

    def mark_fault(catalogue_id: str | None, object_count: int) -> str | None:
        """What a start of the store would not accept of the medium's mark, in words; None: nothing.

        For tools that only look: the store needs not be started, and the call blocks. catalogue_id, object_count: see
        IHoldings; None for a catalogue that has no id yet.
        """

    def adopt(force: bool) -> Deferred[None]:
        """Mark the medium as this store's, because the operator says so.

        Fails with Conflict unless forced: the mark is another's, or the catalogue has objects in the store of which
        none is there. Fails also: StoreUnavailable, StoreWriteDenied, StoreFull.
        """


class IResumableStore(IStore):
    """A store that can go on with an upload which was interrupted. Its writers provide IResumableWriter."""

    def resume(name: str, lease_id: str, caller: Caller | None = None) -> Deferred[IResumableWriter]:
        """A writer that goes on where an upload was interrupted: it was suspended, or its process died.

        The writer's `size` says what is there, which is durable: all that was written before `suspend`, and at least
        all whose write was answered before a process died. A host that lost its power may have lost more. The store
        keeps no digests of these bytes. The upload is unfinished as before, also where this fails.

        Fails: ObjectMissing (nothing of that upload is there), ObjectExists (it is committed), ObjectInUse (another
        writer of that upload may still be at work), StoreWriteDenied, StoreUnavailable.
        """


class IRedirectingStore(IStore):
    """A store whose objects clients can fetch from its server themselves, if `info.can_redirect` says so."""

    def redirect(location: Location, lifetime: float, caller: Caller | None = None) -> Deferred[str]:
        """A URL for a GET of the object without any credentials but those in the URL, with or without a range.

        lifetime: seconds after which the URL is of no use any more. caller: who will use it. Fails: ObjectMissing,
        StoreUnavailable.
        """


class IListedStore(IStore):
    """A store that can tell which objects it has: for those who compare them with the catalogue."""

    def objects() -> AsyncGenerator[list[StoredObject], None]:
        """All objects that can be read, at most 1000 at a time, in no order. The caller closes it.

        What is committed or deleted meanwhile may be among them or not; everything else is, once. Fails:
        StoreUnavailable.
        """

    def object(name: str) -> Deferred[StoredObject]:
        """The object of that name, as it is now. Fails: ObjectMissing, StoreUnavailable."""

    def set_aside(found: StoredObject) -> Deferred[str]:
        """Take an object that was listed out of the store, and keep its bytes. Deferred of where, for the operator.

        Fails: ObjectMissing (it is not that object any more), ObjectInUse (an upload of that name is unfinished),
        ObjectExists (one of its name was set aside before), StoreForbidden, StoreUnavailable.
        """

    def put_back(found: StoredObject) -> Deferred[None]:
        """Undo `set_aside`. Fails: ObjectMissing, ObjectExists (the name has another object now), StoreUnavailable."""


class IStoreRegistry(Interface):
    """The stores of this server, by id: those for images, which clients see, and those that the server reserves."""

    default: IStore = Attribute("Takes an upload that names none.")
    several: bool = Attribute("More than one store for images is configured.")

    def get(store_id: str) -> IStore:
        """The store for images of that id. Raises UnknownStore."""

    def all() -> Sequence[IStore]:
        """The stores for images in the order of the configuration."""

    def find(store_id: str) -> IStore:
        """The store of that id, be it reserved, where no client chose the id. Raises UnknownStore."""

    def every() -> Sequence[IStore]:
        """All stores, those that are reserved too, in the order of the configuration."""

    def reserved(purpose: Purpose) -> IStore | None:
        """The store that the server keeps for this purpose; None: the configuration has none."""
