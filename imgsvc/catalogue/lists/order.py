"""The order of a list as SQL, and which images come after the marker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Dialect, FromClause, and_, bindparam, false, or_, true, tuple_

from imgsvc.catalogue.lists.hints import enters_index_by_row, null_is_least, without_index
from imgsvc.catalogue.lists.shapes import SortKey
from imgsvc.catalogue.tables import images

__all__ = ["after", "index_ranges", "is_nullable", "ordering", "range_ordering"]

Condition = ColumnElement[bool]
Order = Sequence[SortKey]
Wrap = Callable[[ColumnElement[Any]], ColumnElement[Any]]

_AGE: Final = ("created_at", "id")
"""The last columns of every index, after its key."""
_NULLABLE: Final = frozenset(column.name for column in images.c if column.nullable)


def ordering(order: Order, dialect: Dialect, source: FromClause = images) -> list[ColumnElement[Any]]:
    """The terms of ORDER BY for rows of `source`, with NULL below every value."""
    return [term for key in order for term in _terms(key, source.c[key.name], dialect)]


def range_ordering(order: Order, dialect: Dialect) -> list[ColumnElement[Any]]:
    """ORDER BY within one of the `index_ranges`, in which the first key is either always NULL or never NULL.

    A range of NULLs is in the order of the other keys. An index on the second key must not serve it: that index has all
    images, and the database would search them for those without a value in the first key.
    """
    first, *rest = order
    only = images.c[first.name]
    terms: list[ColumnElement[Any]] = [only.desc() if first.descending else only.asc()]
    for place, key in enumerate(rest):
        column: ColumnElement[Any] = images.c[key.name]
        terms += _terms(key, column if place or key.name in _AGE else without_index(column), dialect)
    return terms


def _terms(key: SortKey, column: ColumnElement[Any], dialect: Dialect) -> list[ColumnElement[Any]]:
    with_nulls = is_nullable(key) and not null_is_least(dialect)
    columns: Sequence[ColumnElement[Any]] = (column.is_not(None), column) if with_nulls else (column,)
    return [each.desc() if key.descending else each.asc() for each in columns]


def index_ranges(order: Order, marker_nulls: Sequence[bool], dialect: Dialect) -> list[Condition]:
    """The images after the marker, or all without one, as ranges of an index on the first key. No two overlap.

    marker_nulls: see Walk.
    """
    if not enters_index_by_row(dialect):
        return [after(order, marker_nulls)] if marker_nulls else [true()]
    first = order[0]
    if not is_nullable(first):
        return [_beyond(order, marker_nulls)] if marker_nulls else [true()]
    is_set, is_null = images.c[first.name].is_not(None), images.c[first.name].is_(None)
    if not marker_nulls:
        # Images without a value are in the order of their age in the index. As a range of their own they need no sort.
        by_age = order[1].name in _AGE and order[1].descending is not first.descending
        return [true()] if null_is_least(dialect) and not by_age else [is_set, is_null]
    if marker_nulls[0]:
        rest = and_(is_null, after(order[1:], marker_nulls[1:], place=1))
        return [rest] if first.descending else [rest, is_set]
    beyond = _beyond(order, marker_nulls)
    return [beyond, is_null] if first.descending else [beyond]


def _beyond(order: Order, marker_nulls: Sequence[bool]) -> Condition:
    """The images that have a value in the first key and come after a marker that has one, too."""
    first, columns = order[0], [images.c[key.name] for key in order]
    if len({key.descending for key in order}) == 1 and not any(is_nullable(key) for key in order[1:]):
        row, marker = tuple_(*columns), tuple_(*(_value(place, key) for place, key in enumerate(order)))
        beyond: Condition = row < marker if first.descending else row > marker
        return beyond
    column, value = columns[0], _value(0, first)
    rest = after(order[1:], marker_nulls[1:], place=1)
    if first.descending:
        return and_(column <= value, or_(column < value, rest))
    return and_(column >= value, or_(column > value, rest))


def after(order: Order, marker_nulls: Sequence[bool], wrap: Wrap = lambda column: column, place: int = 0) -> Condition:
    """The images after the marker, as ANDs and ORs. place: the number of the first of these keys in the whole order."""
    rest: Condition = false()
    for number, (key, is_null) in reversed([*enumerate(zip(order, marker_nulls, strict=True), place)]):
        column = wrap(images.c[key.name])
        if is_null:
            rest = and_(column.is_(None), rest)
            if not key.descending:
                rest = or_(column.is_not(None), rest)
            continue
        value = _value(number, key)
        rest = or_(column < value if key.descending else column > value, and_(column == value, rest))
        if key.descending and is_nullable(key):
            rest = or_(column.is_(None), rest)
    return rest


def is_nullable(key: SortKey) -> bool:
    """Whether images may have no value in the key."""
    return key.name in _NULLABLE


def _value(place: int, key: SortKey) -> ColumnElement[Any]:
    return bindparam(f"marker_{place}", type_=images.c[key.name].type)
