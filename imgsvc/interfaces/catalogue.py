"""What the catalogue keeps, parted by what it is about: who uses it asks only for the parts that it needs.

All methods may fail with CatalogueUnavailable.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Interface

from imgsvc.interfaces.stores import IHoldings
from imgsvc.lease_model import Lease, Task, TaskEnd
from imgsvc.metadef_model import Namespace, NamespacePage, NamespaceQuery, ResourceType
from imgsvc.model import (
    Claim,
    Image,
    ImagePage,
    ImageQuery,
    Member,
    MemberStatus,
    PendingDeletion,
    ProjectLimits,
    ProjectUsage,
    Record,
    Status,
    StoredData,
)

__all__ = [
    "ICatalogue",
    "ICatalogueDatabase",
    "IDeletionCatalogue",
    "IImageCatalogue",
    "IInventory",
    "ILeaseCatalogue",
    "IMemberCatalogue",
    "IMetadefCatalogue",
    "IProjectCatalogue",
    "ITaskCatalogue",
    "IUploadCatalogue",
]


class ICatalogueDatabase(Interface):
    """The database behind it."""

    def start() -> Deferred[None]:
        """Open the database; make or upgrade the schema of an SQLite file."""

    def stop() -> Deferred[None]:
        """Close it."""

    def check() -> Deferred[None]:
        """Succeeds if the database answers."""


class IImageCatalogue(Interface):
    """Images as records."""

    def image(image_id: str) -> Deferred[Image]:
        """The image. Fails with NoSuchImage for an absent or deleted one."""

    def images(query: ImageQuery) -> Deferred[ImagePage]:
        """A page of images.

        Fails: Invalid for a marker that is unknown, Forbidden for one that the caller cannot see. One that was deleted
        keeps its place, for callers that saw it; for others it is unknown.
        """

    def add(image: Image, limits: ProjectLimits | None = None) -> Deferred[None]:
        """Keep a new image, status queued.

        limits: of the owner; count_total is checked in the same transaction. None: no limits.
        Fails: ImageExists, also for a deleted id; QuotaExceeded.
        """

    def update(
        image: Image, changed: Image, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        """Keep `changed` in place of `image`, which was read before. Gives the image as it is now, and what it lost.

        limits: of its owner. None: no limits.
        What may differ: status (as TRANSITIONS has it), base fields, data fields, tags, properties, locations; not id,
        created_at, updated_at or members. A location that `changed` lacks is a pending deletion then.
        Fails: NoSuchImage; ImageChanged if anything of the image (updated_at tells) changed since it was read; TooLarge
        if the limits have no room for the bytes of the locations that are added; Conflict while the bytes at one of
        these are being deleted, because the image had it before.
        """


class IMemberCatalogue(Interface):
    """The projects that images are shared with."""

    def members(image_id: str) -> Deferred[list[Member]]:
        """Those of an image, in the order of member_id."""

    def add_member(image_id: str, member_id: str, limit: int) -> Deferred[Member]:
        """A new member, pending. limit: members that an image may have; negative: any number.

        Fails: NoSuchImage, Conflict (it is one already), QuotaExceeded.
        """

    def set_member_status(image_id: str, member_id: str, status: MemberStatus) -> Deferred[Member]:
        """The member with its new status. Fails with NotFound."""

    def remove_member(image_id: str, member_id: str) -> Deferred[None]:
        """Share the image no more with the project. Fails with NotFound."""


class IProjectCatalogue(Interface):
    """What projects may use, and what they do use."""

    def usage(owner: str) -> Deferred[int]:
        """Bytes of the owner's images, each times the number of its locations."""

    def project_usage(project_id: str) -> Deferred[ProjectUsage]:
        """All that is counted of a project."""

    def project_limits(project_id: str) -> Deferred[dict[str, int]]:
        """Limits that an operator has set for this project, by name; a negative one is no limit."""


class ILeaseCatalogue(Interface):
    """Who may work on what, and what that has begun in stores."""

    def renew(resource_id: str, lease_id: str, seconds: float) -> Deferred[None]:
        """The lease runs out so many seconds from now, by the database's clock; 0: it is given up.

        Fails with LeaseLost: another has it, or the image that it is on was deleted.
        """

    def leases() -> Deferred[list[Lease]]:
        """All of them, those that expire first before others; at most 10,000."""

    def take_over(lease: Lease, seconds: float) -> Deferred[Lease | None]:
        """Make this process the holder of a lease that has expired, for so many seconds.

        None if it has not expired, was renewed since it was read, has ended, or another process was faster.
        """

    def is_under_way(store_id: str, name: str, lease_id: str) -> Deferred[bool]:
        """Whether an object that was begun under a lease id is one of a lease that has not ended, expired or not."""

    def add_lease_object(resource_id: str, lease_id: str, store_id: str, name: str) -> Deferred[None]:
        """The holder is about to begin one more object. Any number of times. Fails with LeaseLost."""


class IUploadCatalogue(ILeaseCatalogue):
    """Uploads: from the claim of a queued image to its data."""

    def claim(image_id: str, store_id: str, lease: float, limits: ProjectLimits | None = None) -> Deferred[Claim]:
        """queued -> saving, for an upload into that store. lease: seconds from now, by the database's clock.

        limits: of the owner; count_uploading is checked in the same transaction. None: no limits.
        Fails: NoSuchImage, WrongStatus, TooLarge; Conflict while bytes that it had in that store are being deleted.
        """

    def activate(image_id: str, lease_id: str, data: StoredData, limits: ProjectLimits | None = None) -> Deferred[None]:
        """saving -> active with these data, and the end of the claim, in one transaction.

        limits: of the owner; size_total is checked in the same transaction. None: no limits.
        Fails with LeaseLost when the claim is no longer held or the image is deleted; TooLarge.
        """

    def release(image_id: str, lease_id: str) -> Deferred[bool]:
        """The end of a claim without data, after the store let go: saving -> queued, data fields cleared.

        Gives whether the claim was still held. A deleted image stays deleted.
        """


class ITaskCatalogue(ILeaseCatalogue):
    """Work that goes on after the answer to its request."""

    def add_task(task: Task, seconds: float) -> Deferred[Lease]:
        """Keep a new task, and give its lease. Fails with Conflict: its image is being worked on."""

    def begin_task(
        image: Image, changed: Image, task: Task, seconds: float, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, Lease]]:
        """As `IImageCatalogue.update`, and in the same transaction a new task on it.

        Gives the image as it is now, and the lease of the task.
        Fails also with Conflict: the image is being worked on.
        """

    def task(task_id: str) -> Deferred[Task]:
        """Fails with NotFound."""

    def report_task(lease: Lease, seconds: float, progress: int) -> Deferred[bool]:
        """The task is at work, and so many bytes are done; its lease is renewed. True: somebody asks for its end.

        Fails as `renew`.
        """

    def cancel_task(task_id: str) -> Deferred[bool]:
        """Ask for the end of a task, whichever process is at work on it. False if it is not under way."""

    def end_task(
        image: Image, changed: Image, lease: Lease, end: TaskEnd
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        """As `IImageCatalogue.update`, and the end of the task and its lease in the same transaction.

        Fails also with LeaseLost. After a failure nothing has changed.
        """

    def close_task(lease: Lease, end: TaskEnd) -> Deferred[bool]:
        """The end of a task and its lease. False if the lease was not held: nothing has changed."""

    def forget_tasks() -> Deferred[int]:
        """Remove records of tasks whose time is over, 1000 at most. How many there were."""


class IDeletionCatalogue(Interface):
    """The end of images, and the bytes that are still to be deleted after it."""

    def delete(image_id: str) -> Deferred[list[PendingDeletion]]:
        """Any status but deleted -> deleted, and its locations become pending deletions, which it gives.

        Fails with NoSuchImage. A claim stays until its upload releases it.
        """

    def restore(pending: Sequence[PendingDeletion], status: Status | None) -> Deferred[bool]:
        """Give locations, some of one image, back to it, for a store that refuses to let go of the bytes.

        status: the one that the image had, if it was deleted; None if it is still there. Gives False if there is
        nothing to give back, or nothing to give it to.
        """

    def pending_deletions(store_id: str, after: int = 0) -> Deferred[list[PendingDeletion]]:
        """Those in that store with keys over `after`, in their order; at most 100."""

    def forget_location(key: int) -> Deferred[None]:
        """The store confirmed that the bytes of a pending deletion are gone."""


class IInventory(IHoldings):
    """What must be in each store."""

    def records(store_id: str, after: int, limit: int) -> Deferred[list[Record]]:
        """What must be in that store, with keys over `after`, in their order. What is being deleted is not in it."""


class ICatalogue(
    ICatalogueDatabase,
    IImageCatalogue,
    IMemberCatalogue,
    IProjectCatalogue,
    IUploadCatalogue,
    ITaskCatalogue,
    IDeletionCatalogue,
    IInventory,
):
    """All that is known of images. Every state change is one compare-and-swap."""


class IMetadefCatalogue(Interface):
    """What is kept of metadata definitions."""

    def namespace(name: str) -> Deferred[Namespace]:
        """The namespace with all its definitions. Fails with NotFound."""

    def namespaces(query: NamespaceQuery) -> Deferred[NamespacePage]:
        """A page of namespaces, with no definitions but associations.

        Fails with NotFound for a marker that does not exist or that the caller may not see.
        """

    def add(namespace: Namespace) -> Deferred[None]:
        """Keep a new namespace with all its definitions. Fails with Conflict: the name is taken."""

    def update(namespace: Namespace, changed: Namespace) -> Deferred[None]:
        """Keep `changed` in place of the namespace that was read before, definitions too.

        Fails: NotFound; Conflict if the new name is taken; NamespaceChanged if anything changed since it was read.
        """

    def remove(namespace: Namespace) -> Deferred[None]:
        """Forget the namespace that was read before, and all its definitions.

        Fails: NotFound; NamespaceChanged if anything changed since it was read.
        """

    def resource_types() -> Deferred[list[ResourceType]]:
        """Those of all associations that ever were, in the order of their names."""
