"""Between rows and values: one select that fetches whole images, and what makes an Image of its row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import FromClause, ScalarSelect, Select, select

from imgsvc.catalogue.dialects import json_rows
from imgsvc.catalogue.tables import image_locations, image_members, image_properties, image_tags, images
from imgsvc.model import Image, Location, Status, Visibility

__all__ = ["COLUMNS", "image_from_row", "instant", "location_text", "microseconds", "select_images"]

COLUMNS: Final = (
    "id",
    "created_at",
    "updated_at",
    "status",
    "name",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
)
"""The fields of Image that are columns of `images`, in the order of Image's arguments."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# `json.loads` less its care for text that JSON is only a part of, a quarter of the time of a row.
_parse: Final = json.JSONDecoder().raw_decode
_STATUSES: Final = {status.value: status for status in Status}
_VISIBILITIES: Final = {visibility.value: visibility for visibility in Visibility}


def microseconds(time: datetime) -> int:
    """An aware datetime as the tables keep it."""
    return (time - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """The datetime, in UTC, of what `microseconds` gave."""
    return datetime.fromtimestamp(value / 1_000_000, UTC)


def location_text(metadata: Any) -> str:
    """The metadata of a Location as the table keeps it."""
    return json.dumps(dict(metadata))


def select_images(source: FromClause = images) -> Select[Any]:
    """A select of whole images from `source`, which has the columns of `images`; rows are for `image_from_row`.

    What an image has many of comes as JSON in the image's own row: one statement, whatever the number of images.
    """

    def gathered(table: FromClause, *names: str) -> ScalarSelect[Any]:
        columns = [table.c[name] for name in names]
        rows = select(json_rows(*columns)).where(table.c.image_id == source.c.id)
        if "doomed_at" in table.c:
            rows = rows.where(table.c.doomed_at.is_(None))
        return rows.correlate(source).scalar_subquery()

    return select(
        *(source.c[name] for name in COLUMNS),
        gathered(image_tags, "value"),
        gathered(image_properties, "name", "value"),
        gathered(image_locations, "key", "store_id", "url", "metadata"),
        gathered(image_members, "member_id"),
    )


def image_from_row(row: Sequence[Any]) -> Image:
    """The Image of a row of `select_images`. Tags come sorted, locations as they were added."""
    image_id, created_at, updated_at, status, name, visibility, protected, hidden, *plain = row[:-4]
    tags, properties, locations, members = [_parse(text)[0] for text in row[-4:]]
    fields: list[Any] = [
        image_id,
        instant(created_at),
        instant(updated_at),
        _STATUSES[status],
        name,
        _VISIBILITIES[visibility],
        bool(protected),
        bool(hidden),
        *plain,
        tuple(sorted([tag for (tag,) in tags])),
        dict(properties),
        tuple([Location(store_id, url, _parse(text)[0]) for _, store_id, url, text in sorted(locations)]),
        frozenset([member for (member,) in members]),
    ]
    return Image(*fields)
