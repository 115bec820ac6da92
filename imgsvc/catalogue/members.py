"""With whom images are shared. Every function is a job of `Database`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from imgsvc.catalogue.images import lock_image
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_members
from imgsvc.errors import Conflict, NotFound, QuotaExceeded
from imgsvc.model import Member, MemberStatus

__all__ = ["add_member", "list_members", "remove_member", "set_member_status"]

_OF_IMAGE: Final = image_members.c.image_id == bindparam("of_image")
_ITSELF: Final = and_(_OF_IMAGE, image_members.c.member_id == bindparam("of_member"))
_COLUMNS: Final = ("image_id", "member_id", "status", "created_at", "updated_at")
_SELECT: Final = select(*(image_members.c[name] for name in _COLUMNS))
_ALL: Final = Statement(_SELECT.where(_OF_IMAGE).order_by(image_members.c.member_id))
_ONE: Final = Statement(_SELECT.where(_ITSELF))
_COUNT: Final = Statement(select(func.count()).select_from(image_members).where(_OF_IMAGE))
_ADD: Final = Statement(insert(image_members).values({name: bindparam(name) for name in _COLUMNS}))
_SET_STATUS: Final = Statement(
    update(image_members).where(_ITSELF).values(status=bindparam("new_status"), updated_at=bindparam("now"))
)
_REMOVE: Final = Statement(delete(image_members).where(_ITSELF))


def list_members(connection: Connection, image_id: str) -> list[Member]:
    """All of them, in the order of member_id."""
    return [_member(row) for row in _ALL.rows(connection, of_image=image_id)]


def add_member(connection: Connection, image_id: str, member_id: str, limit: int, now: datetime) -> Member:
    """A new member, pending. Raises NoSuchImage, Conflict, QuotaExceeded."""
    lock_image(connection, image_id)  # until the end of the transaction: members are added one after the other
    ((number,),) = _COUNT.rows(connection, of_image=image_id)
    if _ONE.rows(connection, of_image=image_id, of_member=member_id):
        raise Conflict(f"Project {member_id} is a member of image {image_id} already.")
    if 0 <= limit <= number:
        raise QuotaExceeded(f"An image may have {limit} members.")
    moment = microseconds(now)
    member = (image_id, member_id, MemberStatus.PENDING.value, moment, moment)
    _ADD.run(connection, **dict(zip(_COLUMNS, member, strict=True)))
    return _member(member)


def set_member_status(
    connection: Connection, image_id: str, member_id: str, status: MemberStatus, now: datetime
) -> Member:
    """Raises NotFound."""
    key = {"of_image": image_id, "of_member": member_id}
    if not _SET_STATUS.run(connection, **key, new_status=status.value, now=microseconds(now)):
        raise _not_found(image_id, member_id)
    return _member(_ONE.rows(connection, **key)[0])


def remove_member(connection: Connection, image_id: str, member_id: str) -> None:
    """Raises NotFound."""
    if not _REMOVE.run(connection, of_image=image_id, of_member=member_id):
        raise _not_found(image_id, member_id)


def _member(row: Sequence[Any]) -> Member:
    image_id, member_id, status, created_at, updated_at = row
    return Member(image_id, member_id, MemberStatus(status), instant(created_at), instant(updated_at))


def _not_found(image_id: str, member_id: str) -> NotFound:
    return NotFound(f"Project {member_id} is no member of image {image_id}.")
