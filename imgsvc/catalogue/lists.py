"""Lists of images, page by page. A job of `Database`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, evolve
from sqlalchemy import Connection

from imgsvc.catalogue.dialects import sorts_by_groups
from imgsvc.catalogue.filters import shape_of, values_of
from imgsvc.catalogue.images import rows_of, whole_image
from imgsvc.catalogue.order import fixed_keys, has_index, order_of
from imgsvc.catalogue.pages import (
    ENOUGH,
    bound_statement,
    page_statement,
    probe_statement,
    probes,
    values_statement,
)
from imgsvc.catalogue.rows import row_size
from imgsvc.errors import Forbidden, Invalid
from imgsvc.model import Filter, Image, ImagePage, ImageQuery

__all__ = ["list_images"]

_FEW_VALUES: Final = frozenset({"status", "container_format", "disk_format"})
"""Keys in which many images have the same value."""
_AT_ONCE: Final = 100
"""Images of a page that come with the statement which finds them."""


@define
class _Gathering:
    """Images that make up a page, until it has `limit` of them or `size` bytes. begins: see ImageQuery."""

    limit: int
    size: int
    begins: bool
    images: list[Image] = Factory(list)
    held: int = 0
    cut: bool = False
    last: str | None = None
    """The id of the last image that was passed on the way, if there may be more after it."""

    @property
    def full(self) -> bool:
        return self.cut or self.limit == 0

    def take(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Read the images that there is room for, from rows that follow each other in the list."""
        for row in rows:
            size = row_size(row)
            if (self.images or not self.begins) and self.held + size > self.size:
                self.cut = True
                return
            self.images.append(whole_image(connection, row))
            self.held += size


def list_images(connection: Connection, query: ImageQuery) -> ImagePage:
    """The page. Raises Invalid, Forbidden.

    One statement, and one before it if there is a marker or a filter whose images are to be counted. A list by several
    keys of which the first has few values is made of one list for each value, until the page is full. By other several
    keys, the images of the page are told by the first one beforehand, where the database would sort them all. Of a
    page of many images the ids are read first, and then the images in steps, until there are bytes enough.
    """
    page = _Gathering(query.limit, query.size, query.begins)
    _gather(connection, query, page)
    more = page.last
    if page.cut:
        more = page.images[-1].id if page.images else query.marker
    return ImagePage(page.images, more, page.held, page.cut)


def _gather(connection: Connection, query: ImageQuery, gathering: _Gathering) -> None:
    shape = shape_of(query)
    marker, counts = _probe(connection, query, shape)
    fixed = fixed_keys(shape)
    of_filters = {key: query.filters[number].values[0] for key, number in fixed.items()}
    # A marker that no filter lets into the list stands at some place of the whole order only.
    less = frozenset(fixed if all(marker.get(key, value) == value for key, value in of_filters.items()) else ())
    order = order_of(shape, less)
    if not query.limit:
        return
    key = str(order[0][0].key)
    if key in _FEW_VALUES - of_filters.keys() and not has_index(order):
        _value_by_value(connection, query, shape, (key, order[0][1]), marker, gathering)
        return
    fewest, number = min(zip(counts, probes(shape), strict=True), default=(ENOUGH, None))
    gathered_by = number if fewest < ENOUGH else None
    place = [marker[str(column.key)] for column, _ in order] if marker else []
    nulls, dialect = tuple([value is None for value in place]), connection.dialect
    values, bound_null = values_of(query, place), None
    if gathered_by is None and not has_index(order) and not sorts_by_groups(dialect):
        for (bound,) in bound_statement(shape, less, nulls, dialect).rows(connection, **values, skip=query.limit - 1):
            values["bound"], bound_null = bound, bound is None
    whole = query.limit <= _AT_ONCE
    rows = page_statement(shape, less, nulls, gathered_by, bound_null, whole, dialect).rows(connection, **values)
    gathering.take(connection, rows if whole else rows_of(connection, [image_id for (image_id,) in rows]))
    gathering.limit -= len(rows)
    gathering.last = rows[-1][0] if rows and gathering.limit == 0 else None


def _probe(connection: Connection, query: ImageQuery, shape: ImageQuery) -> tuple[Mapping[str, Any], Sequence[int]]:
    """The marker's values in all keys of the order, and how many images pass each of the probes."""
    if query.marker is None and not probes(shape):
        return {}, ()
    found = probe_statement(shape, connection.dialect).rows(connection, **values_of(query))
    if query.marker is None:
        return {}, found[0]
    deleted, visible, *rest = found[0] if found else (True, False)
    if deleted and not visible:
        raise Invalid(f"The marker {query.marker} is not the ID of an image.")
    if not visible:
        raise Forbidden(f"The marker {query.marker} is an image that you may not see.")
    names = [str(column.key) for column, _ in order_of(shape)]
    return dict(zip(names, rest, strict=False)), rest[len(names) :]


def _value_by_value(
    connection: Connection,
    query: ImageQuery,
    shape: ImageQuery,
    by: tuple[str, bool],
    marker: Mapping[str, Any],
    gathering: _Gathering,
) -> None:
    """by: the key, and whether it descends."""
    key, descending = by
    values = [
        value for (value,) in values_statement(shape, key, connection.dialect).rows(connection, **values_of(query))
    ]
    for value in sorted(values, key=_rank, reverse=descending):
        if marker and value != marker[key] and (_rank(value) < _rank(marker[key])) is not descending:
            continue
        rest = evolve(
            query,
            filters=(*query.filters, Filter(key, "eq", (value,))),
            limit=gathering.limit,
            marker=query.marker if marker and value == marker[key] else None,
        )
        _gather(connection, rest, gathering)
        if gathering.full:
            return


def _rank(value: str | None) -> tuple[bool, str]:
    return (value is not None, value or "")
