"""What the catalogue has in a store, and what tells it from other catalogues. Every function is a job of `Database`."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, Integer, bindparam, func, insert, select

from imgsvc.catalogue.lease_tables import lease_objects
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import catalogue_identity, image_locations, images
from imgsvc.errors import Conflict
from imgsvc.model import Location, Record

__all__ = ["add_identity", "count_objects", "find_identity", "list_known_objects", "list_records"]

_FIND: Final = Statement(select(catalogue_identity.c.catalogue_id).where(catalogue_identity.c.key == 1))
_ADD: Final = Statement(insert(catalogue_identity).values(key=1, catalogue_id=bindparam("catalogue_id")))
_COUNTS: Final = tuple(
    Statement(select(func.count()).select_from(table).where(table.c.store_id == bindparam("store_id")))
    for table in (image_locations, lease_objects)
)
_NAMES: Final = (
    (image_locations.c.store_id, image_locations.c.image_id),
    (lease_objects.c.store_id, lease_objects.c.name),
)
"""Of objects, with their stores."""
_RECORDS: Final = Statement(
    select(
        image_locations.c.key,
        image_locations.c.image_id,
        image_locations.c.store_id,
        image_locations.c.url,
        image_locations.c.metadata,
        *(images.c[name] for name in ("size", "checksum", "os_hash_algo", "os_hash_value")),
    )
    .join(images, images.c.id == image_locations.c.image_id)
    .where(
        image_locations.c.store_id == bindparam("store_id"),
        image_locations.c.doomed_at.is_(None),
        image_locations.c.key > bindparam("after"),
    )
    .order_by(image_locations.c.key)
    .limit(bindparam("limit", type_=Integer))
)


def find_identity(connection: Connection) -> str | None:
    """The id of this catalogue; None as long as nobody has asked for it."""
    for (catalogue_id,) in _FIND.rows(connection):
        return str(catalogue_id)
    return None


def add_identity(connection: Connection) -> None:
    """Give the catalogue an id. Raises Conflict: it has one."""
    try:
        _ADD.run(connection, catalogue_id=str(uuid4()))
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise Conflict("The catalogue has an id already.") from error


def count_objects(connection: Connection, store_id: str) -> int:
    """Locations in a store, those whose bytes are still to be deleted too, and objects under way."""
    return sum(int(count.rows(connection, store_id=store_id)[0][0]) for count in _COUNTS)


def list_known_objects(connection: Connection, store_id: str, names: Collection[str]) -> set[str]:
    """Those of some names, 1000 at most, that are images with bytes in a store, or objects under way there."""
    known: set[str] = set()
    for store_column, name_column in _NAMES:
        query = select(name_column).where(store_column == store_id, name_column.in_(names))
        known.update(connection.execute(query).scalars())
    return known


def list_records(connection: Connection, store_id: str, after: int, limit: int) -> list[Record]:
    """Locations in a store whose bytes must be there, with keys over `after`, in their order; at most `limit`."""
    rows = _RECORDS.rows(connection, store_id=store_id, after=after, limit=limit)
    return [
        Record(key, image_id, Location(store, url, json.loads(metadata)), *data)
        for key, image_id, store, url, metadata, *data in rows
    ]
