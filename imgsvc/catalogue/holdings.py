"""The objects that the catalogue has in a store, and the id of the catalogue. The functions are jobs of `Database`."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from imgsvc.catalogue.lease_tables import lease_objects
from imgsvc.catalogue.tables import catalogue_identity, image_locations, images
from imgsvc.errors import Conflict
from imgsvc.model import Location, Record

__all__ = ["add_identity", "count_objects", "find_identity", "list_known_objects", "list_records"]

_LOCATED: Final = ("size", "checksum", "os_hash_algo", "os_hash_value")
_NAMES: Final = (
    (image_locations.c.store_id, image_locations.c.image_id),
    (lease_objects.c.store_id, lease_objects.c.name),
)
"""The columns with names of objects, and those with their stores."""


def find_identity(connection: Connection) -> str | None:
    """Return the id of this catalogue; None if it has none yet."""
    found = select(catalogue_identity.c.catalogue_id).where(catalogue_identity.c.key == 1)
    return connection.execute(found).scalar_one_or_none()


def add_identity(connection: Connection) -> None:
    """Give the catalogue an id. Raises Conflict if it has one."""
    try:
        connection.execute(insert(catalogue_identity), {"key": 1, "catalogue_id": str(uuid4())})
    except IntegrityError as error:
        raise Conflict("The catalogue has an id already.") from error


def count_objects(connection: Connection, store_id: str) -> int:
    """Return the number of locations in a store, with pending deletions, and of objects that are being written."""
    counts = (select(func.count()).where(store_column == store_id) for store_column, _ in _NAMES)
    return sum(connection.execute(count).scalar_one() for count in counts)


def list_known_objects(connection: Connection, store_id: str, names: Collection[str]) -> set[str]:
    """Return those of the names, at most 1000, that have a location or an object under way in a store."""
    known: set[str] = set()
    for store_column, name_column in _NAMES:
        query = select(name_column).where(store_column == store_id, name_column.in_(names))
        known.update(connection.execute(query).scalars())
    return known


def list_records(connection: Connection, store_id: str, after: int, limit: int) -> list[Record]:
    """Return the records of a store with keys above `after`, sorted by key; at most `limit`. No pending deletions."""
    columns = image_locations.c
    found = (
        select(
            columns.key,
            columns.image_id,
            columns.store_id,
            columns.url,
            columns.metadata,
            *(images.c[name] for name in _LOCATED),
        )
        .join(images, images.c.id == columns.image_id)
        .where(columns.store_id == store_id, columns.doomed_at.is_(None), columns.key > after)
        .order_by(columns.key)
        .limit(limit)
    )
    return [
        Record(key, image_id, Location(store, url, json.loads(metadata)), *data)
        for key, image_id, store, url, metadata, *data in connection.execute(found)
    ]
