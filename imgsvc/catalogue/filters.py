"""An ImageQuery as SQL: which images, in which order, from where on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, and_, exists, false, or_, select, true

from imgsvc.catalogue.rows import COLUMNS, microseconds, select_images
from imgsvc.catalogue.tables import image_properties, image_tags, images
from imgsvc.errors import Invalid
from imgsvc.model import Caller, Filter, ImageQuery, Visibility

__all__ = ["may_see", "select_page", "sort_columns"]

Condition = ColumnElement[bool]
SortColumn = tuple[Column[Any], bool]

_OPERATORS: Final[Mapping[str, Callable[[Column[Any], Sequence[Any]], Condition]]] = {
    "eq": lambda column, values: column == values[0],
    "neq": lambda column, values: column.is_distinct_from(values[0]),
    "gt": lambda column, values: column > values[0],
    "gte": lambda column, values: column >= values[0],
    "lt": lambda column, values: column < values[0],
    "lte": lambda column, values: column <= values[0],
    "in": lambda column, values: column.in_(values),
}


def select_page(query: ImageQuery, marker: Sequence[Any] | None = None) -> Select[Any]:
    """The select of a query's images, whole; rows are for `image_from_row`.

    marker: the values that the image before the page has in `sort_columns`. Raises Invalid for a field, an operator
    or a sort key that images do not have.
    """
    order = sort_columns(query.sort)
    page = select(images).where(images.c.deleted_at.is_(None), _listed(query.caller, query.visibility))
    page = page.where(*(_condition(condition) for condition in query.filters))
    if marker is not None:
        page = page.where(_after(order, marker))
    limited = page.order_by(*_ordering(order)).limit(query.limit).subquery("page")
    return select_images(limited).order_by(*_ordering([(limited.c[str(column.name)], down) for column, down in order]))


# --- who sees what (Image API v2, "visibility")


def may_see(caller: Caller) -> Condition:
    """Which images the caller finds by their ids."""
    if caller.is_admin:
        return true()
    return or_(
        images.c.visibility.in_([Visibility.PUBLIC, Visibility.COMMUNITY]),
        _own(caller),
        _shared_with(caller),
        and_(images.c.visibility == Visibility.SHARED, images.c.owner.is_(None)),
    )


def _listed(caller: Caller, visibility: str | None) -> Condition:
    """Which images a list with this `visibility` shows to the caller."""
    public = images.c.visibility == Visibility.PUBLIC
    community = images.c.visibility == Visibility.COMMUNITY
    if caller.is_admin:
        mine = _own(caller) if caller.project_id is not None else images.c.owner.is_(None)
        default = or_(images.c.visibility != Visibility.COMMUNITY, mine)
        every: Condition = true()
    else:
        default = or_(public, _own(caller), _shared_with(caller))
        every = or_(default, community)
    if visibility is None:
        return default
    if visibility == "all":
        return every
    return and_(images.c.visibility == visibility, every)


def _own(caller: Caller) -> Condition:
    return images.c.owner == caller.project_id if caller.project_id is not None else false()


def _shared_with(caller: Caller) -> Condition:
    """Which shared images of others the caller is a member of: none, as long as images have no members."""
    return false()


# --- filters


def _condition(condition: Filter) -> Condition:
    try:
        compare = _OPERATORS[condition.operator]
    except KeyError:
        raise Invalid(f"There is no operator {condition.operator!r} for {condition.field}.") from None
    values = [microseconds(value) if isinstance(value, datetime) else value for value in condition.values]
    if condition.field == "tag":
        return exists().where(image_tags.c.image_id == images.c.id, compare(image_tags.c.value, values))
    kind, _, name = condition.field.partition(":")
    if kind == "property":
        return exists().where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == name,
            compare(image_properties.c.value, values),
        )
    return compare(_column(condition.field), values)


def _column(name: str) -> Column[Any]:
    if name not in COLUMNS:
        raise Invalid(f"Images cannot be filtered or sorted by {name!r}.")
    return images.c[name]


# --- order and pages


def sort_columns(sort: Sequence[tuple[str, bool]]) -> list[SortColumn]:
    """The (column, descending) pairs of a query's `sort`, made a total order by created_at and id.

    These two run as the one given key does, and descend after several (as Glance has it). Raises Invalid for a key
    that images do not have.
    """
    descending = sort[0][1] if len(sort) == 1 else True
    order: dict[str, bool] = {}
    for name, down in (*sort, ("created_at", descending), ("id", descending)):
        order.setdefault(name, down)
    return [(_column(name), down) for name, down in order.items()]


def _ordering(order: Sequence[tuple[ColumnElement[Any], bool]]) -> list[ColumnElement[Any]]:
    """ORDER BY, with NULL below every value; databases differ about it, so it is said."""
    terms: list[ColumnElement[Any]] = []
    for column, descending in order:
        parts = (column.is_not(None), column) if images.c[str(column.key)].nullable else (column,)
        terms.extend(part.desc() if descending else part.asc() for part in parts)
    return terms


def _after(order: Sequence[SortColumn], marker: Sequence[Any]) -> Condition:
    """Which images come after one that has the values `marker` in the columns of `order`."""
    rest: Condition = false()
    for (column, descending), value in zip(reversed(order), reversed(marker), strict=True):
        beyond = _beyond(column, descending, value)
        rest = or_(beyond, and_(column == value, rest))
        if value is not None and not column.nullable:
            # Says nothing new, but lets the database begin to read at the marker.
            rest = and_(column <= value if descending else column >= value, rest)
    return rest


def _beyond(column: Column[Any], descending: bool, value: Any) -> Condition:
    if value is None:
        return false() if descending else column.is_not(None)
    if descending:
        return or_(column < value, column.is_(None)) if column.nullable else column < value
    return column > value
