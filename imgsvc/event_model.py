"""Events that operations and tasks publish: frozen values, one class for each kind.

A class that adds no value of its own is frozen because its base is. `frozen` would cost 1 ms of the start for each.
"""

from __future__ import annotations

from attrs import frozen

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


class ImageUpdated(ImageEvent):
    """Fields, properties, tags or locations were changed."""


class ImageQueued(ImageEvent):
    """The image has no data, because an upload or an import has failed. It can get new data."""


class ImageUploading(ImageEvent):
    """The data of the image is being transferred: its status is saving, uploading or importing."""


class ImageActivated(ImageEvent):
    """The image is active: its data has arrived, or it was reactivated."""


class ImageDeactivated(ImageEvent):
    """The image was deactivated."""


class ImageDeleted(ImageEvent):
    """The image was deleted."""


@frozen
class ImageSent(ImageEvent):
    """A client has received all the data of the image that it asked for. size: bytes."""

    size: int


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
        return ImageUpdated(now)
    return _OF_STATUS.get(now.status, ImageUpdated)(now)
