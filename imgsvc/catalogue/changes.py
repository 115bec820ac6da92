"""Changes of whole images. The functions are jobs of `Database`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Connection, and_, bindparam, delete, select, update

from imgsvc.catalogue.images import (
    ADD_LOCATION,
    ADD_PROPERTY,
    ADD_TAG,
    MARK_FOR_DELETION,
    find_image,
    later,
    pending_deletion,
    set_values,
)
from imgsvc.catalogue.projects import check_size_total
from imgsvc.catalogue.rows import COLUMNS, instant, location_text, microseconds
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_locations, image_properties, image_tags, images
from imgsvc.errors import Conflict, ImageChanged
from imgsvc.model import TRANSITIONS, Image, Location, PendingDeletion, ProjectLimits, Status

__all__ = ["restore_locations", "update_image"]

_CHANGEABLE: Final = (*(name for name in COLUMNS if name not in ("id", "created_at", "updated_at")), "weight")

_UPDATE: Final = Statement(
    update(images)
    .where(
        images.c.id == bindparam("image_id"),
        images.c.updated_at == bindparam("seen"),
        images.c.status == bindparam("seen_status"),
        images.c.deleted_at.is_(None),
    )
    .values(updated_at=bindparam("now"), **{name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)
_REMOVE_TAG: Final = Statement(
    delete(image_tags).where(image_tags.c.image_id == bindparam("image_id"), image_tags.c.value == bindparam("value"))
)
_ITS_PROPERTY: Final = and_(
    image_properties.c.image_id == bindparam("of_image"), image_properties.c.name == bindparam("of_name")
)
_REMOVE_PROPERTY: Final = Statement(delete(image_properties).where(_ITS_PROPERTY))
_SET_PROPERTY: Final = Statement(update(image_properties).where(_ITS_PROPERTY).values(value=bindparam("new_value")))
_LOCATIONS: Final = Statement(
    select(
        image_locations.c.key,
        image_locations.c.image_id,
        image_locations.c.store_id,
        image_locations.c.url,
        image_locations.c.metadata,
    )
    .where(image_locations.c.image_id == bindparam("image_id"), image_locations.c.doomed_at.is_(None))
    .order_by(image_locations.c.key)
)
_PENDING_AT: Final = Statement(
    select(image_locations.c.key).where(
        image_locations.c.image_id == bindparam("image_id"),
        image_locations.c.store_id == bindparam("store_id"),
        image_locations.c.url == bindparam("url"),
        image_locations.c.doomed_at.is_not(None),
    )
)
_SET_LOCATION_METADATA: Final = Statement(
    update(image_locations)
    .where(image_locations.c.key == bindparam("location_key"))
    .values(metadata=bindparam("new_metadata"))
)


def update_image(
    connection: Connection, image: Image, changed: Image, now: datetime, limits: ProjectLimits | None = None
) -> tuple[Image, list[PendingDeletion]]:
    """Replace an image. Returns the image as it is now, and its removed locations.

    limits: for the bytes of added locations. Raises NoSuchImage; ImageChanged; TooLarge; Conflict for an added location
    whose bytes are being deleted; ValueError for a change of status that TRANSITIONS does not allow, or to `deleted`,
    which is the job of `delete_image`.
    """
    moves = changed.status is not image.status
    if changed.status is Status.DELETED or (moves and changed.status not in TRANSITIONS[image.status]):
        raise ValueError(f"no image goes from {image.status} to {changed.status}")
    if changed.located_bytes > image.located_bytes:
        check_size_total(connection, limits, changed.located_bytes - image.located_bytes)
    seen = microseconds(image.updated_at)
    moment = max(microseconds(now), seen + 1)  # so that no two states of an image have the same time
    values = {f"new_{name}": value for name, value in set_values(changed).items() if name in _CHANGEABLE}
    if not _UPDATE.run(connection, image_id=image.id, seen=seen, seen_status=image.status.value, now=moment, **values):
        find_image(connection, image.id)
        raise ImageChanged(image.id)
    _update_tags(connection, image, changed)
    _update_properties(connection, image, changed)
    pending = _update_locations(connection, image, changed, moment)
    return evolve(changed, updated_at=instant(moment), tags=tuple(sorted(set(changed.tags)))), pending


_IS_PENDING: Final = and_(image_locations.c.key == bindparam("location_key"), image_locations.c.doomed_at.is_not(None))
# Locked, so that no other transaction removes them while their image is restored.
_STILL_PENDING: Final = Statement(select(image_locations.c.key).where(_IS_PENDING).with_for_update())
_SPARE: Final = Statement(update(image_locations).where(_IS_PENDING).values(doomed_at=None))
_TOUCH: Final = Statement(
    update(images).where(images.c.id == bindparam("image_id"), images.c.deleted_at.is_(None)).values(updated_at=later())
)
_REVIVE: Final = Statement(
    update(images)
    .where(images.c.id == bindparam("image_id"), images.c.status == Status.DELETED.value)
    .values(updated_at=later(), deleted_at=None, deleted_from=None, status=bindparam("old_status"))
)


def restore_locations(
    connection: Connection, image_id: str, keys: Sequence[int], status: Status | None, now: datetime
) -> bool:
    """Give pending deletions back to their image, and restore its `status` if it was deleted.

    Returns whether that was done: it is not if none of them exists any more, or if the image was restored or removed
    meanwhile.
    """
    pending = [key for key in keys if _STILL_PENDING.rows(connection, location_key=key)]
    if not pending:
        return False
    moment = microseconds(now)
    if status is None:
        found = _TOUCH.run(connection, image_id=image_id, now=moment)
    else:
        found = _REVIVE.run(connection, image_id=image_id, now=moment, old_status=status.value)
    if found:
        _for_each(connection, _SPARE, [{"location_key": key} for key in pending])
    return bool(found)


def _update_tags(connection: Connection, image: Image, changed: Image) -> None:
    before, after = set(image.tags), set(changed.tags)
    _for_each(connection, _REMOVE_TAG, [{"image_id": image.id, "value": tag} for tag in before - after])
    _for_each(connection, ADD_TAG, [{"image_id": image.id, "value": tag} for tag in after - before])


def _update_properties(connection: Connection, image: Image, changed: Image) -> None:
    before, after = image.properties, changed.properties
    of_image = {"of_image": image.id}
    _for_each(connection, _REMOVE_PROPERTY, [of_image | {"of_name": name} for name in before.keys() - after.keys()])
    _for_each(
        connection,
        _SET_PROPERTY,
        [
            of_image | {"of_name": name, "new_value": after[name]}
            for name in before.keys() & after.keys()
            if before[name] != after[name]
        ],
    )
    _for_each(
        connection,
        ADD_PROPERTY,
        [{"image_id": image.id, "name": name, "value": after[name]} for name in after.keys() - before.keys()],
    )


def _update_locations(connection: Connection, image: Image, changed: Image, moment: int) -> list[PendingDeletion]:
    """Add, change and remove locations, which are identified by store and URL. Returns the removed ones."""
    if image.locations == changed.locations and all(
        before.metadata == after.metadata for before, after in zip(image.locations, changed.locations, strict=True)
    ):
        return []
    pending: list[PendingDeletion] = []
    wanted: dict[tuple[str, str], Location] = {(place.store_id, place.url): place for place in changed.locations}
    for row in _LOCATIONS.rows(connection, image_id=image.id):
        before = pending_deletion(*row)
        place = wanted.pop((before.location.store_id, before.location.url), None)
        if place is None:
            MARK_FOR_DELETION.run(connection, location_key=before.key, now=moment)
            pending.append(before)
        elif place.metadata != before.location.metadata:
            _SET_LOCATION_METADATA.run(connection, location_key=before.key, new_metadata=location_text(place.metadata))
    for place in wanted.values():
        if _PENDING_AT.rows(connection, image_id=image.id, store_id=place.store_id, url=place.url):
            raise Conflict(f"The data that image {image.id} had at that location is being deleted.")
        ADD_LOCATION.run(
            connection,
            image_id=image.id,
            store_id=place.store_id,
            url=place.url,
            metadata=location_text(place.metadata),
        )
    return pending


def _for_each(connection: Connection, statement: Statement, rows: list[dict[str, Any]]) -> None:
    if rows:
        statement.run_for_each(connection, rows)
