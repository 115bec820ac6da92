"""Wrong uses of the interfaces and of routes. `test_types` type-checks them. They never run.

A comment at the end of a line names the errors that mypy must find there. No other line may have errors. Every
interface has a function here whose first parameter is of that interface. A new interface gets its own.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer

from imgsvc.event_model import ImageCreated, ImageSent
from imgsvc.hashing import IHasher, IRunningHash
from imgsvc.interfaces import (
    IAnswers,
    IBudget,
    ICatalogue,
    ICatalogueDatabase,
    ICertificates,
    ICopyingWriter,
    IDeletionCatalogue,
    IEvents,
    IFileBacked,
    IHoldings,
    IIdentity,
    IImageCatalogue,
    IInventory,
    IJsonBudget,
    ILeaseCatalogue,
    IListedStore,
    IMarkedStore,
    IMemberCatalogue,
    IMetadefCatalogue,
    INotifier,
    IPolicy,
    IProjectCatalogue,
    IProtections,
    IRedirectingStore,
    IReservation,
    IResponseSink,
    IResumableStore,
    IResumableWriter,
    IShare,
    IStore,
    IStoredFile,
    IStoreReader,
    IStoreRegistry,
    IStoreWriter,
    ITaskCatalogue,
    ITaskKind,
    ITaskWork,
    IThreads,
    IUploadCatalogue,
    RequestHead,
)
from imgsvc.lease_model import Lease, Task, TaskStatus
from imgsvc.metadef_model import Namespace, NamespaceQuery
from imgsvc.model import Caller, Image, Location, RequestContext, Span, Status, StoredData, StoredObject
from imgsvc.notification_model import Notification
from imgsvc.store_model import Purpose
from imgsvc.stores.maker import IStoreMaker
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Describe, OpenRoute, Route


def number(value: int) -> None:
    """Takes a number."""


def text(value: str) -> None:
    """Takes a text."""


def length(value: str) -> int:
    """The length of a text."""
    return len(value)


# --- the catalogue


async def catalogue(whole: ICatalogue, image: Image) -> None:
    """It has all parts, and all are strict."""
    await whole.activate(image.id, "upload", "not a StoredData", 42)  # wrong: arg-type
    text(await whole.usage("project"))  # wrong: arg-type
    number(await whole.activate(image.id, "upload", "not a StoredData"))  # wrong: arg-type, func-returns-value


async def catalogue_database(database: ICatalogueDatabase) -> None:
    """It is opened, used and closed."""
    await database.start("sqlite:///x")  # wrong: call-arg
    number(await database.check())  # wrong: arg-type, func-returns-value


async def image_catalogue(images: IImageCatalogue, image: Image) -> None:
    """Images are values of the model."""
    await images.image(image)  # wrong: arg-type
    number(await images.image(image.id))  # wrong: arg-type
    await images.images({"limit": 10})  # wrong: arg-type
    await images.add(image, 10)  # wrong: arg-type
    await images.update(image, {"name": "new"})  # wrong: arg-type
    text((await images.update(image, image))[1])  # wrong: arg-type
    await images.delete(image.id)  # wrong: attr-defined


async def member_catalogue(members: IMemberCatalogue, image: Image) -> None:
    """Members have a status of the model."""
    await members.add_member(image.id, "project", None)  # wrong: arg-type
    await members.set_member_status(image.id, "project", "accepted")  # wrong: arg-type
    text(await members.members(image.id))  # wrong: arg-type


async def project_catalogue(projects: IProjectCatalogue) -> None:
    """Projects have ids, and their usage is counted."""
    await projects.project_limits(7)  # wrong: arg-type
    number(await projects.project_usage("project"))  # wrong: arg-type


async def lease_catalogue(leases: ILeaseCatalogue, lease: Lease) -> None:
    """A lease is a value, and its duration a number."""
    await leases.renew("image", "lease", "60 s")  # wrong: arg-type
    await leases.take_over(lease.lease_id, 60)  # wrong: arg-type
    text(await leases.take_over(lease, 60))  # wrong: arg-type
    await leases.add_lease_object(lease, "store", "name")  # wrong: call-arg, arg-type
    text(await leases.is_under_way("store", "image", "lease"))  # wrong: arg-type
    await leases.claim("image", "store", 60)  # wrong: attr-defined


async def upload_catalogue(uploads: IUploadCatalogue, data: StoredData) -> None:
    """A claim is more than its id."""
    text(await uploads.claim("image", "store", 60))  # wrong: arg-type
    await uploads.activate("image", data, "lease")  # wrong: arg-type


async def task_catalogue(tasks: ITaskCatalogue, image: Image, task: Task, lease: Lease) -> None:
    """A task begins with both states of the image, and ends with its lease."""
    await tasks.begin_task(image, task, 60)  # wrong: call-arg, arg-type
    text(await tasks.begin_task(image, image, task, 60))  # wrong: arg-type
    await tasks.end_task(image, image, lease.lease_id, TaskStatus.SUCCESS)  # wrong: arg-type
    await tasks.report_task(task, 60, 0)  # wrong: arg-type
    await tasks.close_task(lease)  # wrong: call-arg


async def task_work(work: ITaskWork, image: Image) -> None:
    """A step is begun within `wait`, and the outcome of the task is an image."""
    await work.wait(Deferred())  # wrong: arg-type
    text(await work.wait(lambda: Deferred[int]()))  # wrong: arg-type, return-value
    work.watch(7)  # wrong: arg-type
    await work.end(image)  # wrong: call-arg
    await work.close(result="done")  # wrong: arg-type
    text(work.lease)  # wrong: arg-type


async def task_kind(kind: ITaskKind, work: ITaskWork) -> None:
    """It does the work of a task, and judges errors."""
    await kind.run(work.task)  # wrong: arg-type
    await kind.failed(work, "why")  # wrong: arg-type
    text(kind.judge(ValueError()))  # wrong: arg-type


async def deletion_catalogue(deletions: IDeletionCatalogue, image: Image) -> None:
    """Pending deletions are locations, each with its key."""
    await deletions.restore(image.locations, Status.ACTIVE)  # wrong: arg-type
    await deletions.forget_location("key")  # wrong: arg-type
    number(await deletions.delete(image.id))  # wrong: arg-type


async def holdings(holding: IHoldings) -> None:
    """Objects are counted for one store."""
    await holding.object_count(None)  # wrong: arg-type
    text(await holding.known_objects("store", ["name"]))  # wrong: arg-type


async def inventory(records: IInventory) -> None:
    """Records come after a key."""
    await records.records("store", "key", 10)  # wrong: arg-type
    text(await records.records("store", 0, 10))  # wrong: arg-type


async def metadef_catalogue(metadefs: IMetadefCatalogue, namespace: Namespace, query: NamespaceQuery) -> None:
    """Namespaces are values of the model."""
    await metadefs.namespace(namespace)  # wrong: arg-type
    await metadefs.remove(namespace.name)  # wrong: arg-type
    number(await metadefs.namespaces(query))  # wrong: arg-type


# --- stores


async def store(of: IStore, location: Location) -> None:
    """Locations and spans are values of the model."""
    await of.reader(location.url, Span(0, 1))  # wrong: arg-type
    await of.reader(location, (0, 1))  # wrong: arg-type
    await of.writer("image", "upload")  # wrong: call-arg
    text(await of.size(location))  # wrong: arg-type
    text(of.info.weight)  # wrong: arg-type
    of.info.weight = 7  # wrong: misc
    await of.writer("image", "lease", 10, "admin")  # wrong: arg-type
    await of.reader(location, Span(0, 1), caller=location)  # wrong: arg-type


async def marked_store(of: IMarkedStore) -> None:
    """A store that may be away."""
    await of.adopt("by force")  # wrong: arg-type
    text(await of.survey())  # wrong: arg-type


async def listed_store(of: IListedStore, found: StoredObject) -> None:
    """A store that lists its objects."""
    await of.set_aside(found.name)  # wrong: arg-type
    number(await of.object(found.name))  # wrong: arg-type


async def resumable_store(of: IResumableStore) -> None:
    """A store that continues uploads."""
    await of.resume("image")  # wrong: call-arg
    text(await of.resume("image", "upload"))  # wrong: arg-type


async def redirecting_store(of: IRedirectingStore, location: Location) -> None:
    """A store with URLs for clients."""
    await of.redirect(location, "an hour")  # wrong: arg-type
    number(await of.redirect(location, 60))  # wrong: arg-type


async def writer(to: IStoreWriter) -> None:
    """Takes a list of pieces."""
    await to.write(["text"])  # wrong: list-item
    text(await to.commit())  # wrong: arg-type


async def resumable_writer(to: IResumableWriter) -> None:
    """Knows its size."""
    text(to.size)  # wrong: arg-type
    text(await to.suspend())  # wrong: arg-type


async def copying_writer(to: ICopyingWriter, source: IStore, location: Location) -> None:
    """Copies a span of an object of a store."""
    await to.copy(source.store_id, location, Span(0, 1))  # wrong: arg-type
    text(await to.copy(source, location, Span(0, 1)))  # wrong: arg-type


async def reader(of: IStoreReader, consumer: IConsumer) -> None:
    """Produces for a consumer."""
    await of.startProducing(print)  # wrong: arg-type
    number(await of.startProducing(consumer))  # wrong: arg-type, func-returns-value
    text(of.length)  # wrong: arg-type


async def file_backed(of: IFileBacked) -> None:
    """Has a file descriptor."""
    await of.load("start", 10)  # wrong: arg-type
    text(of.fd)  # wrong: arg-type


async def stored_file(of: IStoredFile) -> None:
    """Has the name of a file."""
    number(of.name)  # wrong: arg-type
    text(of.length)  # wrong: arg-type


async def registry(stores: IStoreRegistry) -> None:
    """Has stores by their ids."""
    stores.get(1)  # wrong: arg-type
    text(stores.get("name"))  # wrong: arg-type
    text(stores.default)  # wrong: arg-type
    stores.reserved("cache")  # wrong: arg-type
    stores.reserved(Purpose.CACHE).check()  # wrong: union-attr
    stores.find(stores.default)  # wrong: arg-type


def maker(of: IStoreMaker) -> None:
    """Makes a store from its settings and options."""
    of.make("name", {}, None)  # wrong: arg-type
    number(of.kind)  # wrong: arg-type


# --- threads and memory


async def threads(pool: IThreads) -> None:
    """Calls a function with arguments in a thread, and returns its result."""
    await pool.run(length, 1)  # wrong: arg-type
    await pool.run(length)  # wrong: arg-type
    text(await pool.run(length, "text"))  # wrong: arg-type


def share(of: IShare) -> None:
    """Counts bytes."""
    of.hold(b"bytes")  # wrong: arg-type
    of.when_room(length)  # wrong: arg-type
    text(of.block_size)  # wrong: arg-type


def budget(of: IBudget) -> None:
    """Gives shares."""
    of.share(1000)  # wrong: call-arg
    number(of.share())  # wrong: arg-type


def reservation(of: IReservation) -> None:
    """Counts bytes."""
    of.resize("large")  # wrong: arg-type
    text(of.size)  # wrong: arg-type


async def json_budget(of: IJsonBudget) -> None:
    """Reserves bytes."""
    of.reserve(0.5)  # wrong: arg-type
    number(await of.reserve(1))  # wrong: arg-type


# --- events


def sent(event: ImageSent) -> None:
    """A subscriber."""


def events(of: IEvents) -> None:
    """Events are values, and a subscriber takes those of its kind."""
    of.publish("image created")  # wrong: arg-type
    of.subscribe(ImageCreated, sent)  # wrong: arg-type
    number(of.subscribe(ImageSent, sent))  # wrong: arg-type


def notifier(to: INotifier, notification: Notification) -> None:
    """Notifications are values."""
    to.notify("image.create")  # wrong: arg-type
    number(to.stop())  # wrong: arg-type


# --- answers


async def answers(to: IAnswers, sink: IResponseSink, memory: IReservation) -> None:
    """Sends blocks of bytes."""
    await to.send("text", sink, memory)  # wrong: arg-type
    await to.send([b""], memory, sink)  # wrong: arg-type


def sink(to: IResponseSink) -> None:
    """Counts what was sent."""
    to.count(b"sent")  # wrong: arg-type
    number(to.plain_transport())  # wrong: arg-type
    text(to.started)  # wrong: arg-type


# --- callers and what they may do


def identity(of: IIdentity, head: RequestHead) -> None:
    """The caller comes at once or later."""
    of.identify({})  # wrong: arg-type
    text(of.identify(head))  # wrong: arg-type
    number(of.challenge)  # wrong: arg-type


def policy(of: IPolicy, caller: Caller, image: Image) -> None:
    """Decides about objects with an owner."""
    of.allows("get_image", "caller", image)  # wrong: arg-type
    of.allows("get_image", caller, image.id)  # wrong: arg-type
    text(of.might_allow("get_image", caller))  # wrong: arg-type


def protections(of: IProtections, caller: Caller) -> None:
    """Properties are a mapping of texts to texts."""
    of.readable(caller, {"key": 1})  # wrong: dict-item
    text(of.merged(caller, {}, {}))  # wrong: arg-type


async def certificates(of: ICertificates, caller: Caller) -> None:
    """A certificate is bytes."""
    await of.certificate("id", None)  # wrong: arg-type
    text(await of.certificate("id", caller))  # wrong: arg-type


# --- digests


def hasher(of: IHasher, running: IRunningHash) -> None:
    """Pieces are bytes, in a list for each hash; a call takes and returns nothing."""
    of.new(5)  # wrong: arg-type
    of.calls([(running, b"abc")], 1)  # wrong: list-item
    for call in of.calls([(running, [b"abc"])], 1):
        call(running)  # wrong: call-arg
    number(of.name)  # wrong: arg-type


def running_hash(of: IRunningHash, hasher: IHasher) -> None:
    """A digest is bytes. There may be no exported state."""
    text(of.digest("md5"))  # wrong: arg-type
    hasher.restore(of.export())  # wrong: arg-type


# --- routes


async def takes_no_context(request: StreamingRequest, image_id: str) -> bytes:
    """A handler without the caller."""
    return b""


async def takes_a_context(request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
    """A correct handler."""
    return b""


async def gives_a_text(request: StreamingRequest, context: RequestContext) -> str:
    """A handler whose response is not bytes."""
    return ""


def not_a_coroutine(request: StreamingRequest, context: RequestContext) -> Deferred[int]:
    """A handler that returns a number."""
    return Deferred()


def routes(describe: Describe) -> None:
    """Handlers that no route may have, and a route without a description."""
    Route("GET", "/right/<image_id>", takes_a_context, describe)
    Route("GET", "/wrong/<image_id>", takes_no_context, describe)  # wrong: arg-type
    Route("GET", "/wrong", gives_a_text, describe)  # wrong: arg-type
    Route("GET", "/wrong", not_a_coroutine, describe)  # wrong: arg-type
    OpenRoute("GET", "/wrong/<image_id>", takes_a_context, describe)  # wrong: arg-type
    Route("GET", "/wrong/<image_id>", takes_a_context)  # wrong: call-arg
