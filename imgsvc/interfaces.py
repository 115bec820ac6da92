"""What the rooms promise each other.

Every method that is said to give a Deferred may give one that has already fired. Sizes are bytes, times
seconds. All methods are called in the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from zope.interface import Attribute, Interface

from imgsvc.model import Caller, Lease, Record
from imgsvc.store_interfaces import (
    IFileBacked,
    IHoldings,
    IListedStore,
    IMarkedStore,
    IStore,
    IStoreMaker,
    IStoreReader,
    IStoreRegistry,
    IStoreWriter,
)

__all__ = [
    "IAnswerBudget",
    "IAnswers",
    "IBudget",
    "ICatalogue",
    "ICertificates",
    "IFileBacked",
    "IHoldings",
    "IIdentity",
    "IListedStore",
    "IMarkedStore",
    "IMetadefs",
    "IOutlet",
    "IPolicy",
    "IReservation",
    "IShare",
    "IStore",
    "IStoreMaker",
    "IStoreReader",
    "IStoreRegistry",
    "IStoreWriter",
    "IThreads",
]


class IThreads(Interface):
    """Runs blocking calls elsewhere than on the reactor."""

    def run(function: Any, *arguments: Any) -> Any:
        """Call `function(*arguments)` in a thread. Deferred of its result; fails with what it raised.

        After `stop` nothing is called: it fails with CancelledError.
        """

    def stop() -> None:
        """End the threads, after the calls that they are in. Called by the owner."""


class IShare(Interface):
    """What one transfer may hold of the process's memory for bytes in flight."""

    block_size = Attribute("int: bytes to gather before a block goes on its way; shrinks as shares grow in number")
    held = Attribute("int: bytes held now")

    def hold(size: int) -> None:
        """Count `size` more bytes as held."""

    def free(size: int) -> None:
        """Count `size` bytes as no longer held."""

    def has_room() -> bool:
        """Whether more bytes may be asked for now."""

    def has_plenty() -> bool:
        """Whether there is room, and no more than half of the whole is held: for bytes that nobody asks for yet."""

    def make_room() -> bool:
        """Have others give back what they have lent. Whether there is room now."""

    def lend(give_back: Callable[[], None]) -> None:
        """Say that what is held is not needed now: `give_back()` is called at most once, when others need room.

        It frees what it can. Those who have lent for longest are asked first.
        """

    def take_back() -> None:
        """Lend no longer, because what is held is needed again. Any number of times."""

    def when_room(call: Any) -> None:
        """Call `call()` once, when bytes of others were freed and has_room() may be true again."""

    def close() -> None:
        """Give the share back, with all that it holds. Any number of times."""


class IBudget(Interface):
    """Bounds the bytes that all transfers of a process hold together."""

    def share() -> IShare:
        """A share for one more transfer. The caller closes it."""


class IReservation(Interface):
    """Memory that is counted for one JSON body or answer."""

    size = Attribute("int: bytes that are counted")

    def resize(size: int) -> None:
        """Count `size` bytes from now on, for who knows only now how many there are. Never waits.

        Without effect after close().
        """

    def close() -> None:
        """Give the memory back. Any number of times."""


class IAnswerBudget(Interface):
    """Bounds the memory that JSON bodies and answers of a process hold together."""

    def reserve(size: int) -> Deferred[IReservation]:
        """Count `size` bytes as held. Deferred of an IReservation, which the caller closes.

        Up to 64 KiB it has fired already; more waits for its turn, and for room. A cancelled one leaves the queue, and
        fails with CancelledError.
        """


class IAnswers(Interface):
    """Sends JSON answers that are large."""

    def reserve(size: int) -> Deferred[IReservation]:
        """See IAnswerBudget. Fails with Overloaded for who has waited for too long."""

    def send(blocks: list[bytes], outlet: IOutlet, reservation: IReservation) -> Awaitable[None]:
        """Write a list of bytes, which is emptied, to the outlet as the client takes it. Awaitable of None.

        The reservation, which the caller closes, shrinks with what is left. When a client takes nothing for too long,
        or the whole takes too long, the connection is cut. Who gives up waiting stops it.
        """


class ICatalogue(IHoldings):
    """What is known of images. Every state change is one compare-and-swap.

    All methods give a Deferred and may fail with CatalogueUnavailable.
    """

    def start() -> Any:
        """Open the database; make or upgrade the schema of an SQLite file. Deferred of None."""

    def stop() -> Any:
        """Close it. Deferred of None."""

    def check() -> Any:
        """Deferred of None if the database answers."""

    def image(image_id: str) -> Any:
        """Deferred of Image. Fails with NoSuchImage for an absent or deleted one."""

    def images(query: Any) -> Any:
        """Deferred of ImagePage: the page of an ImageQuery.

        Fails: Invalid for a marker that is unknown, Forbidden for one that the caller cannot see. One that was deleted
        keeps its place, for callers that saw it; for others it is unknown.
        """

    def add(image: Any, limits: Any = None) -> Any:
        """Keep a new Image, status queued. Deferred of None.

        limits: ProjectLimits of the owner, of which count_total is checked in the same transaction; None: none.
        Fails: ImageExists, also for a deleted id; QuotaExceeded.
        """

    def update(image: Any, changed: Any, limits: Any = None) -> Any:
        """Keep `changed` in place of `image`, which was read before. limits: ProjectLimits of its owner, or None.

        Deferred of (the Image as it is now, list[DoomedLocation]).
        What may differ: status (as TRANSITIONS has it), base fields, data fields, tags, properties, locations; not id,
        created_at, updated_at or members. A location that `changed` lacks is doomed, as by `delete`.
        Fails: NoSuchImage; ImageChanged if anything of the image (updated_at tells) changed since it was read; TooLarge
        if the limits have no room for the bytes of the locations that are added; Conflict while the bytes at one of
        these are being deleted, because the image had it before.
        """

    def begin_task(image: Any, changed: Any, store_id: str, lease: float, limits: Any = None) -> Any:
        """As `update`, and in the same transaction a claim for work that goes on after the answer, on bytes of a store.

        Deferred of (the Image as it is now, the upload id of the claim). When the lease runs out, the claim is taken
        over as that of an upload is; the image's status, which is not `saving`, tells them apart.
        """

    def end_task(image: Any, changed: Any, upload_id: str) -> Any:
        """As `update`, and the end of the claim of `begin_task` in the same transaction.

        Fails also with ClaimLost: then nothing has changed.
        """

    def restore(doomed: Any, status: Any) -> Any:
        """Give DoomedLocations (some of one image) back to the image, for a store that refuses to let go of the bytes.

        status: the Status that the image had, if it was deleted; None if it is still there. Deferred of bool: False if
        there is nothing to give back, or nothing to give it to.
        """

    def members(image_id: str) -> Any:
        """Deferred of list[Member], in the order of member_id."""

    def add_member(image_id: str, member_id: str, limit: int) -> Any:
        """Deferred of the new Member, pending. limit: of members of an image; negative: none.

        Fails: NoSuchImage, Conflict (it is one already), QuotaExceeded.
        """

    def set_member_status(image_id: str, member_id: str, status: Any) -> Any:
        """Deferred of the Member. status: MemberStatus. Fails with NotFound."""

    def remove_member(image_id: str, member_id: str) -> Any:
        """Deferred of None. Fails with NotFound."""

    def usage(owner: str) -> Any:
        """Deferred of int: bytes of the owner's images, each times the number of its locations."""

    def project_usage(project_id: str) -> Any:
        """Deferred of ProjectUsage."""

    def project_limits(project_id: str) -> Any:
        """Deferred of dict: limits that an operator has set for this project, by name; a negative one is no limit."""

    def claim(image_id: str, store_id: str, lease: float, limits: Any = None) -> Any:
        """queued -> saving, for an upload into that store. Deferred of Claim.

        limits: ProjectLimits of the owner, of which count_uploading is checked in the same transaction; None: none.
        Fails: NoSuchImage, WrongStatus, TooLarge; Conflict while bytes that it had in that store are being deleted. The
        lease runs out `lease` seconds from now by the database's clock.
        """

    def renew(image_id: str, upload_id: str, lease: float) -> Any:
        """Deferred of None. lease: seconds; 0 gives the lease up, so that it can be taken over at once.

        Fails with ClaimLost.
        """

    def activate(image_id: str, upload_id: str, data: Any, limits: Any = None) -> Any:
        """saving -> active with a StoredData, and the end of the claim, in one transaction. Deferred of None.

        limits: ProjectLimits of the owner, of which size_total is checked in the same transaction; None: none.
        Fails with ClaimLost when the claim is no longer held or the image is deleted; TooLarge.
        """

    def release(image_id: str, upload_id: str) -> Any:
        """The end of a claim without data, after the store let go: saving -> queued, data fields cleared.

        Deferred of bool: whether the claim was still held. A deleted image stays deleted.
        """

    def leases(store_id: str) -> Deferred[list[Lease]]:
        """Those of claims on images whose bytes go into that store, the ones that expire first; at most 10,000."""

    def leases_elsewhere(store_ids: Collection[str]) -> Deferred[list[Lease]]:
        """As `leases`, of all stores that are none of these."""

    def take_over(lease: Lease, seconds: float) -> Deferred[str | None]:
        """Replace the claim of a lease that has expired by a new one, for so many seconds. Gives the new upload id.

        None if the lease has not expired, was renewed since it was read, or another process was faster. The new claim
        is ended by release.
        """

    def is_claimed(image_id: str, upload_id: str) -> Any:
        """Deferred of bool: whether that claim is held, expired or not."""

    def delete(image_id: str) -> Any:
        """Any status but deleted -> deleted, and its locations doomed, in one transaction.

        Deferred of list[DoomedLocation]. Fails with NoSuchImage. A claim stays until its upload releases it.
        """

    def doomed_locations(store_id: str, after: int = 0) -> Any:
        """Deferred of list[DoomedLocation] (at most 100): in that store, with keys over `after`, in their order."""

    def records(store_id: str, after: int, limit: int) -> Deferred[list[Record]]:
        """What must be in that store, with keys over `after`, in their order. What is being deleted is not in it."""

    def forget_location(key: int) -> Any:
        """The store confirmed that a doomed location's bytes are gone. Deferred of None."""


class IMetadefs(Interface):
    """What is kept of metadata definitions. All methods give a Deferred and may fail with CatalogueUnavailable."""

    def namespace(name: str) -> Any:
        """Deferred of the Namespace with all its definitions. Fails with NotFound."""

    def namespaces(query: Any) -> Any:
        """Deferred of NamespacePage: the page of a NamespaceQuery, with no definitions but associations.

        Fails with NotFound for a marker that does not exist or that the caller may not see.
        """

    def add(namespace: Any) -> Any:
        """Keep a new Namespace with all its definitions. Deferred of None. Fails with Conflict: the name is taken."""

    def update(namespace: Any, changed: Any) -> Any:
        """Keep `changed` in place of the Namespace that was read before, definitions too. Deferred of None.

        Fails: NotFound; Conflict if the new name is taken; NamespaceChanged if anything changed since it was read.
        """

    def remove(namespace: Any) -> Any:
        """Forget the Namespace that was read before, and all its definitions. Deferred of None.

        Fails: NotFound; NamespaceChanged if anything changed since it was read.
        """

    def resource_types() -> Any:
        """Deferred of list[ResourceType], in the order of their names: those of all associations that ever were."""


class ICertificates(Interface):
    """Where the certificates are that signatures of images are checked with."""

    def certificate(certificate_id: str, caller: Any) -> Any:
        """Deferred of bytes: an X.509 certificate, in PEM or DER. caller: the Caller it is for.

        Fails: NoSuchCertificate, BadSignature (it is none, or not for this caller), CertificatesUnavailable.
        """


class IIdentity(Interface):
    """Tells who makes a request."""

    challenge = Attribute("str or None: the value of WWW-Authenticate on a 401")

    def identify(headers: Any, peer: Any) -> Any:
        """Caller, or Deferred of one. headers: twisted Headers of the request; peer: its address, IAddress.

        Raises Unauthenticated.
        """


class IPolicy(Interface):
    """Decides who may do what."""

    def allows(action: str, caller: Any, image: Any = None) -> bool:
        """Whether Caller may do `action` (a name of Glance's policies, as `upload_image`) to Image.

        Without an image, to one that the caller's own project would own. In the image's place may stand whatever else
        has an owner and a visibility.
        """

    def might_allow(action: str, caller: Caller) -> bool:
        """False if Caller may do `action` to no image that its own project would own, whatever the image is like."""


class IProtections(Interface):
    """Says who may do what to custom properties."""

    def allows(operation: str, caller: Any, key: str) -> bool:
        """Whether Caller may `create`, `read`, `update` or `delete` the property `key` of an image."""

    def readable(caller: Any, properties: Any) -> Any:
        """The properties, a Mapping from keys to values, that Caller may read."""

    def merged(caller: Any, before: Any, after: Any) -> Any:
        """All properties of an image as they shall be. Mappings from keys to values.

        before: all as they are. after: what Caller made of those that it may read.
        Raises Forbidden for one that it may not create, update or delete.
        """


class IOutlet(IConsumer):
    """The answer to a request, its headers set and not yet sent: where a delivery writes to."""

    started = Attribute("bool: whether any of the answer was written")

    def plain_transport() -> Any:
        """The transport, if it is a plain socket to which a file may be sent as it is; else None."""

    def lend_transport() -> None:
        """Write the headers to the transport and leave it without a producer, for the caller to register one."""

    def count(sent: int) -> None:
        """So many more bytes of the body were written to the transport that was lent."""

    def take_back_transport() -> None:
        """The caller has unregistered its producer."""

    def cut() -> None:
        """Break the connection off, so that nobody takes what was sent for the whole."""
