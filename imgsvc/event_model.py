"""Facts that operations and tasks publish: frozen values, one class for each kind."""

from __future__ import annotations

from attrs import frozen

from imgsvc.lease_model import Task, TaskEnd
from imgsvc.model import Image, Member, Status


@frozen
class Event:
    """Something that has happened, and that no subscriber can change any more."""


@frozen
class ImageEvent(Event):
    """A fact about one image. image: as it is after what happened; as it was before, if it is deleted."""

    image: Image


@frozen
class ImageCreated(ImageEvent):
    """There is a new record of an image."""


@frozen
class ImageUpdated(ImageEvent):
    """Fields, properties, tags or locations were changed."""


@frozen
class ImageQueued(ImageEvent):
    """The image has no data any more and may be given new ones: an upload or an import has failed."""


@frozen
class ImageUploading(ImageEvent):
    """Data are on their way: the image is saving, uploading or importing."""


@frozen
class ImageActivated(ImageEvent):
    """The image is active: its data have come, or it was reactivated."""


@frozen
class ImageDeactivated(ImageEvent):
    """The image is out of use until it is reactivated."""


@frozen
class ImageDeleted(ImageEvent):
    """The image is gone."""


@frozen
class ImageSent(ImageEvent):
    """Data of the image were sent to a client, all that it asked for. size: bytes."""

    size: int


@frozen
class MemberEvent(Event):
    """A fact about one project that an image is shared with. member: as it is after what happened."""

    image: Image
    member: Member


@frozen
class MemberAdded(MemberEvent):
    """The image is shared with one more project."""


@frozen
class MemberChanged(MemberEvent):
    """The project has accepted or rejected the image, or left it open again."""


@frozen
class MemberRemoved(Event):
    """The image is no longer shared with a project."""

    image: Image
    member_id: str


@frozen
class TaskEvent(Event):
    """A fact about one task. task: as it was when the process that publishes began, or went on with it."""

    task: Task


@frozen
class TaskCreated(TaskEvent):
    """There is a new task. It may have to wait for its turn."""


@frozen
class TaskProgressed(TaskEvent):
    """The task goes on. progress: bytes that are done."""

    progress: int


@frozen
class TaskEnded(TaskEvent):
    """The task has succeeded or failed."""

    end: TaskEnd


@frozen
class StoreEvent(Event):
    """A fact about one store."""

    store_id: str


@frozen
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
    """The fact that a change of an image is: that of its new status, or else that it was updated."""
    if before.status is now.status:
        return ImageUpdated(now)
    return _OF_STATUS.get(now.status, ImageUpdated)(now)
