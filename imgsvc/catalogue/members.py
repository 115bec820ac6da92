"""The members of images. The functions are jobs of `Database`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from imgsvc.catalogue.images import lock_image
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.catalogue.tables import image_members
from imgsvc.errors import Conflict, NotFound, QuotaExceeded
from imgsvc.model import Member, MemberStatus

__all__ = ["add_member", "list_members", "remove_member", "set_member_status"]

_COLUMNS: Final = ("image_id", "member_id", "status", "created_at", "updated_at")
_SELECT: Final = select(*(image_members.c[name] for name in _COLUMNS))


def list_members(connection: Connection, image_id: str) -> list[Member]:
    """Return all members of an image, sorted by member_id."""
    found = _SELECT.where(image_members.c.image_id == image_id).order_by(image_members.c.member_id)
    return [_member(row) for row in connection.execute(found)]


def add_member(connection: Connection, image_id: str, member_id: str, limit: int, now: datetime) -> Member:
    """Add a member with the status pending. Raises NoSuchImage, Conflict, QuotaExceeded."""
    lock_image(connection, image_id)  # so that concurrent transactions count the members correctly
    count = select(func.count()).select_from(image_members).where(image_members.c.image_id == image_id)
    number = connection.execute(count).scalar_one()
    if connection.execute(_SELECT.where(_is_member(image_id, member_id))).first():
        raise Conflict(f"Project {member_id} is a member of image {image_id} already.")
    if 0 <= limit <= number:
        raise QuotaExceeded(f"An image may have {limit} members.")
    moment = microseconds(now)
    member = (image_id, member_id, MemberStatus.PENDING.value, moment, moment)
    connection.execute(insert(image_members), dict(zip(_COLUMNS, member, strict=True)))
    return _member(member)


def set_member_status(
    connection: Connection, image_id: str, member_id: str, status: MemberStatus, now: datetime
) -> Member:
    """Change the status of a member, and return the member. Raises NotFound."""
    itself = _is_member(image_id, member_id)
    changed = update(image_members).where(itself).values(status=status.value, updated_at=microseconds(now))
    if not connection.execute(changed).rowcount:
        raise _not_found(image_id, member_id)
    return _member(connection.execute(_SELECT.where(itself)).one())


def remove_member(connection: Connection, image_id: str, member_id: str) -> None:
    """Remove a member. Raises NotFound."""
    if not connection.execute(delete(image_members).where(_is_member(image_id, member_id))).rowcount:
        raise _not_found(image_id, member_id)


def _is_member(image_id: str, member_id: str) -> ColumnElement[bool]:
    return and_(image_members.c.image_id == image_id, image_members.c.member_id == member_id)


def _member(row: Sequence[Any]) -> Member:
    image_id, member_id, status, created_at, updated_at = row
    return Member(image_id, member_id, MemberStatus(status), instant(created_at), instant(updated_at))


def _not_found(image_id: str, member_id: str) -> NotFound:
    return NotFound(f"Project {member_id} is not a member of image {image_id}.")
