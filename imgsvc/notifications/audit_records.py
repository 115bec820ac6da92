"""What the audit says of each event: a record with JSON values. Events without a record are not for the audit."""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from imgsvc import event_model as events
from imgsvc.model import Image
from imgsvc.notifications.actors import Actor

Record = dict[str, object]

LONGEST: Final = 1024
"""Characters of a text in a record. A longer text is cut, and ends in `...` then."""

DENIED: Final = frozenset({401, 403})
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def record_of(event: events.Event, actor: Actor, time: str) -> Record | None:
    """The record of an event; None if the audit does not have such events.

    time: of the event, ISO 8601. Names whose values are unknown are left out.
    """
    about = _about(event)
    if about is None:
        return None
    values = {
        "time": time,
        "event": about.pop("event"),
        "outcome": about.pop("outcome", "success"),
        "user": actor.user_id,
        "project": actor.project_id,
        "roles": ",".join(actor.roles),
        "client": actor.client,
        "request_id": actor.request_id,
        **about,
    }
    return {name: _shortened(value) for name, value in values.items() if value not in (None, "")}


def _shortened(value: object) -> object:
    return f"{value[:LONGEST]}..." if isinstance(value, str) and len(value) > LONGEST else value


@singledispatch
def _about(event: events.Event) -> Record | None:
    """What the event is about."""
    return None


def _image(image: Image, event: str, outcome: str = "success") -> Record:
    return {
        "event": event,
        "outcome": outcome,
        "image": image.id,
        "owner": image.owner,
        "status": image.status.value,
        "visibility": image.visibility.value,
        "size": image.size,
    }


_NAMES: Final[dict[type[events.ImageEvent], tuple[str, str]]] = {
    events.ImageCreated: ("image.create", "success"),
    events.ImageQueued: ("image.upload", "failure"),
    events.ImageUploading: ("image.prepare", "success"),
    events.ImageUploaded: ("image.upload", "success"),
    events.ImageActivated: ("image.activate", "success"),
    events.ImageReactivated: ("image.reactivate", "success"),
    events.ImageDeactivated: ("image.deactivate", "success"),
    events.ImageDeleted: ("image.delete", "success"),
}


@_about.register
def _(event: events.ImageEvent) -> Record:
    return _image(event.image, *_NAMES[type(event)])


@_about.register
def _(event: events.ImageUpdated) -> Record:
    return {**_image(event.image, "image.update"), "changed": ",".join(event.changed)}


@_about.register
def _(event: events.ImageSent) -> Record:
    return {**_image(event.image, "image.send"), "asked": event.size, "sent": event.size}


@_about.register
def _(event: events.ImageNotSent) -> Record:
    return {**_image(event.image, "image.send", "failure"), "asked": event.size, "sent": event.sent}


@_about.register
def _(event: events.MemberEvent) -> Record:
    name = "image.member.create" if isinstance(event, events.MemberAdded) else "image.member.update"
    return {**_image(event.image, name), "member": event.member.member_id, "member_status": event.member.status.value}


@_about.register
def _(event: events.MemberRemoved) -> Record:
    return {**_image(event.image, "image.member.delete"), "member": event.member_id}


@_about.register
def _(event: events.TaskCreated) -> Record:
    task = event.task
    return {"event": "task.create", "image": task.image_id, "owner": task.owner, "task": task.id, "type": task.type}


@_about.register
def _(event: events.TaskEnded) -> Record:
    task, end = event.task, event.end
    return {
        "event": "task.end",
        "outcome": end.status.value,
        "image": task.image_id,
        "owner": task.owner,
        "task": task.id,
        "type": task.type,
        "reason": end.message,
    }


@_about.register
def _(event: events.RequestFailed) -> Record | None:
    """Failed attempts to change something or to read data, and all that were denied. Others are in the access log."""
    if event.method in READING and event.status not in DENIED and not event.path.endswith("/file"):
        return None
    return {
        "event": "request",
        "outcome": "failure",
        "method": event.method,
        "path": event.path,
        "image": event.image_id,
        "http_status": event.status,
        "reason": event.reason,
    }
