"""What is done to images in the database, uploads apart. Every function is a job of `Database`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from imgsvc.catalogue.filters import may_see, select_page, sort_columns
from imgsvc.catalogue.rows import COLUMNS, image_from_row, microseconds, select_images
from imgsvc.catalogue.tables import image_locations, image_properties, image_tags, images
from imgsvc.errors import Forbidden, ImageExists, Invalid, NoSuchImage
from imgsvc.model import TRANSITIONS, DoomedLocation, Image, ImageQuery, Location, Status

__all__ = [
    "add_image",
    "count_uploading",
    "delete_image",
    "find_image",
    "forget_location",
    "list_doomed_locations",
    "list_images",
    "move",
    "owner_usage",
]

BATCH: Final = 100
"""How many rows of a backlog are given at once."""

_IMAGE_BY_ID: Final = select_images().where(images.c.id == bindparam("image_id"), images.c.deleted_at.is_(None))
_texts: dict[str, str] = {}


def find_image(connection: Connection, image_id: str) -> Image:
    """Raises NoSuchImage. One statement, kept as text: this is the read that every request begins with."""
    dialect = connection.dialect
    try:
        statement = _texts[dialect.name]
    except KeyError:
        statement = _texts[dialect.name] = str(_IMAGE_BY_ID.compile(dialect=dialect))
    parameters: Any = (image_id,) if dialect.positional else {"image_id": image_id}
    row = connection.exec_driver_sql(statement, parameters).first()
    if row is None:
        raise NoSuchImage(image_id)
    return image_from_row(row)


def list_images(connection: Connection, query: ImageQuery) -> list[Image]:
    """Raises Invalid, Forbidden. One statement, and one for the marker."""
    marker: Sequence[Any] | None = None
    if query.marker is not None:
        columns = [column for column, _ in sort_columns(query.sort)]
        found = connection.execute(
            select(may_see(query.caller).label("may_see"), *columns).where(
                images.c.id == query.marker, images.c.deleted_at.is_(None)
            )
        ).first()
        if found is None:
            raise Invalid(f"The marker {query.marker} is not the ID of an image.")
        visible, *marker = found
        if not visible:
            raise Forbidden(f"The marker {query.marker} is an image that you may not see.")
    return [image_from_row(row) for row in connection.execute(select_page(query, marker))]


def add_image(connection: Connection, image: Image) -> None:
    """Raises ImageExists; ValueError for an image that is more than a new one."""
    if image.status is not Status.QUEUED or image.locations:
        raise ValueError(f"Image {image.id} is not new: {image.status}, {len(image.locations)} locations")
    values = {name: getattr(image, name) for name in COLUMNS}
    values["created_at"] = microseconds(image.created_at)
    values["updated_at"] = microseconds(image.updated_at)
    try:
        connection.execute(insert(images), values)
    except IntegrityError as error:
        raise ImageExists(image.id) from error
    if image.properties:
        rows = [{"image_id": image.id, "name": name, "value": value} for name, value in image.properties.items()]
        connection.execute(insert(image_properties), rows)
    if image.tags:
        rows = [{"image_id": image.id, "value": tag} for tag in sorted(set(image.tags))]
        connection.execute(insert(image_tags), rows)


def owner_usage(connection: Connection, owner: str) -> int:
    """Bytes of the owner's images, each times the number of its locations."""
    total = (
        select(func.coalesce(func.sum(images.c.size), 0))
        .select_from(images.join(image_locations, image_locations.c.image_id == images.c.id))
        .where(images.c.owner == owner, images.c.deleted_at.is_(None), images.c.status != Status.KILLED)
    )
    return int(connection.execute(total).scalar_one())


def count_uploading(connection: Connection, owner: str) -> int:
    """How many of the owner's images wait for bytes."""
    waiting = (Status.SAVING, Status.UPLOADING, Status.IMPORTING)
    number = select(func.count()).select_from(images)
    number = number.where(images.c.owner == owner, images.c.deleted_at.is_(None), images.c.status.in_(waiting))
    return connection.execute(number).scalar_one()


def move(
    connection: Connection,
    image_id: str,
    source: Status,
    target: Status,
    now: datetime,
    *conditions: Any,
    **changes: Any,
) -> bool:
    """Compare-and-swap of an image's status; `changes` are set along with it. Whether the image was in `source`.

    conditions: more that must hold of the row. Raises ValueError for a move that TRANSITIONS does not have.
    """
    if target not in TRANSITIONS[source]:
        raise ValueError(f"no image goes from {source} to {target}")
    moved = connection.execute(
        update(images)
        .where(images.c.id == image_id, images.c.status == source, *conditions)
        .values(status=target, updated_at=microseconds(now), **changes)
    )
    return moved.rowcount == 1


def delete_image(connection: Connection, image_id: str, now: datetime) -> list[DoomedLocation]:
    """Any status -> deleted, and its locations doomed. Raises NoSuchImage."""
    sources = [source for source, targets in TRANSITIONS.items() if Status.DELETED in targets]
    moment = microseconds(now)
    deleted = connection.execute(
        update(images)
        .where(images.c.id == image_id, images.c.status.in_(sources))
        .values(status=Status.DELETED, updated_at=moment, deleted_at=moment)
    )
    if deleted.rowcount == 0:
        raise NoSuchImage(image_id)
    its_locations = image_locations.c.image_id == image_id
    connection.execute(update(image_locations).where(its_locations).values(doomed_at=moment))
    return _doomed_locations(connection, its_locations)


def list_doomed_locations(connection: Connection) -> list[DoomedLocation]:
    """The oldest of those whose bytes may still be there."""
    return _doomed_locations(connection, image_locations.c.doomed_at.is_not(None))


def _doomed_locations(connection: Connection, condition: Any) -> list[DoomedLocation]:
    columns = image_locations.c
    doomed = (
        select(columns.key, columns.image_id, columns.store_id, columns.url, columns.metadata)
        .where(condition)
        .order_by(columns.doomed_at, columns.key)
        .limit(BATCH)
    )
    return [
        DoomedLocation(key, image_id, Location(store_id, url, json.loads(metadata)))
        for key, image_id, store_id, url, metadata in connection.execute(doomed)
    ]


def forget_location(connection: Connection, key: int) -> None:
    """Drop a doomed location. Any number of times."""
    columns = image_locations.c
    connection.execute(delete(image_locations).where(and_(columns.key == key, columns.doomed_at.is_not(None))))
