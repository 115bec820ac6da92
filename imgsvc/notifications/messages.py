"""Makes notifications of events, and the messages in which oslo.messaging sends them (envelope version 2.0)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import singledispatch
from typing import Final

from imgsvc import event_model as events
from imgsvc.lease_model import TaskStatus
from imgsvc.notification_model import ERROR, INFO, Notification
from imgsvc.notifications.actors import Actor
from imgsvc.notifications.payloads import (
    Payload,
    image_payload,
    member_payload,
    removed_payload,
    sent_payload,
    task_payload,
)

ENVELOPE: Final = "2.0"

LARGEST: Final = 16 << 10
"""Characters of properties and tags. An image with more is sent without: 1 MiB would occupy the reactor for 50 ms."""
REST: Final = 1500
"""Bytes of a notification without properties and tags, roughly."""

Content = tuple[str, str, Payload]
"""Type, priority and payload of a notification."""


def notifications_of(event: events.Event, actor: Actor, now: datetime, publisher_id: str) -> list[Notification]:
    """The notifications of an event; often one, and none for events that are not for other programs.

    Those of an image with very many properties or tags leave out both. now: in UTC.
    """
    context: dict[str, object] = {
        "request_id": actor.request_id or None,
        "user_id": actor.user_id,
        "project_id": actor.project_id,
        "roles": list(actor.roles),
        "is_admin": actor.is_admin,
    }
    made = []
    for event_type, priority, payload in _contents(event, actor, now):
        size = _length(payload)
        if size > LARGEST:
            payload = {key: value for key, value in payload.items() if key not in ("properties", "tags")}
            size = 0
        made.append(
            Notification(
                event_type,
                priority,
                payload,
                context,
                publisher_id,
                message_id=str(uuid.uuid4()),
                timestamp=now.strftime("%Y-%m-%d %H:%M:%S.%f"),
                size=REST + size,
            )
        )
    return made


def message_of(notification: Notification) -> dict[str, object]:
    """The message of a notification, as JSON values."""
    return {
        **{f"_context_{name}": value for name, value in notification.context.items()},
        "message_id": notification.message_id,
        "publisher_id": notification.publisher_id,
        "event_type": notification.event_type,
        "priority": notification.priority,
        "payload": notification.payload,
        "timestamp": notification.timestamp,
        "_unique_id": notification.message_id.replace("-", ""),
    }


def envelope_of(notification: Notification) -> dict[str, object]:
    """The message in its envelope: the message is a text of JSON within JSON, as oslo.messaging sends it."""
    message = json.dumps(message_of(notification), ensure_ascii=False, separators=(",", ":"))
    return {"oslo.version": ENVELOPE, "oslo.message": message}


def _length(payload: Payload) -> int:
    """Characters of the JSON of properties and tags, roughly."""
    size = 0
    properties, tags = payload.get("properties"), payload.get("tags")
    if isinstance(properties, dict):
        size += sum(len(key) + len(value) + 6 for key, value in properties.items())
    if isinstance(tags, list):
        size += sum(len(tag) + 3 for tag in tags)
    return size


_OF_IMAGE: Final[dict[type[events.ImageEvent], Sequence[tuple[str, str]]]] = {
    events.ImageCreated: [("image.create", INFO)],
    events.ImageUpdated: [("image.update", INFO)],
    events.ImageQueued: [("image.upload", ERROR)],
    events.ImageUploading: [("image.prepare", INFO)],
    events.ImageUploaded: [("image.upload", INFO), ("image.activate", INFO)],
    events.ImageActivated: [("image.activate", INFO)],
    events.ImageReactivated: [("image.update", INFO)],
    events.ImageDeactivated: [("image.update", INFO)],
}


@singledispatch
def _contents(event: events.Event, actor: Actor, now: datetime) -> Sequence[Content]:
    return []


@_contents.register
def _(event: events.ImageEvent, actor: Actor, now: datetime) -> Sequence[Content]:
    return [(kind, priority, image_payload(event.image)) for kind, priority in _OF_IMAGE[type(event)]]


@_contents.register
def _(event: events.ImageDeleted, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.delete", INFO, image_payload(event.image, now))]


@_contents.register
def _(event: events.ImageSent, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.send", INFO, sent_payload(event, event.size, actor))]


@_contents.register
def _(event: events.ImageNotSent, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.send", ERROR, sent_payload(event, event.sent, actor))]


@_contents.register
def _(event: events.MemberAdded, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.member.create", INFO, member_payload(event.member))]


@_contents.register
def _(event: events.MemberChanged, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.member.update", INFO, member_payload(event.member))]


@_contents.register
def _(event: events.MemberRemoved, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("image.member.delete", INFO, removed_payload(event.image, event.member_id, now))]


@_contents.register
def _(event: events.TaskCreated, actor: Actor, now: datetime) -> Sequence[Content]:
    return [("task.create", INFO, task_payload(event))]


@_contents.register
def _(event: events.TaskEnded, actor: Actor, now: datetime) -> Sequence[Content]:
    name = "task.success" if event.end.status is TaskStatus.SUCCESS else "task.failure"
    return [(name, INFO, task_payload(event, event.end))]
