"""The usage and the limits of projects. The functions are jobs of `Database`, or parts of jobs.

A check counts in the same transaction that adds to the count, after it has taken the project's turn. So two
transactions cannot both use the last free place.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, or_, select

from imgsvc.catalogue.dialects import insert_or_update
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_locations, image_properties, images, project_limits, project_turns
from imgsvc.errors import QuotaExceeded, TooLarge
from imgsvc.model import ProjectLimits, ProjectUsage, Status

__all__ = [
    "all_limits",
    "check_count_total",
    "check_count_uploading",
    "check_size_total",
    "list_limits",
    "project_usage",
    "remove_limit",
    "set_limit",
    "size_total",
]

_ITS_IMAGES: Final = and_(
    images.c.owner == bindparam("project"), images.c.deleted_at.is_(None), images.c.status != Status.KILLED.value
)
# While an active image is copied to more stores, this property names the stores that do not have it yet.
_COPYING: Final = exists().where(
    image_properties.c.image_id == images.c.id,
    image_properties.c.name == "os_glance_importing_to_stores",
    image_properties.c.value != "",
)


def _in_status(*statuses: Status) -> ColumnElement[bool]:
    return or_(*(images.c.status == status.value for status in statuses))


_SIZE_TOTAL: Final = Statement(
    select(func.coalesce(func.sum(images.c.size), 0))
    .select_from(images.join(image_locations, image_locations.c.image_id == images.c.id))
    .where(_ITS_IMAGES, image_locations.c.doomed_at.is_(None))
)
_STAGE_TOTAL: Final = Statement(
    select(func.coalesce(func.sum(images.c.size), 0)).where(
        _ITS_IMAGES, or_(_in_status(Status.UPLOADING, Status.IMPORTING), _COPYING)
    )
)
_COUNT_TOTAL: Final = Statement(select(func.count()).select_from(images).where(_ITS_IMAGES))
_COUNT_UPLOADING: Final = Statement(
    select(func.count())
    .select_from(images)
    .where(_ITS_IMAGES, or_(_in_status(Status.SAVING, Status.UPLOADING, Status.IMPORTING), _COPYING))
)


# --- used


def size_total(connection: Connection, project_id: str) -> int:
    """Return the bytes of the project's images. An image counts once for each of its locations."""
    return _number(connection, _SIZE_TOTAL, project_id)


def project_usage(connection: Connection, project_id: str) -> ProjectUsage:
    """Return all counts of a project."""
    return ProjectUsage(
        size_total=size_total(connection, project_id),
        stage_total=_number(connection, _STAGE_TOTAL, project_id),
        count_total=_number(connection, _COUNT_TOTAL, project_id),
        count_uploading=_number(connection, _COUNT_UPLOADING, project_id),
    )


def _number(connection: Connection, statement: Statement, project_id: str) -> int:
    return int(statement.rows(connection, project=project_id)[0][0])


# --- checked


def check_count_total(connection: Connection, limits: ProjectLimits | None) -> None:
    """Check before an image is added. Raises QuotaExceeded."""
    if limits is None or limits.count_total is None:
        return
    _take_turn(connection, limits.project_id)
    number = _number(connection, _COUNT_TOTAL, limits.project_id)
    if number >= limits.count_total:
        raise QuotaExceeded(f"Project {limits.project_id} has {number} images, and may not have more.")


def check_count_uploading(connection: Connection, limits: ProjectLimits | None) -> None:
    """Check before an image starts to wait for data. Raises TooLarge."""
    if limits is None or limits.count_uploading is None:
        return
    _take_turn(connection, limits.project_id)
    number = _number(connection, _COUNT_UPLOADING, limits.project_id)
    if number >= limits.count_uploading:
        raise TooLarge(f"Project {limits.project_id} has {number} uploads in progress, and may not have more.")


def check_size_total(connection: Connection, limits: ProjectLimits | None, size: int) -> None:
    """Check before `size` bytes are added. Raises TooLarge."""
    if limits is None or limits.size_total is None:
        return
    _take_turn(connection, limits.project_id)
    used = size_total(connection, limits.project_id)
    if used + size > limits.size_total:
        raise TooLarge(
            f"Project {limits.project_id} has used {used} of its {limits.size_total} bytes: {size} more do not fit."
        )


def _take_turn(connection: Connection, project_id: str) -> None:
    _turn_taker(connection.dialect.name).run(connection, project=project_id)


@cache
def _turn_taker(dialect: str) -> Statement:
    values = {"project_id": bindparam("project"), "turns": 1}
    return Statement(insert_or_update(dialect, project_turns, values, turns=project_turns.c.turns + 1))


# --- limits that an operator sets for one project

_LIMITS: Final = Statement(
    select(project_limits.c.name, project_limits.c.value).where(project_limits.c.project_id == bindparam("project"))
)


def list_limits(connection: Connection, project_id: str) -> dict[str, int]:
    """Return the limits of a project, by name. A negative value means no limit."""
    return {str(row[0]): int(row[1]) for row in _LIMITS.rows(connection, project=project_id)}


def all_limits(connection: Connection) -> list[tuple[str, str, int]]:
    """Return all limits, as project, name and value."""
    columns = project_limits.c
    found = select(columns.project_id, columns.name, columns.value).order_by(columns.project_id, columns.name)
    return [(project, name, value) for project, name, value in connection.execute(found)]


def set_limit(connection: Connection, project_id: str, name: str, value: int) -> None:
    """Set a limit, or replace it."""
    values = {"project_id": project_id, "name": name, "value": value}
    connection.execute(insert_or_update(connection.dialect.name, project_limits, values, value=value))


def remove_limit(connection: Connection, project_id: str, name: str) -> bool:
    """Remove a limit. Returns whether there was one."""
    itself = and_(project_limits.c.project_id == project_id, project_limits.c.name == name)
    return bool(connection.execute(delete(project_limits).where(itself)).rowcount)
