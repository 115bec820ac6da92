"""Frozen values: leases on work, and the tasks that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from attrs import field, frozen


class LeaseKind(StrEnum):
    """What a lease is held for."""

    UPLOAD = "upload"
    """The bytes of an image that come from its client."""
    STAGE = "stage"
    """The same, into the staging store."""
    TASK = "task"
    """Work that goes on after the answer to its request."""
    RESUMABLE = "resumable"
    """The bytes of an image that its client sends in several requests."""


@frozen
class LeaseObject:
    """An object that the holder of a lease has begun, or may have begun, in a store.

    lease_id: the one that the lease had then. The store has the object under this id until it is finalized.
    """

    store_id: str
    name: str
    lease_id: str


@frozen
class Lease:
    """The right to work on something, for its one holder, until the time is over and another process takes it over.

    resource_id: what is worked on, the id of an image; of a task for a task that is about no image yet. lease_id: tells
    the holder from all others. It is unique, and another one takes its place when the lease is taken over; of one
    resource, later ids sort after earlier ones. expires_at: microseconds since 1970 by the database's clock, changed by
    each renewal; 0: the lease was given up. task_id: of a lease of kind `task`.
    """

    resource_id: str
    lease_id: str
    kind: LeaseKind
    expires_at: int
    task_id: str | None = None
    objects: tuple[LeaseObject, ...] = ()


class TaskStatus(StrEnum):
    """Where a task stands (Image API v2, "Tasks")."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


class TaskType(StrEnum):
    """The kinds of tasks of this server. Clients are shown them nowhere."""

    HASH_LOCATION = "hash_location"
    """Reads the bytes of an image that was registered by their location."""


@frozen
class Task:
    """Work that goes on after the answer to its request, as the catalogue has it.

    id: a UUID. type: which kind of task goes on with it. owner: the project that it is for. input, result: documents of
    the kind's own, of what JSON has. message: for people; why it failed. request_id, user_id: who asked for it.
    expires_at: when the record of an ended task goes. progress: bytes that are done. cancelled: somebody asks for
    its end.
    """

    id: str
    type: str
    created_at: datetime
    updated_at: datetime
    status: TaskStatus = TaskStatus.PENDING
    owner: str | None = None
    input: Mapping[str, object] = field(factory=dict, hash=False)
    result: Mapping[str, object] | None = field(default=None, hash=False)
    message: str = ""
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    expires_at: datetime | None = None
    progress: int = 0
    cancelled: bool = False

    @property
    def resource_id(self) -> str:
        """What its lease is on."""
        return self.image_id or self.id


@frozen
class TaskEnd:
    """What has come of a task. status: success or failure. keep_for: seconds until its record goes."""

    status: TaskStatus
    message: str = ""
    result: Mapping[str, object] | None = field(default=None, hash=False)
    keep_for: float = 48 * 3600.0


def document_text(document: Mapping[str, object]) -> str:
    """A document of a task as it is kept."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
