"""Which images a list shows, as conditions in SQL: those that the caller may see, and those that a filter passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Table,
    and_,
    bindparam,
    false,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from imgsvc.catalogue.lists.hints import correlated_exists, without_index
from imgsvc.catalogue.lists.planning import IndexRun
from imgsvc.catalogue.lists.shapes import TIMES, FilterShape, QueryShape
from imgsvc.catalogue.tables import image_members, image_properties, image_tags, images
from imgsvc.model import MemberStatus, Visibility

__all__ = [
    "Condition",
    "as_member",
    "compiled_once",
    "filter_condition",
    "in_index",
    "in_run",
    "is_live",
    "listed",
    "may_see",
    "property_condition",
    "tag_condition",
]

Condition = ColumnElement[bool]
Wrap = Callable[[ColumnElement[Any]], ColumnElement[Any]]
Values = Sequence[BindParameter[Any]]

_LIVE: Final = images.c.deleted_at.is_(None)

_OPERATORS: Final[Mapping[str, Callable[[ColumnElement[Any], Values], Condition]]] = {
    "eq": lambda column, values: column == values[0],
    "neq": lambda column, values: column.is_distinct_from(values[0]),
    "gt": lambda column, values: column > values[0],
    "gte": lambda column, values: column >= values[0],
    "lt": lambda column, values: column < values[0],
    "lte": lambda column, values: column <= values[0],
    "in": lambda column, values: column.in_(values) if values else false(),
}
# See `values_of` for the two values that stand for a time.
_TIME_OPERATORS: Final[Mapping[str, Callable[[ColumnElement[Any], Any, Any], Condition]]] = {
    "eq": lambda column, start, stop: and_(column >= start, column < stop),
    "neq": lambda column, start, stop: or_(column < start, column >= stop),
    "gt": lambda column, start, stop: column >= stop,
    "gte": lambda column, start, stop: column >= start,
    "lt": lambda column, start, stop: column < start,
    "lte": lambda column, start, stop: column < stop,
}


class compiled_once(FunctionElement[bool]):
    """A condition that occurs several times in one statement. Its SQL is made only once."""

    inherit_cache = True
    name = "compiled_once"
    type = Boolean()

    def __init__(self, condition: ColumnElement[bool]) -> None:
        super().__init__(condition)

    def self_group(self, against: Any = None) -> compiled_once:
        """Adds no parentheses, as the SQL has them. By default SQLAlchemy would add `= 1`, which no index can serve."""
        return self


@compiles(compiled_once)
def _text_of_the_first(element: compiled_once, compiler: Any, **options: Any) -> str:
    texts: dict[compiled_once, str] = vars(compiler).setdefault("imgsvc_compiled_once", {})
    if element not in texts:
        texts[element] = f"({compiler.process(element.clauses, **options)})"
    return texts[element]


# --- who sees what (Image API v2, "visibility")


def may_see(shape: QueryShape) -> Condition:
    """Which images the caller finds by their ids."""
    if shape.is_admin:
        return true()
    visibility = images.c.visibility
    seen: list[Condition] = [
        visibility == Visibility.PUBLIC.value,
        visibility == Visibility.COMMUNITY.value,
        and_(visibility == Visibility.SHARED.value, images.c.owner.is_(None)),
    ]
    if shape.has_project:
        seen += [_owned(shape), _shared_with_caller("all")]
    return or_(*seen)


def listed(shape: QueryShape) -> Condition:
    """Which images the list may show, as a condition that no index serves."""
    scope, visibility = shape.scope, without_index(images.c.visibility)
    shown: list[Condition] = [visibility == each.value for each in scope.everybody]
    if scope.own:
        own = or_(*(visibility == each.value for each in scope.own))
        shown.append(and_(own, _owned(shape, without_index)))
    if scope.as_member:
        shown.append(_shared_with_caller(shape.member_status))
    return or_(*shown)


def _owned(shape: QueryShape, wrap: Wrap = lambda column: column) -> Condition:
    """Which images are the caller's own."""
    owner = wrap(images.c.owner)
    return owner == bindparam("project", type_=images.c.owner.type) if shape.has_project else owner.is_(None)


def _membership(member_status: str) -> Condition:
    """Which memberships are the caller's and have the status. member_status: `all` for any status."""
    condition = image_members.c.member_id == bindparam("project", type_=image_members.c.member_id.type)
    if member_status == "all":
        return condition
    return and_(condition, image_members.c.status == MemberStatus(member_status).value)


def _shared_with_caller(member_status: str) -> Condition:
    return and_(
        without_index(images.c.visibility) == Visibility.SHARED.value,
        _has(image_members, _membership(member_status)),
    )


def is_live() -> Condition:
    """Which images are not deleted, as a condition that no index serves."""
    return without_index(images.c.deleted_at).is_(None)


def as_member(shape: QueryShape) -> Condition:
    """Which images of others are shared with the caller. Only the index of memberships serves it."""
    owner = without_index(images.c.owner)
    return and_(
        _membership(shape.member_status),
        is_live(),
        without_index(images.c.visibility) == Visibility.SHARED.value,
        or_(owner.is_(None), owner != bindparam("project", type_=images.c.owner.type)),
        *(filter_condition(each) for each in shape.filters),
    )


# --- parts of an index


def in_run(shape: QueryShape, run: IndexRun) -> Condition:
    """The images of a run."""
    hidden = run.hidden
    conditions = [
        _LIVE,
        images.c.visibility == run.visibility.value,
        images.c.os_hidden == literal(hidden) if isinstance(hidden, bool) else filter_condition(hidden, by_index=True),
    ]
    if isinstance(run.owner, FilterShape):
        conditions.append(filter_condition(run.owner, by_index=True))
    elif run.owner is not None:
        conditions.append(_owned(shape))
    return and_(*conditions)


def in_index(shape: QueryShape, each: FilterShape) -> Iterator[Condition]:
    """The filter of a column, with conditions on the columns that its index begins with."""
    yield filter_condition(each, by_index=True)
    if each.field == "id":
        yield without_index(images.c.deleted_at).is_(None)
        return
    yield _LIVE
    yield images.c.visibility.in_([literal(each.value) for each in (*shape.scope.everybody, *shape.scope.own)])
    if shape.hidden is None:
        yield images.c.os_hidden.in_([literal(False), literal(True)])
    else:
        yield filter_condition(shape.hidden, by_index=True)


# --- filters


def filter_condition(each: FilterShape, by_index: bool = False) -> Condition:
    """The filter as a condition on an image. by_index: whether an index of its column serves it."""
    if each.field == "tag":
        return _has(image_tags, tag_condition(each))
    if each.field == "property":
        return _has(image_properties, property_condition(each))
    column = images.c[each.field]
    return _column_condition(each, column if by_index else without_index(column))


def tag_condition(each: FilterShape) -> Condition:
    """The filter as a condition on a tag."""
    return _column_condition(each, image_tags.c.value)


def property_condition(each: FilterShape) -> Condition:
    """The filter as a condition on a custom property."""
    columns = image_properties.c
    condition = and_(
        columns.name == bindparam(f"key_{each.number}", type_=columns.name.type),
        _column_condition(each, columns.value),
    )
    if each.operator not in ("eq", "in") or not each.count:
        return condition
    # The index has only the start of the value.
    names = [f"value_{each.number}_{place}_start" for place in range(each.count)]
    starts = [bindparam(name, type_=columns.value_start.type) for name in names]
    start = columns.value_start == starts[0] if len(starts) == 1 else columns.value_start.in_(starts)
    return and_(start, condition)


def _has(table: Table, condition: Condition) -> Condition:
    """Whether a table has such a row of the image."""
    return correlated_exists(select(table.c.image_id).where(table.c.image_id == images.c.id, condition))


def _column_condition(each: FilterShape, column: ColumnElement[Any]) -> Condition:
    if each.is_null:
        return column.is_(None)
    # PostgreSQL casts a value to the type of its parameter, and fails if the column's type has no room for it.
    value_type = BigInteger() if isinstance(column.type, Integer) else column.type
    names = [f"value_{each.number}_{place}" for place in range(each.count)]
    if each.field in TIMES:
        start, stop = (bindparam(f"{names[0]}_{end}", type_=value_type) for end in ("from", "to"))
        return _TIME_OPERATORS[each.operator](column, start, stop)
    return _OPERATORS[each.operator](column, [bindparam(name, type_=value_type) for name in names])
