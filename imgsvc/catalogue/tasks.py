"""Tasks: work that goes on after the response to its request. The functions are jobs of `Database`.

A task that has not ended has a lease, see `leases.py`. Only the holder of the lease changes the task's record, except
for its cancellation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, insert, select, update

from imgsvc.catalogue.changes import update_image
from imgsvc.catalogue.lease_tables import tasks
from imgsvc.catalogue.leases import add_lease, count_lease, end_lease, renew_lease
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.catalogue.statements import Statement
from imgsvc.errors import LeaseLost, NotFound
from imgsvc.lease_model import Lease, LeaseKind, Task, TaskEnd, TaskStatus, document_text
from imgsvc.model import Image, PendingDeletion, ProjectLimits

__all__ = [
    "add_task",
    "begin_task",
    "cancel_task",
    "close_task",
    "end_task",
    "find_task",
    "forget_tasks",
    "list_expired_tasks",
    "report_task",
]

MOST_FORGOTTEN: Final = 1000
"""Expired records that are deleted at a time."""

_COLUMNS: Final = (
    *("task_id", "type", "created_at", "updated_at", "status", "owner", "input", "result", "message"),
    *("image_id", "request_id", "user_id", "expires_at", "progress"),
)
"""In the order of Task's arguments."""
_ITSELF: Final = tasks.c.task_id == bindparam("of_task")
_ADD: Final = Statement(insert(tasks).values({name: bindparam(name) for name in _COLUMNS}))
_FIND: Final = Statement(select(*(tasks.c[name] for name in _COLUMNS), tasks.c.cancelled_at).where(_ITSELF))
_REPORT: Final = Statement(
    update(tasks)
    .where(_ITSELF)
    .values(
        status=TaskStatus.PROCESSING.value,
        progress=bindparam("new_progress", type_=BigInteger),
        updated_at=bindparam("now", type_=BigInteger),
    )
)
_IS_CANCELLED: Final = Statement(select(tasks.c.task_id).where(_ITSELF, tasks.c.cancelled_at.is_not(None)))
_CANCEL: Final = Statement(
    update(tasks)
    .where(_ITSELF, tasks.c.expires_at.is_(None))
    .values(
        cancelled_at=case(
            (tasks.c.cancelled_at.is_(None), bindparam("now", type_=BigInteger)), else_=tasks.c.cancelled_at
        )
    )
)
_END: Final = Statement(
    update(tasks)
    .where(_ITSELF)
    .values(
        status=bindparam("new_status"),
        message=bindparam("new_message"),
        result=bindparam("new_result"),
        updated_at=bindparam("now", type_=BigInteger),
        expires_at=bindparam("new_expiry", type_=BigInteger),
    )
)
_EXPIRED: Final = Statement(select(tasks.c.task_id).where(tasks.c.expires_at <= bindparam("now")).limit(MOST_FORGOTTEN))
_FORGET: Final = Statement(delete(tasks).where(_ITSELF, tasks.c.expires_at.is_not(None)))


def begin_task(
    connection: Connection,
    image: Image,
    changed: Image,
    task: Task,
    seconds: float,
    now: datetime,
    limits: ProjectLimits | None,
) -> tuple[Image, Lease]:
    """Change an image, and add a task for it.

    Raises as `update_image`, and Conflict if somebody has a lease on the image.
    """
    current, _ = update_image(connection, image, changed, now, limits)
    return current, add_task(connection, task, seconds)


def add_task(connection: Connection, task: Task, seconds: float) -> Lease:
    """Add a task, and return its lease. Raises Conflict if somebody has a lease on its image."""
    _ADD.run(
        connection,
        task_id=task.id,
        type=task.type,
        created_at=microseconds(task.created_at),
        updated_at=microseconds(task.updated_at),
        status=task.status.value,
        owner=task.owner,
        input=document_text(task.input),
        result=None,
        message=task.message,
        image_id=task.image_id,
        request_id=task.request_id,
        user_id=task.user_id,
        expires_at=None,
        progress=task.progress,
    )
    if task.image_id is not None:
        count_lease(connection, task.image_id)
    lease_id = add_lease(connection, task.resource_id, LeaseKind.TASK, seconds, task.id)
    return Lease(task.resource_id, lease_id, LeaseKind.TASK, 0, task.id)


def find_task(connection: Connection, task_id: str) -> Task:
    """Return a task. Raises NotFound."""
    for row in _FIND.rows(connection, of_task=task_id):
        id_, type_, created, updated, status, owner, given, result, message, *rest = row
        image_id, request_id, user_id, expiry, progress, cancelled = rest
        return Task(
            id_,
            type_,
            instant(created),
            instant(updated),
            TaskStatus(status),
            owner,
            json.loads(given),
            None if result is None else json.loads(result),
            message,
            image_id,
            request_id,
            user_id,
            None if expiry is None else instant(expiry),
            progress,
            cancelled is not None,
        )
    raise NotFound(f"No task found with ID {task_id}.")


def report_task(connection: Connection, lease: Lease, seconds: float, progress: int, now: datetime) -> bool:
    """Record the progress of a running task, and renew its lease. Returns whether somebody asked to cancel it.

    Raises LeaseLost, as `renew_lease`.
    """
    renew_lease(connection, lease.resource_id, lease.lease_id, seconds)
    _REPORT.run(connection, of_task=lease.task_id, new_progress=progress, now=microseconds(now))
    return bool(_IS_CANCELLED.rows(connection, of_task=lease.task_id))


def cancel_task(connection: Connection, task_id: str, now: datetime) -> bool:
    """Record the request to cancel a task, for the holder of its lease. Returns whether the task has not ended."""
    return bool(_CANCEL.run(connection, of_task=task_id, now=microseconds(now)))


def end_task(
    connection: Connection, image: Image, changed: Image, lease: Lease, end: TaskEnd, now: datetime
) -> tuple[Image, list[PendingDeletion]]:
    """Change an image, and end its task. Raises LeaseLost, and as `update_image`."""
    if not close_task(connection, lease, end, now):
        raise LeaseLost(image.id)
    return update_image(connection, image, changed, now)


def close_task(connection: Connection, lease: Lease, end: TaskEnd, now: datetime) -> bool:
    """End a task and its lease. Returns False, and changes nothing, if the lease was not held."""
    if not end_lease(connection, lease.resource_id, lease.lease_id):
        return False
    _END.run(
        connection,
        of_task=lease.task_id,
        new_status=end.status.value,
        new_message=end.message,
        new_result=None if end.result is None else document_text(end.result),
        new_expiry=microseconds(now + timedelta(seconds=end.keep_for)),
        now=microseconds(now),
    )
    return True


def list_expired_tasks(connection: Connection, now: datetime) -> list[str]:
    """Return ids of tasks whose records have expired, at most MOST_FORGOTTEN."""
    return [task_id for (task_id,) in _EXPIRED.rows(connection, now=microseconds(now))]


def forget_tasks(connection: Connection, task_ids: Sequence[str]) -> None:
    """Delete the records of tasks that have ended."""
    for task_id in task_ids:
        _FORGET.run(connection, of_task=task_id)
