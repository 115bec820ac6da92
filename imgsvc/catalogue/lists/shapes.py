"""The shape of a query: everything that decides which statement finds the page, without the values of the filters.

Queries of one shape share one statement, which is compiled once. The statement names its values as parameters, and
`values_of` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from attrs import field, frozen

from imgsvc.catalogue.rows import COLUMNS, microseconds
from imgsvc.catalogue.tables import VALUE_START
from imgsvc.errors import Invalid
from imgsvc.image_fields import FieldType, names_of
from imgsvc.model import Filter, ImageQuery, Visibility

__all__ = ["FilterShape", "QueryShape", "SortKey", "VisibleScope", "is_heavy", "values_of"]

TIMES: Final = frozenset(names_of(lambda field: field.type is FieldType.TIME))
_MOST_LIGHT: Final = 24
"""A list with more filters and values than this, counted together, is heavy."""

_OPERATORS: Final = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in"})
_SECOND: Final = 1_000_000


@frozen
class SortKey:
    """One key of an order. name: a column of `images`. descending: whether the largest value comes first."""

    name: str
    descending: bool


@frozen
class FilterShape:
    """A filter without its values.

    number: its position in the query, from 0; the names of its parameters contain it. field: a column of `images`,
    `tag` or `property`. operator: see Filter. count: the number of its values. is_null: whether it passes images that
    have no value.
    """

    number: int
    field: str
    operator: str
    count: int
    is_null: bool


@frozen
class VisibleScope:
    """Which images a list may show.

    everybody: visibilities of which the images of all owners are shown. own: visibilities of which only the caller's
    own images are shown. as_member: whether images that others share with the caller's project are shown, too.
    is_empty: whether the list can show no image at all.
    """

    everybody: tuple[Visibility, ...]
    own: tuple[Visibility, ...]
    as_member: bool
    is_empty: bool


@cache
def _scope(is_admin: bool, has_project: bool, visibility: str | None) -> VisibleScope:
    """The scope of a list. visibility: see ImageQuery. Source: Image API v2, "visibility"."""
    everybody = set(Visibility) if is_admin else {Visibility.PUBLIC, Visibility.COMMUNITY}
    if visibility is None:
        everybody.remove(Visibility.COMMUNITY)
    # An administrator without a project owns the images that have no owner. Without identities, that is everybody.
    own = set(Visibility) - everybody if has_project or is_admin else set()
    asked = set(Visibility) if visibility in (None, "all") else {Visibility(visibility)}
    shown, own_shown = tuple(sorted(everybody & asked)), tuple(sorted(own & asked))
    as_member = not is_admin and Visibility.SHARED in own_shown
    return VisibleScope(shown, own_shown, as_member, is_empty=not shown and not own_shown)


@frozen(cache_hash=True)
class QueryShape:
    """A query without its values.

    is_admin: whether the caller is an administrator. has_project: whether it has a project. scope: which images the
    list may show. member_status: see ImageQuery. sort: the order, which is complete: no two images are equal in all of
    its keys. filters: in the order of the query. has_marker: whether the page begins after an image. owner, hidden: the
    filters that fix the owner and whether images are hidden; None if the query has no such filter. is_heavy: see
    `is_heavy`.
    """

    is_admin: bool
    has_project: bool
    scope: VisibleScope
    member_status: str
    sort: tuple[SortKey, ...]
    filters: tuple[FilterShape, ...]
    has_marker: bool
    owner: FilterShape | None = field(eq=False)
    hidden: FilterShape | None = field(eq=False)
    is_heavy: bool = field(eq=False)

    @classmethod
    def of(cls, query: ImageQuery) -> QueryShape:
        """The shape of a query. Raises Invalid for a field, an operator or a sort key that images do not have."""
        is_admin, has_project = query.caller.is_admin, query.caller.project_id is not None
        filters = tuple([_filter_shape(number, each) for number, each in enumerate(query.filters)])
        return cls(
            is_admin,
            has_project,
            _scope(is_admin, has_project, query.visibility),
            query.member_status,
            _complete(query.sort),
            filters,
            query.marker is not None,
            _first_for_equality(filters, "owner"),
            _first_for_equality(filters, "os_hidden"),
            is_heavy(query),
        )


def _first_for_equality(filters: Sequence[FilterShape], name: str) -> FilterShape | None:
    return next((each for each in filters if each.field == name and each.operator == "eq"), None)


def _complete(sort: tuple[tuple[str, bool], ...]) -> tuple[SortKey, ...]:
    """The order of a list, completed by created_at and id.

    These two have the direction of a single key, and descend after several keys (as in Glance). If a key is mentioned
    twice, the first mention counts. Keys after `id` do not matter.
    """
    descending = sort[0][1] if len(sort) == 1 else True
    order: dict[str, bool] = {}
    for name, down in (*sort, ("created_at", descending), ("id", descending)):
        order.setdefault(_column_name(name), down)
        if name == "id":
            break
    return tuple([SortKey(name, down) for name, down in order.items()])


def _filter_shape(number: int, condition: Filter) -> FilterShape:
    name = "property" if condition.field.startswith("property:") else condition.field
    if name not in ("tag", "property"):
        _column_name(name)
    if condition.operator not in _OPERATORS or (name in TIMES and condition.operator == "in"):
        raise Invalid(f"There is no operator {condition.operator!r} for {condition.field}.")
    is_null = condition.operator == "eq" and condition.values == (None,)
    return FilterShape(number, name, condition.operator, len(condition.values), is_null)


def _column_name(name: str) -> str:
    if name not in COLUMNS:
        raise Invalid(f"Images cannot be filtered or sorted by {name!r}.")
    return name


def values_of(query: ImageQuery) -> dict[str, Any]:
    """The values of the parameters of a query's statements, by name."""
    values: dict[str, Any] = {"limit": query.limit, "project": query.caller.project_id, "marker": query.marker}
    for number, condition in enumerate(query.filters):
        values[f"key_{number}"] = condition.field.partition(":")[2]
        for place, value in enumerate(condition.values):
            name = f"value_{number}_{place}"
            if isinstance(value, datetime):
                # Clients see whole seconds, so times are compared by seconds. `from` is the first
                # microsecond of the earliest second that is not before the value, `to` the first one after it.
                moment = microseconds(value)
                values[f"{name}_from"] = -(-moment // _SECOND) * _SECOND
                values[f"{name}_to"] = (moment // _SECOND + 1) * _SECOND
            else:
                values[name] = value
                values[f"{name}_start"] = value[:VALUE_START] if isinstance(value, str) else value
    return values


def is_heavy(query: ImageQuery) -> bool:
    """Whether the statements of a list are too large to be cached: 100 filters make 100 KiB of SQL."""
    return len(query.filters) + sum([len(each.values) for each in query.filters]) > _MOST_LIGHT
