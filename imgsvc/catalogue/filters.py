"""An ImageQuery as SQL: which images, in which order, from where on.

Queries that differ in their values only are one statement, which is built and compiled once: `shape_of` leaves the
values out, the selects name them as parameters, and `values_of` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from attrs import evolve
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    and_,
    bindparam,
    exists,
    false,
    or_,
    select,
    true,
)

from imgsvc.catalogue.rows import COLUMNS, microseconds, select_images
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import image_properties, image_tags, images
from imgsvc.errors import Invalid
from imgsvc.model import Caller, Filter, ImageQuery, Visibility

__all__ = ["marker_statement", "page_statement", "shape_of", "values_of"]

Condition = ColumnElement[bool]
Marker = Sequence[Any]
"""The values that the image before a page has in the columns of the page's order."""

_STATEMENTS_KEPT: Final = 256
_OPERATORS: Final[Mapping[str, Callable[[Column[Any], Sequence[BindParameter[Any]]], Condition]]] = {
    "eq": lambda column, values: column == values[0],
    "neq": lambda column, values: column.is_distinct_from(values[0]),
    "gt": lambda column, values: column > values[0],
    "gte": lambda column, values: column >= values[0],
    "lt": lambda column, values: column < values[0],
    "lte": lambda column, values: column <= values[0],
    "in": lambda column, values: column.in_(values) if values else false(),
}


def shape_of(query: ImageQuery) -> ImageQuery:
    """The query without its values."""
    caller = query.caller
    return evolve(
        query,
        caller=Caller(
            project_id=None if caller.project_id is None else "",
            roles=frozenset({"admin"}) if caller.is_admin else frozenset(),
        ),
        limit=0,
        filters=tuple(
            Filter(
                "property:" if condition.field.startswith("property:") else condition.field,
                condition.operator,
                tuple(None if value is None else "" for value in condition.values),
            )
            for condition in query.filters
        ),
        marker=None if query.marker is None else "",
    )


def values_of(query: ImageQuery, marker: Marker = ()) -> dict[str, Any]:
    """The values of the query, and of its marker's row, by the names that they have in the statements."""
    values: dict[str, Any] = {"limit": query.limit, "project": query.caller.project_id, "marker": query.marker}
    for number, condition in enumerate(query.filters):
        values[f"key_{number}"] = condition.field.partition(":")[2]
        for place, value in enumerate(condition.values):
            values[f"value_{number}_{place}"] = microseconds(value) if isinstance(value, datetime) else value
    for place, value in enumerate(marker):
        values[f"marker_{place}"] = value
    return values


@lru_cache(_STATEMENTS_KEPT)
def page_statement(shape: ImageQuery, marker_nulls: tuple[bool, ...], dialect: Dialect) -> Statement:
    """The select of a page of whole images; rows are for `image_from_row`.

    marker_nulls: which of the marker's values are NULL; empty for the first page. Raises Invalid for a field, an
    operator or a sort key that images do not have.
    """
    order = _order(shape)
    page = select(images).where(images.c.deleted_at.is_(None), _listed(shape.caller, shape.visibility))
    page = page.where(*(_condition(number, condition) for number, condition in enumerate(shape.filters)))
    if marker_nulls:
        page = page.where(_after(order, marker_nulls))
    # The limit comes before what the images have many of: else that is gathered for all images and then sorted.
    limited = page.order_by(*_ordering(order)).limit(bindparam("limit", type_=Integer)).subquery("page")
    whole = select_images(limited).order_by(*_ordering([(limited.c[str(column.name)], down) for column, down in order]))
    return Statement.for_dialect(whole, dialect)


@lru_cache(_STATEMENTS_KEPT)
def marker_statement(shape: ImageQuery, dialect: Dialect) -> Statement:
    """The select of whether the caller may see the marker's image, and of its Marker."""
    columns = [column for column, _ in _order(shape)]
    marker = select(_may_see(shape.caller), *columns)
    marker = marker.where(images.c.id == bindparam("marker"), images.c.deleted_at.is_(None))
    return Statement.for_dialect(marker, dialect)


# --- who sees what (Image API v2, "visibility")


def _may_see(caller: Caller) -> Condition:
    """Which images the caller finds by their ids."""
    if caller.is_admin:
        return true()
    return or_(
        images.c.visibility == Visibility.PUBLIC,
        images.c.visibility == Visibility.COMMUNITY,
        _own(caller),
        _shared_with(caller),
        and_(images.c.visibility == Visibility.SHARED, images.c.owner.is_(None)),
    )


def _listed(caller: Caller, visibility: str | None) -> Condition:
    """Which images a list with this `visibility` shows to the caller."""
    community = images.c.visibility == Visibility.COMMUNITY
    if caller.is_admin:
        everything: Condition = true()
        # To an administrator without a project, as where nobody has an identity, images without an owner are its own.
        own = _own(caller) if caller.project_id is not None else images.c.owner.is_(None)
        usual = or_(images.c.visibility != Visibility.COMMUNITY, own)
    else:
        usual = or_(images.c.visibility == Visibility.PUBLIC, _own(caller), _shared_with(caller))
        everything = or_(usual, community)
    if visibility is None:
        return usual
    if visibility == "all":
        return everything
    return and_(images.c.visibility == visibility, everything)


def _own(caller: Caller) -> Condition:
    return images.c.owner == bindparam("project") if caller.project_id is not None else false()


def _shared_with(caller: Caller) -> Condition:
    """Which shared images of others the caller is a member of: none, as long as images have no members."""
    return false()


# --- filters


def _condition(number: int, condition: Filter) -> Condition:
    try:
        operator = _OPERATORS[condition.operator]
    except KeyError:
        raise Invalid(f"There is no operator {condition.operator!r} for {condition.field}.") from None

    def compare(column: Column[Any]) -> Condition:
        if condition.operator == "eq" and condition.values == (None,):
            return column.is_(None)
        names = [f"value_{number}_{place}" for place in range(len(condition.values))]
        return operator(column, [bindparam(name, type_=column.type) for name in names])

    if condition.field == "tag":
        return exists().where(image_tags.c.image_id == images.c.id, compare(image_tags.c.value))
    if condition.field == "property:":
        return exists().where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == bindparam(f"key_{number}"),
            compare(image_properties.c.value),
        )
    return compare(_column(condition.field))


def _column(name: str) -> Column[Any]:
    if name not in COLUMNS:
        raise Invalid(f"Images cannot be filtered or sorted by {name!r}.")
    return images.c[name]


# --- order and pages


def _order(shape: ImageQuery) -> list[tuple[Column[Any], bool]]:
    """The (column, descending) pairs that the query sorts by, made a total order by created_at and id.

    These two run as the one given key does, and descend after several (as Glance has it). Raises Invalid for a key
    that images do not have.
    """
    descending = shape.sort[0][1] if len(shape.sort) == 1 else True
    order: dict[str, bool] = {}
    for name, down in (*shape.sort, ("created_at", descending), ("id", descending)):
        order.setdefault(name, down)
    return [(_column(name), down) for name, down in order.items()]


def _ordering(order: Sequence[tuple[ColumnElement[Any], bool]]) -> list[ColumnElement[Any]]:
    """ORDER BY, with NULL below every value; databases differ about it, so it is said."""
    terms: list[ColumnElement[Any]] = []
    for column, descending in order:
        parts = (column.is_not(None), column) if images.c[str(column.key)].nullable else (column,)
        terms.extend(part.desc() if descending else part.asc() for part in parts)
    return terms


def _after(order: Sequence[tuple[Column[Any], bool]], marker_nulls: Sequence[bool]) -> Condition:
    """Which images come after the marker."""
    rest: Condition = false()
    for place, ((column, descending), is_null) in reversed(list(enumerate(zip(order, marker_nulls, strict=True)))):
        if is_null:
            rest = and_(column.is_(None), rest)
            if not descending:
                rest = or_(column.is_not(None), rest)
            continue
        value = bindparam(f"marker_{place}", type_=column.type)
        beyond = column < value if descending else column > value
        rest = or_(beyond, and_(column == value, rest))
        if not column.nullable:
            # Says nothing new, but lets the database begin to read at the marker.
            rest = and_(column <= value if descending else column >= value, rest)
        elif descending:
            rest = or_(column.is_(None), rest)
    return rest
