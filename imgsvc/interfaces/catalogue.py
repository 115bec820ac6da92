"""The interfaces of the catalogue, one for each subject. A user of the catalogue names only those that it needs.

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
    """The database of the catalogue."""

    def start() -> Deferred[None]:
        """Open the database. The schema of an SQLite file is created or upgraded."""

    def stop() -> Deferred[None]:
        """Close the database."""

    def check() -> Deferred[None]:
        """Succeed if the database answers."""


class IImageCatalogue(Interface):
    """The records of images."""

    def image(image_id: str) -> Deferred[Image]:
        """Return the image. Fails with NoSuchImage if it does not exist or was deleted."""

    def images(query: ImageQuery) -> Deferred[ImagePage]:
        """Return a page of images.

        Fails: Invalid for an unknown marker; Forbidden for a marker that the caller may not see. The id of a deleted
        image is a valid marker for callers that could see the image; for others it is unknown.
        """

    def add(image: Image, limits: ProjectLimits | None = None) -> Deferred[None]:
        """Create the record of a new image, with the status queued.

        limits: of the owner; count_total is checked in the same transaction. None: no limits.
        Fails: ImageExists, also if a deleted image has the id; QuotaExceeded.
        """

    def update(
        image: Image, changed: Image, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        """Replace `image`, as it was read before, with `changed`.

        Returns the image as it is now, and its removed locations.
        limits: of the owner; None: no limits.
        `changed` may differ in status (as in TRANSITIONS), base fields, data fields, tags, properties and locations;
        not in id, created_at, updated_at or members. Each location that `changed` lacks becomes a pending deletion.
        Fails: NoSuchImage; ImageChanged if the image was changed since it was read (its updated_at differs); TooLarge
        if the limits do not allow the bytes of the added locations; Conflict if the bytes at an added location are
        being deleted, because the image had that location before.
        """


class IMemberCatalogue(Interface):
    """The projects that images are shared with."""

    def members(image_id: str) -> Deferred[list[Member]]:
        """Return the members of an image, sorted by member_id."""

    def add_member(image_id: str, member_id: str, limit: int) -> Deferred[Member]:
        """Add a member with the status pending.

        limit: the largest number of members of an image; negative: no limit.
        Fails: NoSuchImage; Conflict if the project is a member already; QuotaExceeded.
        """

    def set_member_status(image_id: str, member_id: str, status: MemberStatus) -> Deferred[Member]:
        """Change the status of a member, and return the member. Fails with NotFound."""

    def remove_member(image_id: str, member_id: str) -> Deferred[None]:
        """Stop sharing the image with the project. Fails with NotFound."""


class IProjectCatalogue(Interface):
    """The limits and the usage of projects."""

    def usage(owner: str) -> Deferred[int]:
        """Return the bytes of the owner's images. An image counts once for each of its locations."""

    def project_usage(project_id: str) -> Deferred[ProjectUsage]:
        """Return all numbers that are counted for a project."""

    def project_limits(project_id: str) -> Deferred[dict[str, int]]:
        """Return the limits that an operator has set for this project, by name. A negative value means no limit."""


class ILeaseCatalogue(Interface):
    """Leases, and the objects that their holders have begun in stores."""

    def renew(resource_id: str, lease_id: str, seconds: float) -> Deferred[None]:
        """Extend a lease.

        seconds: time from now, by the database's clock, until it expires; 0: the holder gives the lease up.
        Fails with LeaseLost if another process holds the lease, or its image was deleted.
        """

    def leases() -> Deferred[list[Lease]]:
        """Return all leases, at most 10,000. The ones that expire first come first."""

    def take_over(lease: Lease, seconds: float) -> Deferred[Lease | None]:
        """Make this process the holder of an expired lease.

        seconds: time from now until the new lease expires.
        Returns the new lease. Returns None if the lease has not expired, was renewed since it was read, has ended, or
        another process has taken it over.
        """

    def is_under_way(store_id: str, name: str, lease_id: str) -> Deferred[bool]:
        """Whether an object that was begun under `lease_id` belongs to a lease that has not ended, expired or not."""

    def add_lease_object(resource_id: str, lease_id: str, store_id: str, name: str) -> Deferred[None]:
        """Record that the holder of a lease is about to begin an object. May be repeated. Fails with LeaseLost."""


class IUploadCatalogue(ILeaseCatalogue):
    """Uploads: from the claim of a queued image until the image has its data."""

    def claim(image_id: str, store_id: str, lease: float, limits: ProjectLimits | None = None) -> Deferred[Claim]:
        """Change an image from queued to saving, for an upload into that store.

        lease: seconds from now, by the database's clock, until the claim's lease expires.
        limits: of the owner; count_uploading is checked in the same transaction. None: no limits.
        Fails: NoSuchImage; WrongStatus; TooLarge; Conflict if bytes that the image had in that store are being deleted.
        """

    def activate(image_id: str, lease_id: str, data: StoredData, limits: ProjectLimits | None = None) -> Deferred[None]:
        """Change an image from saving to active with this data, and end the claim, in one transaction.

        limits: of the owner; size_total is checked in the same transaction. None: no limits.
        Fails: LeaseLost if the claim is no longer held or the image was deleted; TooLarge.
        """

    def release(image_id: str, lease_id: str) -> Deferred[bool]:
        """End a claim without data: change the image from saving to queued and clear its data fields.

        The store must have discarded the upload's bytes before. Returns whether the claim was still held. A deleted
        image stays deleted.
        """


class ITaskCatalogue(ILeaseCatalogue):
    """Tasks: work that goes on after the response to its request."""

    def add_task(task: Task, seconds: float) -> Deferred[Lease]:
        """Create the record of a task, and return its lease.

        seconds: time from now until the lease expires. Fails with Conflict if somebody holds a lease on its image.
        """

    def begin_task(
        image: Image, changed: Image, task: Task, seconds: float, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, Lease]]:
        """Do as `IImageCatalogue.update`, and create a task for the image in the same transaction.

        seconds: time from now until the lease of the task expires.
        Returns the image as it is now, and the lease of the task. Fails as `update`, and with Conflict if somebody
        holds a lease on the image.
        """

    def task(task_id: str) -> Deferred[Task]:
        """Return the task. Fails with NotFound."""

    def report_task(lease: Lease, seconds: float, progress: int) -> Deferred[bool]:
        """Record the progress of a running task, and renew its lease. Returns whether somebody asked to cancel it.

        seconds: time from now until the lease expires. progress: bytes that are done. Fails as `renew`.
        """

    def cancel_task(task_id: str) -> Deferred[bool]:
        """Ask the process that runs a task, whichever it is, to end it. Returns False if the task does not run."""

    def end_task(
        image: Image, changed: Image, lease: Lease, end: TaskEnd
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        """Do as `IImageCatalogue.update`, and end the task and its lease in the same transaction.

        Fails as `update`, and with LeaseLost. After a failure nothing has changed.
        """

    def close_task(lease: Lease, end: TaskEnd) -> Deferred[bool]:
        """End a task and its lease. Returns False, and changes nothing, if the lease was not held."""

    def forget_tasks() -> Deferred[int]:
        """Delete expired records of tasks, at most 1000. Returns the number of them."""


class IDeletionCatalogue(Interface):
    """The deletion of images, and the bytes in stores that are still to be deleted after it."""

    def delete(image_id: str) -> Deferred[list[PendingDeletion]]:
        """Change an image from any other status to deleted. Its locations become pending deletions, which are returned.

        Fails with NoSuchImage. A claim on the image stays until its upload releases it.
        """

    def restore(pending: Sequence[PendingDeletion], status: Status | None) -> Deferred[bool]:
        """Give locations back to their image, because a store refuses to delete the bytes.

        pending: of one image. status: the status that the image had before it was deleted; None if it was not deleted.
        Returns False if the pending deletions or the image do not exist any more.
        """

    def pending_deletions(store_id: str, after: int = 0) -> Deferred[list[PendingDeletion]]:
        """Return the pending deletions in that store with keys above `after`, sorted by key; at most 100."""

    def forget_location(key: int) -> Deferred[None]:
        """Remove a pending deletion, after the store has confirmed that the bytes are gone."""


class IInventory(IHoldings):
    """The records of the objects that must be in each store."""

    def records(store_id: str, after: int, limit: int) -> Deferred[list[Record]]:
        """Return the records of a store with keys above `after`, sorted by key. Pending deletions are not included.

        limit: the largest number of records.
        """


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
    """The whole catalogue of images. Every change of state is one compare-and-swap."""


class IMetadefCatalogue(Interface):
    """The catalogue of metadata definitions."""

    def namespace(name: str) -> Deferred[Namespace]:
        """Return the namespace with all its definitions. Fails with NotFound."""

    def namespaces(query: NamespaceQuery) -> Deferred[NamespacePage]:
        """Return a page of namespaces. Of their definitions, only the associations are read.

        Fails with NotFound for a marker that does not exist or that the caller may not see.
        """

    def add(namespace: Namespace) -> Deferred[None]:
        """Create a namespace with all its definitions. Fails with Conflict if the name is taken."""

    def update(namespace: Namespace, changed: Namespace) -> Deferred[None]:
        """Replace a namespace, as it was read before, and its definitions with `changed`.

        Fails: NotFound; Conflict if the new name is taken; NamespaceChanged if anything changed since it was read.
        """

    def remove(namespace: Namespace) -> Deferred[None]:
        """Delete a namespace, as it was read before, and all its definitions.

        Fails: NotFound; NamespaceChanged if anything changed since it was read.
        """

    def resource_types() -> Deferred[list[ResourceType]]:
        """Return the resource types of all associations, also of those that were removed, sorted by name."""
