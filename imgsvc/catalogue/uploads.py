"""Uploads: images that get their data from a client. The functions are jobs of `Database`.

An upload has a lease, see `leases.py`. The object of the lease is the image's object in a store.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, bindparam, exists

from imgsvc.catalogue.images import ADD_LOCATION, find_image, move
from imgsvc.catalogue.leases import add_lease, end_lease
from imgsvc.catalogue.projects import check_count_uploading, check_size_total
from imgsvc.catalogue.rows import location_text, microseconds
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_locations, images
from imgsvc.errors import Conflict, LeaseLost, WrongStatus
from imgsvc.lease_model import LeaseKind
from imgsvc.model import Claim, ProjectLimits, Status, StoredData

__all__ = ["activate_image", "claim_image", "release_image"]

_IS_PENDING: Final = and_(
    image_locations.c.image_id == images.c.id,
    image_locations.c.store_id == bindparam("into_store"),
    image_locations.c.doomed_at.is_not(None),
)
# A late deletion of the image's earlier bytes would delete the new bytes in their place.
_CLAIM: Final = Statement(move(Status.QUEUED, Status.SAVING, ~exists().where(_IS_PENDING), claims=images.c.claims + 1))
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


def claim_image(
    connection: Connection, image_id: str, store_id: str, lease: float, limits: ProjectLimits | None, now: datetime
) -> Claim:
    """Change queued to saving. Raises NoSuchImage; WrongStatus; TooLarge; Conflict for a pending deletion."""
    check_count_uploading(connection, limits)
    claimed = _CLAIM.run(connection, image_id=image_id, into_store=store_id, now=microseconds(now))
    image = find_image(connection, image_id)
    if not claimed and image.status is Status.QUEUED:
        raise Conflict(f"Image {image_id} cannot get data before its former data in store {store_id} is deleted.")
    if not claimed:
        raise WrongStatus(image_id, image.status, "only a queued image takes data")
    return Claim(add_lease(connection, image_id, LeaseKind.UPLOAD, lease, store_ids=[store_id]), image)


def activate_image(
    connection: Connection,
    image_id: str,
    lease_id: str,
    data: StoredData,
    limits: ProjectLimits | None,
    now: datetime,
) -> None:
    """Change saving to active, and end the claim. Raises LeaseLost, TooLarge."""
    check_size_total(connection, limits, data.size)
    if not end_lease(connection, image_id, lease_id):
        raise LeaseLost(image_id)
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
        raise LeaseLost(image_id)
    location = data.location
    ADD_LOCATION.run(
        connection,
        image_id=image_id,
        store_id=location.store_id,
        url=location.url,
        metadata=location_text(location.metadata),
    )


def release_image(connection: Connection, image_id: str, lease_id: str, now: datetime) -> bool:
    """End a claim without data: change saving to queued. Returns whether the claim was held."""
    if not end_lease(connection, image_id, lease_id):
        return False
    _REQUEUE.run(connection, image_id=image_id, now=microseconds(now))
    return True
