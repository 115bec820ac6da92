"""In which order a list is, and what of it comes after a marker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, false, or_, true, tuple_

from imgsvc.catalogue.filters import Condition, column_named
from imgsvc.catalogue.tables import SORT_KEYS, images
from imgsvc.model import ImageQuery

__all__ = ["Order", "after", "bounded", "fixed_keys", "has_index", "order_of", "ordering", "stretches"]

Order = Sequence[tuple[ColumnElement[Any], bool]]
"""Columns, and whether each descends. No two images have the same values in all of them."""

Wrap = Callable[[ColumnElement[Any]], ColumnElement[Any]]

_FIXABLE: Final = frozenset(SORT_KEYS) - {"created_at", "updated_at", "id"}
_NULLABLE: Final = frozenset(column.name for column in images.c if column.nullable)


def order_of(shape: ImageQuery, less: frozenset[str] = frozenset()) -> Order:
    """What the query sorts by, made a total order by created_at and id. less: keys to be left out.

    These two run as the one given key does, and descend after several (as Glance has it). Raises Invalid for a key
    that images do not have.
    """
    descending = shape.sort[0][1] if len(shape.sort) == 1 else True
    order: dict[str, bool] = {}
    for name, down in (*shape.sort, ("created_at", descending), ("id", descending)):
        order.setdefault(name, down)
        if name == "id":
            break
    return [(column_named(name), down) for name, down in order.items() if name not in less]


def fixed_keys(shape: ImageQuery) -> dict[str, int]:
    """Keys that have one value in the whole list, so that nothing is sorted by them: the numbers of the filters."""
    return {
        condition.field: number
        for number, condition in enumerate(shape.filters)
        if condition.operator == "eq" and condition.field in _FIXABLE
    }


def has_index(order: Order) -> bool:
    """Whether some index is in this order: of one key and then of age, all in one direction."""
    names = [str(column.key) for column, _ in order]
    key = 0 if names[0] in ("created_at", "id") else 1
    return names[key:] in (["created_at", "id"], ["id"]) and len({down for _, down in order}) == 1


def ordering(order: Order, in_stretch: bool = False, null_is_least: bool = False) -> list[ColumnElement[Any]]:
    """ORDER BY, with NULL below every value; databases differ about it, so it is said.

    in_stretch: of one of the `stretches`, whose first column is never NULL or always. null_is_least: it is so anyway.
    """
    terms: list[ColumnElement[Any]] = []
    for place, (column, descending) in enumerate(order):
        plain = not _is_nullable(column) or null_is_least or (in_stretch and place == 0)
        parts = (column,) if plain else (column.is_not(None), column)
        terms.extend(part.desc() if descending else part.asc() for part in parts)
    return terms


def stretches(order: Order, marker_nulls: Sequence[bool], rows_compared: bool) -> list[Condition]:
    """What comes after the marker (without one, everything) as stretches of an index on the first column.

    rows_compared: see `dialects.compares_rows`.
    """
    if not rows_compared:
        return [after(order, marker_nulls)] if marker_nulls else [true()]
    column, descending = order[0]
    if not _is_nullable(column):
        return [_beyond(order, marker_nulls)] if marker_nulls else [true()]
    is_set, is_null = column.is_not(None), column.is_(None)
    if not marker_nulls:
        return [is_set, is_null]
    if not marker_nulls[0]:
        found = _beyond(order, marker_nulls)
        return [found, is_null] if descending else [found]
    found = and_(is_null, after(order[1:], marker_nulls[1:], place=1))
    return [found] if descending else [found, is_set]


def bounded(order: Order, is_null: bool) -> Condition:
    """What is not after the value `bound` of the first column. is_null: it is NULL."""
    column, descending = order[0]
    if is_null:
        return true() if descending else column.is_(None)
    bound = bindparam("bound", type_=column.type)
    if descending:
        return column >= bound
    return or_(column.is_(None), column <= bound) if _is_nullable(column) else column <= bound


def _beyond(order: Order, marker_nulls: Sequence[bool]) -> Condition:
    """What comes after a marker whose first value is not NULL, less what is NULL there."""
    columns, directions = zip(*order, strict=True)
    if len(set(directions)) == 1 and not any(_is_nullable(column) for column in columns[1:]):
        # An index is entered at the very place.
        marker = tuple_(*(_value(place, column) for place, column in enumerate(columns)))
        beyond: Condition = tuple_(*columns) < marker if directions[0] else tuple_(*columns) > marker
        return beyond
    column, value = columns[0], _value(0, columns[0])
    rest = after(order[1:], marker_nulls[1:], place=1)
    if directions[0]:
        return and_(column <= value, or_(column < value, rest))
    return and_(column >= value, or_(column > value, rest))


def after(order: Order, marker_nulls: Sequence[bool], wrap: Wrap = lambda column: column, place: int = 0) -> Condition:
    """What comes after the marker. place: of the first of these columns in the whole order."""
    rest: Condition = false()
    places = range(place, place + len(order))
    for number, (plain, descending), is_null in reversed([*zip(places, order, marker_nulls, strict=True)]):
        column = wrap(plain)
        if is_null:
            rest = and_(column.is_(None), rest)
            if not descending:
                rest = or_(column.is_not(None), rest)
            continue
        value = _value(number, plain)
        rest = or_(column < value if descending else column > value, and_(column == value, rest))
        if descending and _is_nullable(plain):
            rest = or_(column.is_(None), rest)
    return rest


def _is_nullable(column: ColumnElement[Any]) -> bool:
    return str(column.key) in _NULLABLE


def _value(place: int, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return bindparam(f"marker_{place}", type_=column.type)
