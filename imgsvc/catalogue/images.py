"""Reads, adds and deletes images in the database. The functions are jobs of `Database`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from imgsvc.catalogue.projects import check_count_total
from imgsvc.catalogue.rows import COLUMNS, image_from_row, is_whole, microseconds, select_images, weight
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_locations, image_members, image_properties, image_tags, images
from imgsvc.errors import ImageExists, NoSuchImage
from imgsvc.model import TRANSITIONS, Image, Location, PendingDeletion, ProjectLimits, Status

__all__ = [
    "ADD_LOCATION",
    "ADD_PROPERTY",
    "ADD_TAG",
    "BATCH",
    "IMAGE_BY_ID",
    "MARK_FOR_DELETION",
    "add_image",
    "delete_image",
    "find_image",
    "forget_location",
    "later",
    "list_pending_deletions",
    "lock_image",
    "move",
    "pending_deletion",
    "rows_of",
    "set_values",
    "whole_image",
]

BATCH: Final = 100
"""Pending deletions that are returned at a time."""

_ITSELF: Final = images.c.id == bindparam("image_id")
_LIVE: Final = images.c.deleted_at.is_(None)


def _status_is(*statuses: Status) -> ColumnElement[bool]:
    return or_(*(images.c.status == status.value for status in statuses))


# --- read

IMAGE_BY_ID: Final = Statement(select_images().where(_ITSELF, _LIVE))


_PROPERTIES: Final = Statement(
    select(image_properties.c.name, image_properties.c.value).where(
        image_properties.c.image_id == bindparam("of_image")
    )
)
_LOCATIONS: Final = Statement(
    select(*(image_locations.c[name] for name in ("key", "store_id", "url", "metadata"))).where(
        image_locations.c.image_id == bindparam("of_image"), image_locations.c.doomed_at.is_(None)
    )
)


def find_image(connection: Connection, image_id: str) -> Image:
    """Return an image. Raises NoSuchImage."""
    for row in IMAGE_BY_ID.rows(connection, image_id=image_id):
        return whole_image(connection, row)
    raise NoSuchImage(image_id)


def whole_image(connection: Connection, row: Sequence[Any]) -> Image:
    """Return the image of a row of `select_images`.

    The parts that the row lacks are read row by row: to parse them as one text would block the interpreter for too
    long.
    """
    if is_whole(row):
        return image_from_row(row)
    properties = _PROPERTIES.rows(connection, of_image=row[0])
    return image_from_row(row, properties, _LOCATIONS.rows(connection, of_image=row[0]))


_SEVERAL: Final = 100
_BY_IDS: Final = Statement(
    select_images().where(_LIVE, images.c.id.in_([bindparam(f"id_{number}") for number in range(_SEVERAL)]))
)


def rows_of(connection: Connection, image_ids: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield rows for `whole_image`, in the order of the ids, without deleted images. A hundred are read at a time."""
    for start in range(0, len(image_ids), _SEVERAL):
        several = list(image_ids[start : start + _SEVERAL])
        values = {f"id_{number}": image_id for number, image_id in enumerate([*several, *several[:1] * _SEVERAL])}
        found = {row[0]: row for row in _BY_IDS.rows(connection, **values)}
        yield from (found[image_id] for image_id in several if image_id in found)


_LOCK: Final = Statement(select(images.c.id).where(_ITSELF, _LIVE).with_for_update())


def lock_image(connection: Connection, image_id: str) -> None:
    """Lock the image until the end of the transaction. Raises NoSuchImage."""
    if not _LOCK.rows(connection, image_id=image_id):
        raise NoSuchImage(image_id)


# --- add

_ADD_IMAGE: Final = Statement(insert(images).values({name: bindparam(name) for name in (*COLUMNS, "weight")}))
ADD_PROPERTY: Final = Statement(
    insert(image_properties).values(image_id=bindparam("image_id"), name=bindparam("name"), value=bindparam("value"))
)
ADD_TAG: Final = Statement(insert(image_tags).values(image_id=bindparam("image_id"), value=bindparam("value")))


ADD_LOCATION: Final = Statement(
    insert(image_locations).values(
        image_id=bindparam("image_id"),
        store_id=bindparam("store_id"),
        url=bindparam("url"),
        metadata=bindparam("metadata"),
    )
)


def set_values(image: Image) -> dict[str, Any]:
    """Return the values of the image's columns, as the table keeps them."""
    values = {name: getattr(image, name) for name in COLUMNS}
    return values | {
        "created_at": microseconds(image.created_at),
        "updated_at": microseconds(image.updated_at),
        "status": image.status.value,
        "visibility": image.visibility.value,
        "weight": weight(image),
    }


def add_image(connection: Connection, image: Image, limits: ProjectLimits | None) -> None:
    """Add a new image. Raises QuotaExceeded; ImageExists; ValueError if the image is not new."""
    if image.status is not Status.QUEUED or image.locations:
        raise ValueError(f"image {image.id} is not new: {image.status}, {len(image.locations)} locations")
    check_count_total(connection, limits)
    try:
        _ADD_IMAGE.run(connection, **set_values(image))
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise ImageExists(image.id) from error
    properties = [{"image_id": image.id, "name": name, "value": value} for name, value in image.properties.items()]
    tags = [{"image_id": image.id, "value": tag} for tag in set(image.tags)]
    if properties:
        ADD_PROPERTY.run_for_each(connection, properties)
    if tags:
        ADD_TAG.run_for_each(connection, tags)


# --- change


def move(source: Status, target: Status, *conditions: ColumnElement[bool], **changes: Any) -> Update:
    """Return a compare-and-swap of the status of the image `image_id`, at the time `now`.

    It changes no row if the status is not `source`. conditions: further conditions. changes: other columns to set.
    Raises ValueError if TRANSITIONS does not allow the change.
    """
    if target not in TRANSITIONS[source]:
        raise ValueError(f"no image goes from {source} to {target}")
    return (
        update(images)
        .where(_ITSELF, images.c.status == source.value, *conditions)
        .values(status=target.value, updated_at=later(), **changes)
    )


def later() -> ColumnElement[int]:
    """Return the time `now`, or one after the last change if that is later: `update_image` needs distinct times."""
    now = bindparam("now", type_=BigInteger)
    return case((images.c.updated_at < now, now), else_=images.c.updated_at + 1)


# --- delete

_DELETE_IMAGE: Final = Statement(
    update(images)
    .where(_ITSELF, _status_is(*(source for source, targets in TRANSITIONS.items() if Status.DELETED in targets)))
    # The columns that lists sort by stay unchanged, so that the id remains a valid marker. MariaDB sets the columns
    # one after the other.
    .ordered_values(
        (images.c.deleted_from, images.c.status),
        (images.c.status, Status.DELETED.value),
        (images.c.deleted_at, bindparam("now")),
    )
)
_ITS_LOCATIONS: Final = image_locations.c.image_id == bindparam("of_image")
_PENDING: Final = image_locations.c.doomed_at.is_not(None)
MARK_FOR_DELETION: Final = Statement(
    update(image_locations).where(image_locations.c.key == bindparam("location_key")).values(doomed_at=bindparam("now"))
)
_MARK_LOCATIONS: Final = Statement(update(image_locations).where(_ITS_LOCATIONS).values(doomed_at=bindparam("now")))
_FORGET_LOCATION: Final = Statement(
    delete(image_locations).where(image_locations.c.key == bindparam("location_key"), _PENDING)
)
_IMAGE_OF_PENDING: Final = Statement(
    select(image_locations.c.image_id).where(image_locations.c.key == bindparam("location_key"), _PENDING)
)
_IS_BARE: Final = Statement(
    select(images.c.id).where(
        _ITSELF, images.c.deleted_at.is_not(None), ~exists().where(image_locations.c.image_id == images.c.id)
    )
)

# Rows that lists would read for nothing.
_DROP_DETAILS: Final = tuple(
    Statement(delete(table).where(table.c.image_id == bindparam("of_image")))
    for table in (image_members, image_tags, image_properties)
)


def _select_pending(condition: ColumnElement[bool]) -> Select[Any]:
    columns = image_locations.c
    pending = select(columns.key, columns.image_id, columns.store_id, columns.url, columns.metadata)
    return pending.where(condition).order_by(columns.key)


_PENDING_OF_IMAGE: Final = Statement(_select_pending(_ITS_LOCATIONS))
_PENDING_IN_STORE: Final = Statement(
    _select_pending(
        and_(
            _PENDING,
            image_locations.c.store_id == bindparam("store_id"),
            image_locations.c.key > bindparam("after"),
        )
    ).limit(BATCH)
)


def delete_image(connection: Connection, image_id: str, now: datetime) -> list[PendingDeletion]:
    """Change any status to deleted, and make the locations pending deletions. Raises NoSuchImage.

    The tags, properties and members are kept until the last location is gone: if a store refuses, the image is
    restored.
    """
    moment = microseconds(now)
    if _DELETE_IMAGE.run(connection, image_id=image_id, now=moment) == 0:
        raise NoSuchImage(image_id)
    _MARK_LOCATIONS.run(connection, of_image=image_id, now=moment)
    pending = [pending_deletion(*row) for row in _PENDING_OF_IMAGE.rows(connection, of_image=image_id)]
    if not pending:
        _drop_details(connection, image_id)
    return pending


def _drop_details(connection: Connection, image_id: str) -> None:
    for drop in _DROP_DETAILS:
        drop.run(connection, of_image=image_id)


def list_pending_deletions(connection: Connection, store_id: str, after: int) -> list[PendingDeletion]:
    """Return pending deletions of a store with keys above `after`, at most BATCH."""
    return [pending_deletion(*row) for row in _PENDING_IN_STORE.rows(connection, store_id=store_id, after=after)]


def pending_deletion(key: int, image_id: str, store_id: str, url: str, metadata: str) -> PendingDeletion:
    """Return the pending deletion of a row of the locations."""
    return PendingDeletion(key, image_id, Location(store_id, url, json.loads(metadata)))


def forget_location(connection: Connection, key: int) -> None:
    """Remove a pending deletion. With the last one of a deleted image, remove its details. May be repeated."""
    rows = _IMAGE_OF_PENDING.rows(connection, location_key=key)
    _FORGET_LOCATION.run(connection, location_key=key)
    for (image_id,) in rows:
        if _IS_BARE.rows(connection, image_id=image_id):
            _drop_details(connection, image_id)
