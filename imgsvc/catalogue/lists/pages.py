"""Fills a page of a list: finds the facts that the plan depends on, makes the plan, runs it, and reads the images.

`list_images` is a job of `Database`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, evolve
from sqlalchemy import Connection

from imgsvc.catalogue.images import rows_of, whole_image
from imgsvc.catalogue.lists.compiling import compile_facts, compile_page, compile_values
from imgsvc.catalogue.lists.mariadb import compile_bound, is_mariadb
from imgsvc.catalogue.lists.planning import (
    GATHER_LIMIT,
    ByValue,
    Gather,
    MarkerShape,
    Walk,
    counted_filters,
    plan,
    rarest_filter,
)
from imgsvc.catalogue.lists.shapes import FilterShape, QueryShape, SortKey, values_of
from imgsvc.catalogue.rows import row_size
from imgsvc.errors import Forbidden, Invalid
from imgsvc.model import Filter, Image, ImagePage, ImageQuery

__all__ = ["list_images"]

_AT_ONCE: Final = 100
"""Up to this many images of a page, one statement both finds them and reads them whole."""

Values = Mapping[str, Any]
"""Values of the database, by the names of parameters or columns."""


@define
class _Page:
    """A page that is being filled.

    limit: how many more images may be added. size: the most bytes of JSON. begins: see ImageQuery. held: bytes of JSON
    so far. last: the id of the last image found, if more may follow; otherwise None. is_cut: whether `size` ended the
    page.
    """

    limit: int
    size: int
    begins: bool
    images: list[Image] = Factory(list)
    held: int = 0
    last: str | None = None
    is_cut: bool = False

    @property
    def is_full(self) -> bool:
        return self.is_cut or self.limit == 0

    def take(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Add the images of rows, which are in the order of the list, until the page has enough bytes."""
        for row in rows:
            size = row_size(row)
            if (self.images or not self.begins) and self.held + size > self.size:
                self.is_cut = True
                return
            self.images.append(whole_image(connection, row))
            self.held += size


def list_images(connection: Connection, query: ImageQuery) -> ImagePage:
    """The page that a query asks for.

    Raises Invalid: a field, an operator, a sort key or the marker does not exist. Raises Forbidden: the caller may not
    see the marker.
    """
    page = _Page(query.limit, query.size, query.begins)
    _fill(connection, query, page)
    more = page.last
    if page.is_cut:
        more = page.images[-1].id if page.images else query.marker
    return ImagePage(page.images, more, page.held, page.is_cut)


def _fill(connection: Connection, query: ImageQuery, page: _Page) -> None:
    shape, values = QueryShape.of(query), values_of(query)
    counted = counted_filters(shape)
    marker, counts = _find_facts(connection, shape, counted, values)
    if shape.scope.is_empty or page.limit == 0:
        return
    marker_shape = None if marker is None else MarkerShape.of(query, marker)
    way = plan(shape, marker_shape, rarest_filter(counts, GATHER_LIMIT))
    if isinstance(way, ByValue):
        found = compile_values(shape, way, connection.dialect).rows(connection, **values)
        _fill_by_value(connection, query, way.key, [value for (value,) in found], marker, page)
        return
    if marker is not None:
        values |= {f"marker_{place}": marker[key.name] for place, key in enumerate(way.order)}
    _fill_at_once(connection, shape, way, values, page)


def _find_facts(
    connection: Connection, shape: QueryShape, counted: tuple[FilterShape, ...], values: Values
) -> tuple[Values | None, Mapping[FilterShape, int]]:
    """The marker's values in the sort keys, and how many images pass each of the `counted` filters.

    No statement is run if there is neither a marker nor such a filter.
    """
    if not shape.has_marker and not counted:
        return None, {}
    rows = compile_facts(shape, counted, connection.dialect).rows(connection, **values)
    if not shape.has_marker:
        return None, dict(zip(counted, rows[0], strict=True))
    is_deleted, is_visible, *rest = rows[0] if rows else (True, False)
    if is_deleted and not is_visible:
        raise Invalid(
            f"The marker {values['marker']} is not the ID of an image. If the image was deleted meanwhile, list from"
            " the first page again."
        )
    if not is_visible:
        raise Forbidden(f"The marker {values['marker']} is an image that you may not see.")
    names = [key.name for key in shape.sort]
    return dict(zip(names, rest, strict=False)), dict(zip(counted, rest[len(names) :], strict=True))


def _fill_at_once(connection: Connection, shape: QueryShape, way: Walk | Gather, values: Values, page: _Page) -> None:
    """Fill the page by one statement, or on MariaDB by two. values: include those of the marker."""
    dialect = connection.dialect
    bound: bool | None = None
    if isinstance(way, Walk) and not way.is_sorted and is_mariadb(dialect):
        for (value,) in compile_bound(shape, way, dialect).rows(connection, **values, skip=page.limit - 1):
            values, bound = {**values, "bound": value}, value is None
    is_whole = page.limit <= _AT_ONCE
    rows = compile_page(shape, way, bound, is_whole, dialect).rows(connection, **values)
    page.take(connection, rows if is_whole else rows_of(connection, [image_id for (image_id,) in rows]))
    page.limit -= len(rows)
    page.last = rows[-1][0] if rows and page.limit == 0 else None


def _fill_by_value(
    connection: Connection,
    query: ImageQuery,
    key: SortKey,
    found: Iterable[str | None],
    marker: Values | None,
    page: _Page,
) -> None:
    """Fill the page from one list for each value of a key, beginning with the value of the marker.

    found: the values of the key, in any order.
    """
    values = sorted(found, key=_rank, reverse=key.descending)
    if marker is not None:
        begin = _rank(marker[key.name])
        values = [value for value in values if _rank(value) == begin or (_rank(value) < begin) is key.descending]
    for value in values:
        has_marker = marker is not None and value == marker[key.name]
        _fill(
            connection,
            evolve(
                query,
                filters=(*query.filters, Filter(key.name, "eq", (value,))),
                limit=page.limit,
                marker=query.marker if has_marker else None,
            ),
            page,
        )
        if page.is_full:
            return


def _rank(value: str | None) -> tuple[bool, str]:
    """The sort key for values: NULL comes before every text."""
    return (value is not None, value or "")
