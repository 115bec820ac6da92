"""Converts between rows and values: one select that fetches whole images, and the conversion of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
from sqlalchemy import ColumnElement, FromClause, ScalarSelect, Select, case, literal, null, select

from imgsvc.catalogue.dialects import json_rows
from imgsvc.catalogue.tables import image_locations, image_members, image_properties, image_tags, images
from imgsvc.image_fields import FIELDS, Source
from imgsvc.model import Image, Location, Status, Visibility

__all__ = [
    "COLUMNS",
    "image_from_row",
    "instant",
    "is_whole",
    "location_text",
    "microseconds",
    "row_size",
    "select_images",
    "weight",
]

LARGE: Final = 16 << 10
"""Bytes of weight above which an image is not read in one row."""

COLUMNS: Final = tuple(
    attribute.name
    for attribute in attrs.fields(Image)
    if attribute.name in FIELDS and FIELDS[attribute.name].source is Source.COLUMN
)
"""The fields of Image that are columns of `images`, in the order of Image's arguments."""
_NAME: Final = COLUMNS.index("name")
_OWNER: Final = COLUMNS.index("owner")

BARE_SIZE: Final = 1200
"""Bytes of JSON of an image without the texts that users set."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Unlike `json.loads`, this does not check for text before and after: that is a quarter of the time for a row.
_parse: Final = json.JSONDecoder().raw_decode
_dump: Final = json.JSONEncoder(ensure_ascii=False).encode
_STATUSES: Final = {status.value: status for status in Status}
_VISIBILITIES: Final = {visibility.value: visibility for visibility in Visibility}


def microseconds(time: datetime) -> int:
    """Return an aware datetime in the form of the tables."""
    return (time - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """Return the datetime, in UTC, of a time in the form of the tables."""
    return datetime.fromtimestamp(value / 1_000_000, UTC)


def location_text(metadata: Any) -> str:
    """Return the metadata of a Location in the form of the table."""
    return json.dumps(dict(metadata))


def select_images(source: FromClause = images) -> Select[Any]:
    """Return a select of whole images, whose rows are for `image_from_row`. source: has the columns of `images`.

    The tags, properties, locations and members of an image are JSON texts in its row: one statement reads any number of
    images. The properties and locations of an image that is LARGE are NULL, so that the size of a row is limited.
    """

    def gathered(table: FromClause, *names: str) -> ScalarSelect[Any]:
        columns = [table.c[name] for name in names]
        rows = select(json_rows(*columns)).where(table.c.image_id == source.c.id)
        if "doomed_at" in table.c:
            rows = rows.where(table.c.doomed_at.is_(None))
        return rows.correlate(source).scalar_subquery()

    def unless_large(rows: ScalarSelect[Any]) -> ColumnElement[Any]:
        return case((source.c.weight > literal(LARGE), null()), else_=rows)

    return select(
        *(source.c[name] for name in COLUMNS),
        gathered(image_tags, "value"),
        unless_large(gathered(image_properties, "name", "value")),
        unless_large(gathered(image_locations, "key", "store_id", "url", "metadata")),
        gathered(image_members, "member_id"),
        source.c.weight,
    )


def is_whole(row: Sequence[Any]) -> bool:
    """Whether a row of `select_images` has all of its image."""
    return row[-1] <= LARGE  # type: ignore[no-any-return]


def row_size(row: Sequence[Any]) -> int:
    """Return an estimate of the bytes of JSON of the image of a row."""
    texts = [text for text in (row[_NAME], row[_OWNER], row[-5]) if text]
    return BARE_SIZE + row[-1] + sum([len(text) if text.isascii() else len(text.encode()) for text in texts])  # type: ignore[no-any-return]


def weight(image: Image) -> int:
    """Return the bytes of JSON of the properties and locations of an image."""
    size = len(_dump(dict(image.properties)).encode())
    for location in image.locations:
        size += len(_dump([location.url, dict(location.metadata)]).encode())
    return size


def image_from_row(
    row: Sequence[Any],
    properties: Sequence[Sequence[Any]] | None = None,
    locations: Sequence[Sequence[Any]] | None = None,
) -> Image:
    """Return the image of a row of `select_images`. Tags are sorted; locations are in the order of their addition.

    properties, locations: rows of (name, value) and (key, store_id, url, metadata), if the row lacks them.
    """
    image_id, created_at, updated_at, status, name, visibility, protected, hidden, *plain = row[:-5]
    tags, members = _parse(row[-5])[0], _parse(row[-2])[0]
    if properties is None:
        properties = _parse(row[-4])[0]
    if locations is None:
        locations = _parse(row[-3])[0]
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
        dict(properties),  # type: ignore[arg-type]  # rows of two
        tuple([Location(store_id, url, _parse(text)[0]) for _, store_id, url, text in sorted(locations)]),
        frozenset([member for (member,) in members]),
    ]
    return Image(*fields)
