"""Leases: the exclusive right to work on something. The functions are jobs of `Database`, or parts of jobs.

A lease is held until its holder ends it or another process takes it over. Another process may take it over only after
it has expired; its expiry alone does not end it. An expiry of 0 means that it was given up.
A job that ends or takes over a lease changes the lease's row first. On a server, other transactions run concurrently,
and what a statement reads from other rows may be outdated.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, exists, insert, literal, select, update

from imgsvc.catalogue.dialects import database_clock
from imgsvc.catalogue.lease_tables import lease_objects, leases
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import images
from imgsvc.errors import Conflict, LeaseLost
from imgsvc.lease_model import Lease, LeaseKind, LeaseObject

__all__ = [
    "add_lease",
    "add_lease_object",
    "count_lease",
    "end_lease",
    "is_under_way",
    "list_leases",
    "renew_lease",
    "take_over_lease",
]

MOST_LEASES: Final = 10_000
"""Leases that are read in one round of the reaper: more than there are concurrent uploads."""

_ITS_IMAGE: Final = images.c.id == bindparam("image_id")
_IS_LEASE: Final = (
    leases.c.resource_id == bindparam("of_resource"),
    leases.c.lease_id == bindparam("of_lease"),
)
_SECONDS: Final = bindparam("lease", type_=BigInteger)
_EXPIRY: Final = case((_SECONDS == 0, literal(0, BigInteger)), else_=database_clock() + _SECONDS)

_COUNT: Final = Statement(update(images).where(_ITS_IMAGE).values(claims=images.c.claims + 1))
_NUMBER: Final = Statement(select(images.c.claims).where(_ITS_IMAGE))
_ADD: Final = Statement(
    insert(leases).values(
        resource_id=bindparam("resource_id"),
        lease_id=bindparam("lease_id"),
        kind=bindparam("kind"),
        task_id=bindparam("task_id"),
        expires_at=_EXPIRY,
    )
)
_ADD_OBJECT: Final = Statement(
    insert(lease_objects).values({name: bindparam(name) for name in ("resource_id", "store_id", "name", "lease_id")})
)
_RENEW: Final = Statement(
    update(leases)
    .where(*_IS_LEASE, ~exists().where(images.c.id == leases.c.resource_id, images.c.deleted_at.is_not(None)))
    .values(expires_at=_EXPIRY)
)
_TAKE_OVER: Final = Statement(
    update(leases)
    .where(*_IS_LEASE, leases.c.expires_at == bindparam("seen_expiry"), leases.c.expires_at <= database_clock())
    .values(lease_id=bindparam("new_lease"), expires_at=_EXPIRY)
)
_END: Final = Statement(delete(leases).where(*_IS_LEASE))
# Locked, so that no other process takes it over before the end of the transaction.
_HELD: Final = Statement(select(leases.c.resource_id).where(*_IS_LEASE).with_for_update())
_UNDER_WAY: Final = Statement(
    select(lease_objects.c.resource_id).where(
        lease_objects.c.store_id == bindparam("in_store"),
        lease_objects.c.name == bindparam("of_name"),
        lease_objects.c.lease_id == bindparam("of_lease"),
    )
)
_COLUMNS: Final = tuple(leases.c[name] for name in ("resource_id", "lease_id", "kind", "expires_at", "task_id"))
_LEASES: Final = Statement(select(*_COLUMNS).order_by(leases.c.expires_at).limit(MOST_LEASES))
_LEASE: Final = Statement(select(*_COLUMNS).where(*_IS_LEASE))
_OBJECT_COLUMNS: Final = tuple(lease_objects.c[name] for name in ("store_id", "name", "lease_id"))
_ORDER: Final = ("store_id", "name", "lease_id")
_ALL_OBJECTS: Final = Statement(
    select(lease_objects.c.resource_id, *_OBJECT_COLUMNS).order_by(*(lease_objects.c[name] for name in _ORDER))
)
_OBJECTS: Final = Statement(
    select(*_OBJECT_COLUMNS)
    .where(lease_objects.c.resource_id == bindparam("of_resource"))
    .order_by(*(lease_objects.c[name] for name in _ORDER))
)


def count_lease(connection: Connection, image_id: str) -> None:
    """Increase the number of leases on an image, before a lease is added. Its id then sorts after all earlier ids."""
    _COUNT.run(connection, image_id=image_id)


def add_lease(
    connection: Connection,
    resource_id: str,
    kind: LeaseKind,
    seconds: float,
    task_id: str | None = None,
    store_ids: Iterable[str] = (),
) -> str:
    """Add a lease, and return its id. Raises Conflict if there is one on the resource.

    seconds: time from now until it expires. store_ids: stores in which its holder begins an object with the name of the
    resource.
    """
    lease_id = _lease_id(_number(connection, resource_id))
    values = {"resource_id": resource_id, "lease_id": lease_id, "kind": kind.value, "task_id": task_id}
    try:
        _ADD.run(connection, **values, lease=_microseconds(seconds))
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise Conflict(f"{resource_id} is being worked on already.") from error
    for store_id in store_ids:
        _ADD_OBJECT.run(connection, resource_id=resource_id, lease_id=lease_id, store_id=store_id, name=resource_id)
    return lease_id


def add_lease_object(connection: Connection, resource_id: str, lease_id: str, store_id: str, name: str) -> None:
    """Record one more object that the holder is about to begin. May be repeated. Raises LeaseLost."""
    if not _HELD.rows(connection, of_resource=resource_id, of_lease=lease_id):
        raise LeaseLost(resource_id)
    there = _OBJECTS.rows(connection, of_resource=resource_id)
    if (store_id, name, lease_id) not in {tuple(row) for row in there}:
        _ADD_OBJECT.run(connection, resource_id=resource_id, lease_id=lease_id, store_id=store_id, name=name)


def renew_lease(connection: Connection, resource_id: str, lease_id: str, seconds: float) -> None:
    """Extend a lease. Raises LeaseLost, also if the image was deleted, because its data is not needed any more."""
    renewed = _RENEW.run(connection, of_resource=resource_id, of_lease=lease_id, lease=_microseconds(seconds))
    if not renewed:
        raise LeaseLost(resource_id)


def end_lease(connection: Connection, resource_id: str, lease_id: str) -> bool:
    """End a lease. Returns whether it was held. A job changes the resource of the lease only after this."""
    return bool(_END.run(connection, of_resource=resource_id, of_lease=lease_id))


def list_leases(connection: Connection) -> list[Lease]:
    """Return all leases, at most MOST_LEASES. The ones that expire first come first."""
    objects: defaultdict[str, list[LeaseObject]] = defaultdict(list)
    rows = _LEASES.rows(connection)
    for resource_id, *row in _ALL_OBJECTS.rows(connection):
        objects[resource_id].append(LeaseObject(*row))
    return [_lease(row, objects[row[0]]) for row in rows]


def take_over_lease(connection: Connection, lease: Lease, seconds: float) -> Lease | None:
    """Return the lease of the new holder; None if the lease was renewed, ended or taken over since it was read.

    The lease has the objects of all its holders.
    """
    resource_id = lease.resource_id
    number = max(_number(connection, resource_id), int(lease.lease_id.partition("-")[0])) + 1
    lease_id = _lease_id(number)
    taken = _TAKE_OVER.run(
        connection,
        of_resource=resource_id,
        of_lease=lease.lease_id,
        seen_expiry=lease.expires_at,
        new_lease=lease_id,
        lease=_microseconds(seconds),
    )
    if not taken:
        return None
    _COUNT.run(connection, image_id=resource_id)
    (row,) = _LEASE.rows(connection, of_resource=resource_id, of_lease=lease_id)
    objects = _OBJECTS.rows(connection, of_resource=resource_id)
    return _lease(row, [LeaseObject(*each) for each in objects])


def is_under_way(connection: Connection, store_id: str, name: str, lease_id: str) -> bool:
    """Whether an object that was begun under `lease_id` belongs to a lease that has not ended."""
    return bool(_UNDER_WAY.rows(connection, in_store=store_id, of_name=name, of_lease=lease_id))


def _lease(row: Iterable[Any], objects: list[LeaseObject]) -> Lease:
    resource_id, lease_id, kind, expires_at, task_id = row
    return Lease(resource_id, lease_id, LeaseKind(kind), expires_at, task_id, tuple(objects))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _number(connection: Connection, resource_id: str) -> int:
    """Return the number of leases on an image; 1 for a resource that is not an image."""
    for (number,) in _NUMBER.rows(connection, image_id=resource_id):
        return int(number)
    return 1


def _lease_id(number: int) -> str:
    """Return a unique id for the lease with this number. It sorts after all earlier ids of the resource."""
    return f"{number:06d}-{secrets.token_hex(6)}"
