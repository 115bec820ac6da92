"""The payloads of notifications, with the keys that Glance's have. All values are JSON values; times are in UTC."""

from __future__ import annotations

from datetime import datetime

from imgsvc.event_model import ImageEvent, TaskEvent
from imgsvc.lease_model import TaskEnd
from imgsvc.model import Image, Member, Status, Visibility
from imgsvc.notifications.actors import Actor

Payload = dict[str, object]


def image_payload(image: Image, deleted_at: datetime | None = None) -> Payload:
    """The record of an image. deleted_at: when it was deleted; None: it was not. Locations are left out."""
    return {
        "id": image.id,
        "name": image.name,
        "status": (image.status if deleted_at is None else Status.DELETED).value,
        "created_at": _time(image.created_at),
        "updated_at": _time(image.updated_at),
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "protected": image.protected,
        "checksum": image.checksum,
        "owner": image.owner,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "is_public": image.visibility is Visibility.PUBLIC,
        "visibility": image.visibility.value,
        "properties": dict(image.properties),
        "tags": list(image.tags),
        "deleted": deleted_at is not None,
        "deleted_at": None if deleted_at is None else _time(deleted_at),
    }


def sent_payload(event: ImageEvent, sent: int, receiver: Actor) -> Payload:
    """A download. sent: bytes. receiver: who has downloaded."""
    return {
        "bytes_sent": sent,
        "image_id": event.image.id,
        "owner_id": event.image.owner,
        "receiver_tenant_id": receiver.project_id,
        "receiver_user_id": receiver.user_id,
    }


def member_payload(member: Member) -> Payload:
    """A member of an image."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status.value,
        "created_at": _time(member.created_at),
        "updated_at": _time(member.updated_at),
        "deleted": False,
        "deleted_at": None,
    }


def removed_payload(image: Image, member_id: str, deleted_at: datetime) -> Payload:
    """A project that is not a member of an image any more."""
    return {"image_id": image.id, "member_id": member_id, "deleted": True, "deleted_at": _time(deleted_at)}


def task_payload(event: TaskEvent, end: TaskEnd | None = None) -> Payload:
    """A task. end: its outcome; None: it has not ended. Input and result are left out, as they may have secrets."""
    task = event.task
    return {
        "id": task.id,
        "type": task.type,
        "status": (task.status if end is None else end.status).value,
        "result": None,
        "owner": task.owner,
        "message": task.message if end is None else end.message,
        "expires_at": None if task.expires_at is None else _time(task.expires_at),
        "created_at": _time(task.created_at),
        "updated_at": _time(task.updated_at),
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
