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
    """An upload of the bytes of an image."""
    STAGE = "stage"
    """An upload into the staging store."""
    TASK = "task"
    """A task."""
    RESUMABLE = "resumable"
    """An upload that a client sends in several requests."""


@frozen
class LeaseObject:
    """An object that the holder of a lease has begun, or may have begun, in a store.

    lease_id: the id of the lease at that time. The store keeps the object under this id until it is finalized.
    """

    store_id: str
    name: str
    lease_id: str


@frozen
class Lease:
    """The exclusive right of its holder to work on something, until it expires and another process takes it over.

    resource_id: the object of the work: the id of an image, or of the task if it is about no image yet. lease_id:
    identifies the holder. It is unique, and changes when the lease is taken over. For one resource, later ids sort
    after earlier ones.
    expires_at: microseconds since 1970 by the database's clock, changed by each renewal; 0: the lease was given up.
    task_id: for a lease of kind `task`. objects: those that the holder has begun.
    """

    resource_id: str
    lease_id: str
    kind: LeaseKind
    expires_at: int
    task_id: str | None = None
    objects: tuple[LeaseObject, ...] = ()


class TaskStatus(StrEnum):
    """The status of a task (Image API v2, "Tasks")."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


class TaskType(StrEnum):
    """The kinds of tasks of this server. Clients cannot see them."""

    HASH_LOCATION = "hash_location"
    """Reads and hashes the bytes of an image that was registered by location."""


@frozen
class Task:
    """The catalogue's record of work that goes on after the response to its request.

    id: a UUID. type: the kind of task. owner: the project that it works for. input, result: JSON documents whose form
    the kind defines. message: the reason of a failure, for people. request_id, user_id: of the request that created it.
    expires_at: when the record of an ended task is deleted. progress: bytes that are done. cancelled: whether the task
    was asked to end.
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
        """The resource of its lease."""
        return self.image_id or self.id


@frozen
class TaskEnd:
    """The outcome of a task. status: success or failure. keep_for: seconds until its record is deleted."""

    status: TaskStatus
    message: str = ""
    result: Mapping[str, object] | None = field(default=None, hash=False)
    keep_for: float = 48 * 3600.0


def document_text(document: Mapping[str, object]) -> str:
    """The text in which the catalogue keeps a document of a task."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
