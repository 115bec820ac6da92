"""The conditions of an ImageQuery as SQL: which images the caller is shown, and what each filter means.

Queries that differ in their values only are one statement, which is built and compiled once: `shape_of` leaves the
values out, the conditions name them as parameters, and `values_of` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Table,
    and_,
    bindparam,
    false,
    or_,
    select,
    true,
)

from imgsvc.catalogue.dialects import of_each, unindexed
from imgsvc.catalogue.rows import COLUMNS, microseconds
from imgsvc.catalogue.tables import VALUE_START, image_members, image_properties, image_tags, images
from imgsvc.errors import Invalid
from imgsvc.model import Caller, Filter, ImageQuery, MemberStatus, Visibility

__all__ = [
    "Condition",
    "Extent",
    "column_condition",
    "column_named",
    "filter_condition",
    "listed",
    "may_see",
    "member_condition",
    "owned",
    "property_condition",
    "shape_of",
    "tag_condition",
    "values_of",
]

Condition = ColumnElement[bool]
Values = Sequence[BindParameter[Any]]

_SECOND: Final = 1_000_000
_OPERATORS: Final[Mapping[str, Callable[[ColumnElement[Any], Values], Condition]]] = {
    "eq": lambda column, values: column == values[0],
    "neq": lambda column, values: column.is_distinct_from(values[0]),
    "gt": lambda column, values: column > values[0],
    "gte": lambda column, values: column >= values[0],
    "lt": lambda column, values: column < values[0],
    "lte": lambda column, values: column <= values[0],
    "in": lambda column, values: column.in_(values) if values else false(),
}
_TIMES: Final = ("created_at", "updated_at")
# Clients are shown whole seconds. Of the second that a time is compared with, `from` is the first microsecond that is
# not before it, `to` the first one after it.
_TIME_OPERATORS: Final[Mapping[str, Callable[[ColumnElement[Any], Any, Any], Condition]]] = {
    "eq": lambda column, start, stop: and_(column >= start, column < stop),
    "neq": lambda column, start, stop: or_(column < start, column >= stop),
    "gt": lambda column, start, stop: column >= stop,
    "gte": lambda column, start, stop: column >= start,
    "lt": lambda column, start, stop: column < start,
    "lte": lambda column, start, stop: column < stop,
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
        size=0,
        begins=True,
        sort=_without_repetitions(query.sort),
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


def _without_repetitions(sort: tuple[tuple[str, bool], ...]) -> tuple[tuple[str, bool], ...]:
    """The first mention of each key counts. Of several that are one, the tie breakers descend as after several."""
    first: dict[str, bool] = {}
    for name, down in sort:
        first.setdefault(name, down)
    keys = tuple(first.items())
    return (*keys, ("created_at", True)) if len(keys) == 1 < len(sort) else keys


def values_of(query: ImageQuery, marker: Sequence[Any] = ()) -> dict[str, Any]:
    """The values of the query, and of its marker in the columns that it sorts by, by their names in the conditions."""
    values: dict[str, Any] = {
        "limit": query.limit,
        "project": query.caller.project_id,
        "marker": query.marker,
        "member_status": query.member_status,
    }
    for number, condition in enumerate(query.filters):
        values[f"key_{number}"] = condition.field.partition(":")[2]
        for place, value in enumerate(condition.values):
            name = f"value_{number}_{place}"
            if isinstance(value, datetime):
                moment = microseconds(value)
                values[f"{name}_from"] = -(-moment // _SECOND) * _SECOND
                values[f"{name}_to"] = (moment // _SECOND + 1) * _SECOND
            else:
                values[name] = value
                values[f"{name}_start"] = value[:VALUE_START] if isinstance(value, str) else value
    for place, value in enumerate(marker):
        values[f"marker_{place}"] = value
    return values


# --- who sees what (Image API v2, "visibility")


@frozen
class Extent:
    """Which images a list shows: of these visibilities everybody's; of those only the caller's own, and if `shared` is
    one of them those that it is a member of."""

    everybody: frozenset[Visibility]
    own: frozenset[Visibility]
    member: bool

    @classmethod
    def of(cls, query: ImageQuery) -> Extent:
        """The extent of a query's list."""
        caller, visibility = query.caller, query.visibility
        everybody = set(Visibility) if caller.is_admin else {Visibility.PUBLIC, Visibility.COMMUNITY}
        if visibility is None:
            everybody.remove(Visibility.COMMUNITY)
        # To an administrator without a project, as where nobody has an identity, images without an owner are its own.
        has_own = caller.project_id is not None or caller.is_admin
        own = set(Visibility) - everybody if has_own else set()
        asked = set(Visibility) if visibility in (None, "all") else {Visibility(visibility)}
        return cls(
            frozenset(everybody & asked),
            frozenset(own & asked),
            not caller.is_admin and Visibility.SHARED in own & asked,
        )

    @property
    def visibilities(self) -> list[Visibility]:
        """All that occur."""
        return sorted(self.everybody | self.own)


def may_see(caller: Caller) -> Condition:
    """Which images the caller finds by their ids."""
    if caller.is_admin:
        return true()
    visibility = images.c.visibility
    seen: list[Condition] = [
        visibility == Visibility.PUBLIC.value,
        visibility == Visibility.COMMUNITY.value,
        and_(visibility == Visibility.SHARED.value, images.c.owner.is_(None)),
    ]
    if caller.project_id is not None:
        seen += [owned(caller), _shared_with("all")]
    return or_(*seen)


def listed(query: ImageQuery) -> Condition:
    """Which images the list shows, as a condition on any image; no index serves it."""
    extent, visibility = Extent.of(query), unindexed(images.c.visibility)
    shown: list[Condition] = [visibility == each.value for each in sorted(extent.everybody)]
    if extent.own:
        own = or_(*(visibility == each.value for each in sorted(extent.own)))
        shown.append(and_(own, owned(query.caller, unindexed)))
    if extent.member:
        shown.append(_shared_with(query.member_status))
    return or_(*shown) if shown else false()


def owned(
    caller: Caller, wrap: Callable[[ColumnElement[Any]], ColumnElement[Any]] = lambda column: column
) -> Condition:
    """Which images are the caller's own."""
    owner = wrap(images.c.owner)
    return owner.is_(None) if caller.project_id is None else owner == bindparam("project", type_=images.c.owner.type)


def member_condition(member_status: str) -> Condition:
    """Which memberships are the caller's, and of a status (or `all`)."""
    condition = image_members.c.member_id == bindparam("project", type_=image_members.c.member_id.type)
    if member_status == "all":
        return condition
    return and_(condition, image_members.c.status == MemberStatus(member_status).value)


def _shared_with(member_status: str) -> Condition:
    return and_(
        unindexed(images.c.visibility) == Visibility.SHARED.value,
        _has(image_members, member_condition(member_status)),
    )


# --- filters


def filter_condition(number: int, condition: Filter, by_index: bool = False) -> Condition:
    """The filter of that number, as a condition on an image. by_index: an index of its column shall serve it.

    Raises Invalid for a field or an operator that there is not.
    """
    if condition.field == "tag":
        return _has(image_tags, tag_condition(number, condition))
    if condition.field == "property:":
        return _has(image_properties, property_condition(number, condition))
    column = column_named(condition.field)
    return column_condition(number, condition, column if by_index else unindexed(column))


def _has(table: Table, condition: Condition) -> Condition:
    """Whether a table has such a row of the image."""
    return of_each(select(table.c.image_id).where(table.c.image_id == images.c.id, condition))


def tag_condition(number: int, condition: Filter) -> Condition:
    """The filter as a condition on a tag."""
    return column_condition(number, condition, image_tags.c.value)


def property_condition(number: int, condition: Filter) -> Condition:
    """The filter as a condition on a custom property."""
    columns = image_properties.c
    starts = [
        bindparam(f"value_{number}_{place}_start", type_=columns.value_start.type)
        for place in range(len(condition.values))
    ]
    if condition.operator not in ("eq", "in") or not starts:
        starts_so: Condition = true()
    else:
        starts_so = columns.value_start == starts[0] if len(starts) == 1 else columns.value_start.in_(starts)
    return and_(
        columns.name == bindparam(f"key_{number}", type_=columns.name.type),
        starts_so,
        column_condition(number, condition, columns.value),
    )


def column_condition(number: int, condition: Filter, column: ColumnElement[Any]) -> Condition:
    """The filter as a condition on a column."""
    operators: Mapping[str, Any] = _TIME_OPERATORS if condition.field in _TIMES else _OPERATORS
    try:
        operator = operators[condition.operator]
    except KeyError:
        raise Invalid(f"There is no operator {condition.operator!r} for {condition.field}.") from None
    if condition.operator == "eq" and condition.values == (None,):
        return column.is_(None)

    # PostgreSQL casts a value to its type: one that the column has no room for is asked for all the same.
    value_type = BigInteger() if isinstance(column.type, Integer) else column.type

    def parameter(name: str) -> BindParameter[Any]:
        return bindparam(name, type_=value_type)

    if operators is _TIME_OPERATORS:
        found: Condition = operator(column, parameter(f"value_{number}_0_from"), parameter(f"value_{number}_0_to"))
        return found
    found = operator(column, [parameter(f"value_{number}_{place}") for place in range(len(condition.values))])
    return found


def column_named(name: str) -> ColumnElement[Any]:
    """The column of a field of Image. Raises Invalid."""
    if name not in COLUMNS:
        raise Invalid(f"Images cannot be filtered or sorted by {name!r}.")
    return images.c[name]
