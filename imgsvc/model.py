"""The values that packages hand to each other: images, locations, callers, spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from attrs import Factory, field, frozen


class Status(StrEnum):
    """Where an image stands in its life (Image API v2, "Image statuses")."""

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
"""Which status may follow which."""


class Visibility(StrEnum):
    """Who else than the owner sees an image."""

    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"


class MemberStatus(StrEnum):
    """What a project says to an image that was shared with it (Image API v2, "Sharing")."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


IMPORT_LOCK: Final = "os_glance_import_task"
"""The property of an image that holds the id of the task at work on it. Clients see it (Image API v2)."""


def _frozen_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


@frozen
class Location:
    """Where the bytes of an image are.

    store_id: the store that holds them. url: the store's own address of the object, as Glance writes it
    (`file:///folder/id`). metadata: what the store wants to remember beside it.
    """

    store_id: str
    url: str
    metadata: Mapping[str, str] = field(factory=dict, converter=_frozen_mapping, hash=False)


@frozen
class Image:
    """One image as the catalogue keeps it. Sizes in bytes, min_disk in GiB, min_ram in MiB, times in UTC."""

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
    """The projects that it was shared with, whatever they say to it; without effect unless it is `shared`."""

    @property
    def located_bytes(self) -> int:
        """What counts of it towards the limits of its owner: the size, once for each location."""
        return (self.size or 0) * len(self.locations)


@frozen
class ProjectLimits:
    """What the images of a project may be and take together. Sizes in bytes; None: no limit.

    size_total: of all images, each times its locations. stage_total: of what is staged. count_total: images.
    count_uploading: images that wait for bytes.
    """

    project_id: str
    size_total: int | None = None
    stage_total: int | None = None
    count_total: int | None = None
    count_uploading: int | None = None


@frozen
class ProjectUsage:
    """What the images of a project are and take together, as ProjectLimits has it."""

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
    """Who makes a request. project_id is the owner of all that the caller makes; None: no project.

    service_roles: of the service that passes the request on for the caller, if one does. token: what the caller was
    identified by, to be shown to other services in its name. is_admin: an administrator of all projects; who is one is
    for the policy to say (`context_is_admin`), and by default it is whoever has the role `admin`.
    """

    user_id: str | None = None
    project_id: str | None = None
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)
    is_admin: bool = field(default=Factory(lambda caller: "admin" in caller.roles, takes_self=True))


@frozen
class RequestContext:
    """What is known of a request wherever work is done for it.

    request_id: names it in the log and in the answer; empty where it has none. caller: who made it; without any rights
    as long as nobody has asked. peer: its address, as text; empty for a unix socket. traceparent: where it belongs in
    a trace (W3C Trace Context), empty if it does not say.
    """

    request_id: str
    caller: Caller
    peer: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """The trace that the request belongs to; empty for none."""
        return trace_id_of(self.traceparent)


def trace_id_of(traceparent: str) -> str:
    """The trace that a valid `traceparent` names, 32 hex digits; empty for an empty one."""
    return traceparent[3:35]


@frozen
class Span:
    """A run of bytes: from `start`, `length` of them."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        """The offset after the last byte."""
        return self.start + self.length


@frozen
class Claim:
    """The right of one upload to give an image its bytes, until its lease runs out.

    lease_id: see `lease_model.Lease`; a store can tell by it which of two unfinished objects is stale. image: as it was
    claimed, status `saving`.
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
    """What a store keeps for an upload that has not been finalized: `name` is the image's id."""

    name: str
    lease_id: str


@frozen
class StoredObject:
    """An object as a store has it, whatever the catalogue says of it.

    size: bytes. changed_at: when it got its bytes, in seconds since 1970 by the clock of the medium. version: tells it
    from every other object that ever has the name.
    """

    name: str
    size: int
    changed_at: float
    version: str


@frozen
class Record:
    """What the catalogue says of an object that it has in a store: one location of an image, and the image's data.

    key: orders records, and is never used twice. None: not known, as of images whose bytes were not read yet.
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
    """What is known of an image's bytes once they are all in a store."""

    size: int
    virtual_size: int | None
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    location: Location


@frozen
class StoreUsage:
    """Bytes of a store's medium: all of them, and those still free. None: the store cannot tell."""

    total: int | None
    free: int | None


@frozen
class Survey:
    """What is on the medium of a store that keeps a mark there.

    place: where the medium is, for the operator. mark: whose it is, in words. own: the mark is this store's.
    known: objects that the catalogue knows there. unknown: those that it does not. missing: what the catalogue has in
    the store, and is not there.
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
    values: str, int, bool or datetime, as the column has it; one, but for `in`.
    """

    field: str
    operator: str
    values: tuple[str | int | bool | datetime | None, ...]


LARGEST_PAGE: Final = 4 << 20
"""Bytes of JSON of a page of a list, but for one that has a single image."""


@frozen
class ImageQuery:
    """What a list of images asks for.

    visibility: a Visibility value, `all`, or None for the default set (Image API: everything that the caller
    sees, less community images of others). member_status: which images shared with the caller are shown, a
    MemberStatus value or `all`. sort: (column, descending) pairs; created_at and id are appended
    as tie breakers. marker: the id after which the page begins. limit: images on the page. size: bytes of JSON, about,
    that the page ends before. begins: whether one image is on it in any case, however large it is.
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
    """Images of a list. next_marker: the id that the next page begins after; None: there is none.

    size: bytes of JSON that they are, rather more than less. cut: whether it was they that ended the page.
    """

    images: Sequence[Image]
    next_marker: str | None = None
    size: int = 0
    cut: bool = False
