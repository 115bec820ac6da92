"""Between rows and values: one select that fetches whole images, and what makes an Image of its row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import FromClause, ScalarSelect, Select, select

from imgsvc.catalogue.dialects import json_rows
from imgsvc.catalogue.tables import image_locations, image_properties, image_tags, images
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
_STATUSES: Final = {status.value: status for status in Status}
_VISIBILITIES: Final = {visibility.value: visibility for visibility in Visibility}


def microseconds(time: datetime) -> int:
    """An aware datetime as the tables keep it."""
    return (time - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """The datetime, in UTC, of what `microseconds` gave."""
    return _EPOCH + timedelta(microseconds=value)


def location_text(metadata: Any) -> str:
    """The metadata of a Location as the table keeps it."""
    return json.dumps(dict(metadata))


def select_images(source: FromClause = images) -> Select[Any]:
    """A select of whole images from `source`, which has the columns of `images`; rows are for `image_from_row`.

    What an image has many of comes as JSON in the image's own row: one statement, whatever the number of images.
    """

    def gathered(table: FromClause, *names: str) -> ScalarSelect[Any]:
        columns = [table.c[name] for name in names]
        return select(json_rows(*columns)).where(table.c.image_id == source.c.id).correlate(source).scalar_subquery()

    return select(
        *(source.c[name] for name in COLUMNS),
        gathered(image_tags, "value"),
        gathered(image_properties, "name", "value"),
        gathered(image_locations, "key", "store_id", "url", "metadata"),
    )


def image_from_row(row: Sequence[Any]) -> Image:
    """The Image of a row of `select_images`. Tags come sorted, locations as they were added."""
    *plain, tags, properties, locations = row
    values = dict(zip(COLUMNS, plain, strict=True))
    values["created_at"] = instant(values["created_at"])
    values["updated_at"] = instant(values["updated_at"])
    values["status"] = _STATUSES[values["status"]]
    values["visibility"] = _VISIBILITIES[values["visibility"]]
    values["protected"] = bool(values["protected"])
    values["os_hidden"] = bool(values["os_hidden"])
    return Image(
        **values,
        tags=tuple(sorted([tag for (tag,) in json.loads(tags)])),
        properties=dict(json.loads(properties)),
        locations=tuple(
            [Location(store_id, url, json.loads(text)) for _, store_id, url, text in sorted(json.loads(locations))]
        ),
    )
