"""Claims: the right of one upload to give an image its bytes. Every function is a job of `Database`.

A claim is a row of `uploads`. It is held until it is released or another process takes it over, which needs the lease
to have run out; running out alone does not end it. A lease of 0 is one that was given up.

Jobs that end or take over a claim change its row first: on a server others run beside them, and what a statement reads
beside the rows that it changes may have been overtaken.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, delete, exists, insert, literal, select, update

from imgsvc.catalogue.changes import update_image
from imgsvc.catalogue.dialects import database_clock
from imgsvc.catalogue.images import ADD_LOCATION, find_image, move
from imgsvc.catalogue.projects import check_count_uploading, check_size_total
from imgsvc.catalogue.rows import location_text, microseconds
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_locations, images, uploads
from imgsvc.errors import ClaimLost, Conflict, WrongStatus
from imgsvc.model import Claim, DoomedLocation, Image, Lease, ProjectLimits, Status, StoredData

__all__ = [
    "activate_image",
    "begin_task",
    "claim_image",
    "claim_is_held",
    "end_task",
    "list_leases",
    "list_leases_elsewhere",
    "release_claim",
    "renew_claim",
    "take_over_claim",
]

_OF_IMAGE: Final = uploads.c.image_id == bindparam("of_image")
_IS_CLAIM: Final = (_OF_IMAGE, uploads.c.upload_id == bindparam("of_upload"))
_EXPIRED: Final = uploads.c.expires_at <= database_clock()
_LEASE: Final = bindparam("lease", type_=BigInteger)
_LEASE_END: Final = case((_LEASE == 0, literal(0, BigInteger)), else_=database_clock() + _LEASE)
MOST_LEASES: Final = 10_000
"""Of a store, that are looked at in one round: more than the uploads that run at a time."""

_IS_DOOMED: Final = and_(
    image_locations.c.image_id == images.c.id,
    image_locations.c.store_id == bindparam("into_store"),
    image_locations.c.doomed_at.is_not(None),
)
# A late deletion of bytes that the image had before would take those that come in their place.
_CLAIM: Final = Statement(move(Status.QUEUED, Status.SAVING, ~exists().where(_IS_DOOMED), claims=images.c.claims + 1))
_ACTIVATE: Final = Statement(
    move(
        Status.SAVING,
        Status.ACTIVE,
        size=bindparam("data_size"),
        virtual_size=bindparam("data_virtual_size"),
        checksum=bindparam("data_checksum"),
        os_hash_algo=bindparam("data_hash_algo"),
        os_hash_value=bindparam("data_hash_value"),
    )
)
_REQUEUE: Final = Statement(
    move(
        Status.SAVING,
        Status.QUEUED,
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
    )
)
_COUNT_CLAIM: Final = Statement(
    update(images).where(images.c.id == bindparam("image_id")).values(claims=images.c.claims + 1)
)
_CLAIMS: Final = Statement(select(images.c.claims).where(images.c.id == bindparam("image_id")))

_ADD_UPLOAD: Final = Statement(
    insert(uploads).values(
        image_id=bindparam("image_id"),
        upload_id=bindparam("upload_id"),
        store_id=bindparam("store_id"),
        expires_at=_LEASE_END,
    )
)
_RENEW: Final = Statement(
    update(uploads)
    .where(*_IS_CLAIM, exists().where(images.c.id == uploads.c.image_id, images.c.deleted_at.is_(None)))
    .values(expires_at=_LEASE_END)
)
_TAKE_OVER: Final = Statement(
    update(uploads)
    .where(*_IS_CLAIM, uploads.c.expires_at == bindparam("seen_expiry"), _EXPIRED)
    .values(upload_id=bindparam("new_upload"), expires_at=_LEASE_END)
)
_END: Final = Statement(delete(uploads).where(*_IS_CLAIM))
_HELD: Final = Statement(select(uploads.c.image_id).where(*_IS_CLAIM))
_LEASES: Final = Statement(
    select(uploads.c.image_id, uploads.c.upload_id, uploads.c.store_id, uploads.c.expires_at)
    .where(uploads.c.store_id == bindparam("store_id"))
    .order_by(uploads.c.expires_at)
    .limit(MOST_LEASES)
)


def claim_image(
    connection: Connection, image_id: str, store_id: str, lease: float, limits: ProjectLimits | None, now: datetime
) -> Claim:
    """queued -> saving. Raises NoSuchImage, WrongStatus, TooLarge; Conflict while its old bytes there are deleted."""
    check_count_uploading(connection, limits)
    claimed = _CLAIM.run(connection, image_id=image_id, into_store=store_id, now=microseconds(now))
    image = find_image(connection, image_id)
    if not claimed and image.status is Status.QUEUED:
        raise Conflict(f"Image {image_id} cannot take data before those that it had in store {store_id} are deleted.")
    if not claimed:
        raise WrongStatus(image_id, image.status, "only a queued image takes data")
    return Claim(_add_claim(connection, image_id, store_id, lease), image)


def begin_task(
    connection: Connection,
    image: Image,
    changed: Image,
    store_id: str,
    lease: float,
    now: datetime,
    limits: ProjectLimits | None,
) -> tuple[Image, str]:
    """Keep a changed image, and a claim with it. Raises as `update_image`, and Conflict when there is a claim."""
    current, _ = update_image(connection, image, changed, now, limits)
    _COUNT_CLAIM.run(connection, image_id=image.id)
    try:
        return current, _add_claim(connection, image.id, store_id, lease)
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise Conflict(f"Image {image.id} is being worked on already.") from error


def end_task(
    connection: Connection, image: Image, changed: Image, upload_id: str, now: datetime
) -> tuple[Image, list[DoomedLocation]]:
    """Keep what a task made of an image, and end its claim. Raises ClaimLost, and as `update_image`."""
    if not _END.run(connection, of_image=image.id, of_upload=upload_id):
        raise ClaimLost(image.id)
    return update_image(connection, image, changed, now)


def renew_claim(connection: Connection, image_id: str, upload_id: str, lease: float) -> None:
    """Raises ClaimLost, also when the image was deleted: no bytes that still come are of use then."""
    renewed = _RENEW.run(connection, of_image=image_id, of_upload=upload_id, lease=_microseconds(lease))
    if not renewed:
        raise ClaimLost(image_id)


def activate_image(
    connection: Connection,
    image_id: str,
    upload_id: str,
    data: StoredData,
    limits: ProjectLimits | None,
    now: datetime,
) -> None:
    """saving -> active, and the end of the claim. Raises ClaimLost, TooLarge."""
    check_size_total(connection, limits, data.size)
    if not _END.run(connection, of_image=image_id, of_upload=upload_id):
        raise ClaimLost(image_id)
    activated = _ACTIVATE.run(
        connection,
        image_id=image_id,
        now=microseconds(now),
        data_size=data.size,
        data_virtual_size=data.virtual_size,
        data_checksum=data.checksum,
        data_hash_algo=data.os_hash_algo,
        data_hash_value=data.os_hash_value,
    )
    if not activated:
        raise ClaimLost(image_id)
    location = data.location
    ADD_LOCATION.run(
        connection,
        image_id=image_id,
        store_id=location.store_id,
        url=location.url,
        metadata=location_text(location.metadata),
    )


def release_claim(connection: Connection, image_id: str, upload_id: str, now: datetime) -> bool:
    """The end of a claim without data: saving -> queued. Whether the claim was held."""
    if not _END.run(connection, of_image=image_id, of_upload=upload_id):
        return False
    _REQUEUE.run(connection, image_id=image_id, now=microseconds(now))
    return True


def list_leases(connection: Connection, store_id: str) -> list[Lease]:
    """Those of claims into a store, the ones that expire first; at most MOST_LEASES."""
    return [Lease(*row) for row in _LEASES.rows(connection, store_id=store_id)]


def list_leases_elsewhere(connection: Connection, store_ids: Collection[str]) -> list[Lease]:
    """Those of claims into stores that are none of these; at most MOST_LEASES."""
    columns = (uploads.c.image_id, uploads.c.upload_id, uploads.c.store_id, uploads.c.expires_at)
    elsewhere = select(*columns).where(uploads.c.store_id.not_in(store_ids))
    rows = connection.execute(elsewhere.order_by(uploads.c.expires_at).limit(MOST_LEASES))
    return [Lease(*row) for row in rows]


def take_over_claim(connection: Connection, lease: Lease, seconds: float) -> str | None:
    """The upload id of the claim that replaces the expired one; None if that was renewed, released or taken over."""
    upload_id = _upload_id(_claims(connection, lease.image_id) + 1)
    taken = _TAKE_OVER.run(
        connection,
        of_image=lease.image_id,
        of_upload=lease.upload_id,
        seen_expiry=lease.expires_at,
        new_upload=upload_id,
        lease=_microseconds(seconds),
    )
    if not taken:
        return None
    _COUNT_CLAIM.run(connection, image_id=lease.image_id)
    return upload_id


def claim_is_held(connection: Connection, image_id: str, upload_id: str) -> bool:
    """Whether that claim is held, expired or not."""
    return bool(_HELD.rows(connection, of_image=image_id, of_upload=upload_id))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _add_claim(connection: Connection, image_id: str, store_id: str, lease: float) -> str:
    """A claim on an image that has none, and whose claims were just counted. Its upload id."""
    upload_id = _upload_id(_claims(connection, image_id))
    _ADD_UPLOAD.run(connection, image_id=image_id, upload_id=upload_id, store_id=store_id, lease=_microseconds(lease))
    return upload_id


def _claims(connection: Connection, image_id: str) -> int:
    """How many of an image were counted."""
    for (number,) in _CLAIMS.rows(connection, image_id=image_id):
        return int(number)
    return 0


def _upload_id(number: int) -> str:
    """An id for the claim of this number: sorts after all earlier ones of the image, equals no other."""
    return f"{number:06d}-{secrets.token_hex(6)}"
