"""Events that operations and tasks publish: frozen values, one class for each kind.

A class that adds no value of its own is frozen because its base is. `frozen` would cost 1 ms of the start for each.
"""

from __future__ import annotations

from attrs import fields, frozen

from imgsvc.lease_model import Task, TaskEnd
from imgsvc.model import Image, Member, Status


@frozen
class Event:
    """Something that has happened. Subscribers cannot change or prevent it."""


@frozen
class ImageEvent(Event):
    """An event of one image. image: its state after the event; if it was deleted, its state before."""

    image: Image


class ImageCreated(ImageEvent):
    """The record of an image was created."""


@frozen
class ImageUpdated(ImageEvent):
    """Fields, properties, tags or locations were changed. changed: the names of these attributes of Image."""

    changed: tuple[str, ...] = ()


class ImageQueued(ImageEvent):
    """The image has no data, because an upload or an import has failed. It can get new data."""


class ImageUploading(ImageEvent):
    """The data of the image is being transferred: its status is saving, uploading or importing."""


class ImageActivated(ImageEvent):
    """The image is active: its data has arrived, or it was reactivated."""


class ImageUploaded(ImageActivated):
    """The image is active, because a client has uploaded its data."""


class ImageReactivated(ImageActivated):
    """The image was deactivated, and is active again."""


class ImageDeactivated(ImageEvent):
    """The image was deactivated."""


class ImageDeleted(ImageEvent):
    """The image was deleted."""


@frozen
class ImageSent(ImageEvent):
    """A client has received all the data of the image that it asked for, or a proxy was told to send it.

    size: bytes.
    """

    size: int


@frozen
class ImageNotSent(ImageEvent):
    """A client has received only a part of the data of the image that it asked for.

    size: bytes that it asked for. sent: bytes that were given to its connection.
    """

    size: int
    sent: int


@frozen
class MemberEvent(Event):
    """An event of one member of an image. member: its state after the event."""

    image: Image
    member: Member


class MemberAdded(MemberEvent):
    """The image was shared with one more project."""


class MemberChanged(MemberEvent):
    """The project has accepted or rejected the image, or has set it back to pending."""


@frozen
class MemberRemoved(Event):
    """The image is no longer shared with a project."""

    image: Image
    member_id: str


@frozen
class TaskEvent(Event):
    """An event of one task. task: its state when the publishing process began the task or took it over."""

    task: Task


class TaskCreated(TaskEvent):
    """A task was created. It may have to wait before it runs."""


@frozen
class TaskProgressed(TaskEvent):
    """The task has made progress. progress: bytes that are done."""

    progress: int


@frozen
class TaskEnded(TaskEvent):
    """The task has succeeded or failed."""

    end: TaskEnd


@frozen
class RequestFailed(Event):
    """A request to the API was answered with an error.

    method: in upper case. path: as the client sent it. image_id: of the image in the path; None: there is none. status:
    of the response. reason: what the client was told.
    """

    method: str
    path: str
    image_id: str | None
    status: int
    reason: str


@frozen
class StoreEvent(Event):
    """An event of one store."""

    store_id: str


class StoreUp(StoreEvent):
    """The store works again."""


@frozen
class StoreDown(StoreEvent):
    """The store does not work, or objects are missing in it. reason: for people."""

    reason: str


_OF_STATUS: dict[Status, type[ImageEvent]] = {
    Status.QUEUED: ImageQueued,
    Status.SAVING: ImageUploading,
    Status.UPLOADING: ImageUploading,
    Status.IMPORTING: ImageUploading,
    Status.ACTIVE: ImageActivated,
    Status.DEACTIVATED: ImageDeactivated,
}


def event_of_change(before: Image, now: Image) -> ImageEvent:
    """The event for a change of an image: that of its new status if the status changed, else ImageUpdated."""
    if before.status is now.status:
        return ImageUpdated(now, _differences(before, now))
    if before.status is Status.DEACTIVATED and now.status is Status.ACTIVE:
        return ImageReactivated(now)
    return _OF_STATUS.get(now.status, ImageUpdated)(now)


def _differences(before: Image, now: Image) -> tuple[str, ...]:
    """The names of the attributes that differ, without the time of the change, which always does."""
    names = (attribute.name for attribute in fields(Image) if attribute.name != "updated_at")
    return tuple(name for name in names if getattr(before, name) != getattr(now, name))
