"""Claims: the right of one upload to give an image its bytes. Every function is a job of `Database`.

A claim is a row of `uploads`. It is held until it is released or another process takes it over, which needs the lease
to have run out; running out alone does not end it.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, update

from imgsvc.catalogue.dialects import database_clock
from imgsvc.catalogue.images import BATCH, find_image, move
from imgsvc.catalogue.rows import location_text
from imgsvc.catalogue.tables import image_locations, images, uploads
from imgsvc.errors import ClaimLost, NoSuchImage, WrongStatus
from imgsvc.model import Claim, ExpiredUpload, Status, StoredData

__all__ = [
    "activate_image",
    "claim_image",
    "claim_is_held",
    "list_expired_uploads",
    "release_claim",
    "renew_claim",
    "take_over_claim",
]

_NO_DATA: Final = {
    "size": None,
    "virtual_size": None,
    "checksum": None,
    "os_hash_algo": None,
    "os_hash_value": None,
}


def claim_image(connection: Connection, image_id: str, store_id: str, lease: float, now: datetime) -> Claim:
    """queued -> saving. Raises NoSuchImage, WrongStatus."""
    if not move(connection, image_id, Status.QUEUED, Status.SAVING, now):
        image = find_image(connection, image_id)
        raise WrongStatus(image_id, image.status, "data can be uploaded to a queued image only")
    upload_id = _next_upload_id(connection, image_id)
    connection.execute(
        insert(uploads).values(image_id=image_id, upload_id=upload_id, store_id=store_id, expires_at=_after(lease))
    )
    return Claim(upload_id, find_image(connection, image_id))


def renew_claim(connection: Connection, image_id: str, upload_id: str, lease: float) -> None:
    """Raises ClaimLost, also when the image was deleted: no bytes that still come are of use then."""
    renewed = connection.execute(
        update(uploads)
        .where(
            *_is_claim(image_id, upload_id),
            exists().where(images.c.id == uploads.c.image_id, images.c.deleted_at.is_(None)),
        )
        .values(expires_at=_after(lease))
    )
    if renewed.rowcount == 0:
        raise ClaimLost(image_id)


def activate_image(connection: Connection, image_id: str, upload_id: str, data: StoredData, now: datetime) -> None:
    """saving -> active, and the end of the claim. Raises ClaimLost."""
    activated = move(
        connection,
        image_id,
        Status.SAVING,
        Status.ACTIVE,
        now,
        exists().where(*_is_claim(image_id, upload_id)),
        size=data.size,
        virtual_size=data.virtual_size,
        checksum=data.checksum,
        os_hash_algo=data.os_hash_algo,
        os_hash_value=data.os_hash_value,
    )
    if not activated:
        raise ClaimLost(image_id)
    location = data.location
    connection.execute(
        insert(image_locations).values(
            image_id=image_id,
            store_id=location.store_id,
            url=location.url,
            metadata=location_text(location.metadata),
        )
    )
    connection.execute(delete(uploads).where(*_is_claim(image_id, upload_id)))


def release_claim(connection: Connection, image_id: str, upload_id: str, now: datetime) -> bool:
    """The end of a claim without data: saving -> queued. Whether the claim was held."""
    released = connection.execute(delete(uploads).where(*_is_claim(image_id, upload_id)))
    if released.rowcount == 0:
        return False
    move(connection, image_id, Status.SAVING, Status.QUEUED, now, **_NO_DATA)
    return True


def list_expired_uploads(connection: Connection) -> list[ExpiredUpload]:
    """Those that have been expired longest first."""
    columns = uploads.c
    expired = (
        select(columns.image_id, columns.upload_id, columns.store_id)
        .where(columns.expires_at <= database_clock())
        .order_by(columns.expires_at)
        .limit(BATCH)
    )
    return [ExpiredUpload(*row) for row in connection.execute(expired)]


def take_over_claim(connection: Connection, expired: ExpiredUpload, lease: float) -> str | None:
    """The upload id of the claim that replaces the expired one; None if that was renewed, released or taken over."""
    upload_id = _next_upload_id(connection, expired.image_id)
    taken = connection.execute(
        update(uploads)
        .where(*_is_claim(expired.image_id, expired.upload_id), uploads.c.expires_at <= database_clock())
        .values(upload_id=upload_id, expires_at=_after(lease))
    )
    return upload_id if taken.rowcount == 1 else None


def claim_is_held(connection: Connection, image_id: str, upload_id: str) -> bool:
    """Whether that claim is held, expired or not."""
    return connection.execute(select(uploads.c.image_id).where(*_is_claim(image_id, upload_id))).first() is not None


def _is_claim(image_id: str, upload_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return uploads.c.image_id == image_id, uploads.c.upload_id == upload_id


def _after(lease: float) -> ColumnElement[int]:
    """`lease` seconds from now."""
    return database_clock() + round(lease * 1_000_000)


def _next_upload_id(connection: Connection, image_id: str) -> str:
    """An id that sorts after all earlier ones of the image. Raises NoSuchImage."""
    connection.execute(update(images).where(images.c.id == image_id).values(claims=images.c.claims + 1))
    number: Any = connection.execute(select(images.c.claims).where(images.c.id == image_id)).scalar()
    if number is None:
        raise NoSuchImage(image_id)
    return f"{number:06d}-{secrets.token_hex(6)}"
