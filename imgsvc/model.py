"""Values that all packages use: images, locations, callers, spans. They are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from attrs import Factory, field, frozen


class Status(StrEnum):
    """The status of an image (Image API v2, "Image statuses")."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    PENDING_DELETE = "pending_delete"
    KILLED = "killed"
    DELETED = "deleted"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.QUEUED: frozenset({Status.SAVING, Status.UPLOADING, Status.IMPORTING, Status.ACTIVE, Status.DELETED}),
        Status.SAVING: frozenset({Status.ACTIVE, Status.QUEUED, Status.KILLED, Status.DELETED}),
        Status.UPLOADING: frozenset({Status.IMPORTING, Status.QUEUED, Status.DELETED}),
        Status.IMPORTING: frozenset({Status.ACTIVE, Status.QUEUED, Status.DELETED}),
        Status.ACTIVE: frozenset({Status.DEACTIVATED, Status.PENDING_DELETE, Status.DELETED}),
        Status.DEACTIVATED: frozenset({Status.ACTIVE, Status.PENDING_DELETE, Status.DELETED}),
        Status.PENDING_DELETE: frozenset({Status.DELETED, Status.ACTIVE}),
        Status.KILLED: frozenset({Status.DELETED}),
        Status.DELETED: frozenset(),
    }
)
"""The statuses that may follow each status."""


class Visibility(StrEnum):
    """Who may see an image in addition to its owner."""

    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"


class MemberStatus(StrEnum):
    """Whether a project has accepted an image that is shared with it (Image API v2, "Sharing")."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


IMPORT_LOCK: Final = "os_glance_import_task"
"""The property of an image that has the id of the task that works on it. Clients can see it (Image API v2)."""


def _frozen_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


@frozen
class Location:
    """Where the bytes of an image are.

    store_id: of the store that has them. url: the store's address of the object, in Glance's form
    (`file:///folder/id`).
    metadata: values that the store keeps with the location.
    """

    store_id: str
    url: str
    metadata: Mapping[str, str] = field(factory=dict, converter=_frozen_mapping, hash=False)


@frozen
class Image:
    """One image as in the catalogue. Sizes are in bytes, min_disk in GiB, min_ram in MiB, times in UTC."""

    id: str
    created_at: datetime
    updated_at: datetime
    status: Status = Status.QUEUED
    name: str | None = None
    visibility: Visibility = Visibility.SHARED
    protected: bool = False
    os_hidden: bool = False
    owner: str | None = None
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(factory=dict, converter=_frozen_mapping, hash=False)
    locations: tuple[Location, ...] = ()
    members: frozenset[str] = frozenset()
    """The projects that the image is shared with, of any member status. They count only while it is `shared`."""

    @property
    def located_bytes(self) -> int:
        """The bytes that count towards the limits of the owner: the size, once for each location."""
        return (self.size or 0) * len(self.locations)


@frozen
class ProjectLimits:
    """Limits for all images of a project together. Sizes are in bytes; None: no limit.

    size_total: sum of the sizes of images, each times its locations. stage_total: bytes of staged data. count_total:
    number of images. count_uploading: number of images that wait for data.
    """

    project_id: str
    size_total: int | None = None
    stage_total: int | None = None
    count_total: int | None = None
    count_uploading: int | None = None


@frozen
class ProjectUsage:
    """The usage of all images of a project together. The fields are those of ProjectLimits."""

    size_total: int
    stage_total: int
    count_total: int
    count_uploading: int


@frozen
class Member:
    """A project that an image is shared with."""

    image_id: str
    member_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime


@frozen
class Caller:
    """The user or service that makes a request.

    project_id: the owner of all that the caller creates; None: no project. service_roles: of the service that passes
    the request on for the caller, if any. token: the caller's token, which the server shows to other services on its
    behalf.
    is_admin: whether the caller is an administrator of all projects. The policy decides that (`context_is_admin`); its
    default is the role `admin`.
    """

    user_id: str | None = None
    project_id: str | None = None
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)
    is_admin: bool = field(default=Factory(lambda caller: "admin" in caller.roles, takes_self=True))


@frozen
class RequestContext:
    """The context of all work for a request.

    request_id: its id in the log and in the response; empty if it has none. caller: without any rights until the caller
    is identified. peer: address of the peer, as text; empty for a unix socket. traceparent: position in a trace (W3C
    Trace Context); empty if there is none. deadline: when the request stops waiting for trusted services, in seconds of
    the reactor's clock; None: never.
    """

    request_id: str
    caller: Caller
    peer: str = ""
    traceparent: str = ""
    deadline: float | None = None

    @property
    def trace_id(self) -> str:
        """The id of the trace of the request; empty if there is none."""
        return trace_id_of(self.traceparent)


def trace_id_of(traceparent: str) -> str:
    """The id of the trace in a valid `traceparent`, 32 hex digits; empty if that is empty."""
    return traceparent[3:35]


@frozen
class Span:
    """Consecutive bytes: `length` bytes from the offset `start`."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        """The offset after the last byte."""
        return self.start + self.length


@frozen
class Claim:
    """The right of one upload to give an image its data, until its lease runs out.

    lease_id: see `lease_model.Lease`; by it a store knows which of two unfinished objects is stale. image: the image at
    the time of the claim, with status `saving`.
    """

    lease_id: str
    image: Image


@frozen
class PendingDeletion:
    """A location of a deleted image whose bytes the store has not yet confirmed to be gone."""

    key: int
    image_id: str
    location: Location


@frozen
class UnfinishedObject:
    """An object of an upload that has not been finalized. name: the id of the image."""

    name: str
    lease_id: str


@frozen
class StoredObject:
    """An object in a store, regardless of the catalogue.

    size: bytes. changed_at: time at which it was written, in seconds since 1970 by the clock of the medium. version:
    differs from that of every other object that ever has the name.
    """

    name: str
    size: int
    changed_at: float
    version: str


@frozen
class Record:
    """The catalogue's record of an object in a store: one location of an image, and the size and digests of the image.

    key: the order of records; never used twice. None: the value is unknown, because the data was not read yet.
    """

    key: int
    image_id: str
    location: Location
    size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None


@frozen
class StoredData:
    """The sizes, digests and location of an image's data after all of it was written to a store."""

    size: int
    virtual_size: int | None
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    location: Location


@frozen
class StoreUsage:
    """Bytes of a store's medium, total and free. None: the store does not know."""

    total: int | None
    free: int | None


@frozen
class Survey:
    """The content of the medium of a store that writes a mark there.

    place: where the medium is, for the operator. mark: the owner in the mark, in words. own: whether the mark is that
    of this store. known: number of objects that the catalogue has there. unknown: number of other objects. missing:
    number of objects that the catalogue has there and that do not exist.
    """

    place: str
    mark: str
    own: bool
    known: int
    unknown: int
    missing: int


@frozen
class Filter:
    """One condition on the images of a list: `field` `operator` any of `values`.

    field: a column of Image, or `property:KEY` for a custom property, or `tag`.
    operator: eq, neq, gt, gte, lt, lte, in.
    values: of the type of the column; exactly one, except for `in`.
    """

    field: str
    operator: str
    values: tuple[str | int | bool | datetime | None, ...]


LARGEST_PAGE: Final = 4 << 20
"""Bytes of JSON of a page of a list. Only a page with a single image may be larger."""


@frozen
class ImageQuery:
    """The parameters of a list of images.

    visibility: a Visibility value, `all`, or None for the default set (Image API: all images that the caller may see,
    without community images of others). member_status: which images that are shared with the caller are shown: a
    MemberStatus value or `all`. sort: (column, descending) pairs; created_at and id are appended to break ties. marker:
    the id after which the page begins. limit: images on the page. size: the page ends before it has about this many
    bytes of JSON. begins: whether the page has at least one image, even a larger one.
    """

    caller: Caller
    limit: int
    filters: tuple[Filter, ...] = ()
    visibility: str | None = None
    member_status: str = MemberStatus.ACCEPTED
    sort: tuple[tuple[str, bool], ...] = (("created_at", True),)
    marker: str | None = None
    size: int = LARGEST_PAGE
    begins: bool = True


@frozen
class ImagePage:
    """A page of a list. next_marker: the id after which the next page begins; None: there is no next page.

    size: bytes of JSON, an upper estimate. cut: whether the size has ended the page.
    """

    images: Sequence[Image]
    next_marker: str | None = None
    size: int = 0
    cut: bool = False
