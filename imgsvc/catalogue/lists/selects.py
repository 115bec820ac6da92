"""The selects that statements of lists are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, Dialect, Select, and_, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from imgsvc.catalogue.lists.conditions import (
    Condition,
    filter_condition,
    listed,
    member_condition,
    owned,
    property_condition,
    shared_by_others,
    tag_condition,
)
from imgsvc.catalogue.lists.hints import with_index, without_index
from imgsvc.catalogue.lists.order import after, index_ranges, ordering, range_ordering
from imgsvc.catalogue.lists.planning import Gather, IndexRun, Walk
from imgsvc.catalogue.lists.shapes import FilterShape, QueryShape, SortKey
from imgsvc.catalogue.tables import image_members, image_properties, image_tags, images

__all__ = ["gathered", "in_run", "passing", "walk_parts"]

_LIVE: Final = images.c.deleted_at.is_(None)
_BY_ID: Final = "PRIMARY"


class compiled_once(FunctionElement[bool]):
    """A condition that stands in several places of one statement. It is made into SQL at the first only."""

    inherit_cache = True
    name = "compiled_once"
    type = Boolean()

    def __init__(self, condition: ColumnElement[bool]) -> None:
        super().__init__(condition)

    def self_group(self, against: Any = None) -> compiled_once:
        """Has its parentheses already. By default it would be compared with 1, and no index serves that."""
        return self


@compiles(compiled_once)
def _text_of_the_first(element: compiled_once, compiler: Any, **options: Any) -> str:
    texts: dict[compiled_once, str] = vars(compiler).setdefault("imgsvc_compiled_once", {})
    if element not in texts:
        texts[element] = f"({compiler.process(element.clauses, **options)})"
    return texts[element]


# --- walk


def walk_parts(
    shape: QueryShape, plan: Walk, sort: Sequence[SortKey], bound: Condition, dialect: Dialect
) -> list[Select[Any]]:
    """The parts of the list, each in the order of `sort`. No image is in two of them.

    sort: the order of the plan, or the first keys of it. bound: a condition that all images must meet, too.
    """
    columns = [images.c[key.name] for key in sort]
    order = range_ordering(sort, dialect)
    by_index = [filter_condition(each, by_index=True) for each in plan.by_index]
    filters = [*by_index, *(filter_condition(each) for each in plan.tested)]
    passed = [compiled_once(and_(*filters))] if filters else []
    as_member = compiled_once(_as_member(shape))
    found = []
    for place in index_ranges(plan.order, plan.marker_nulls, dialect):
        for run in plan.runs:
            part = select(*columns).where(in_run(shape, run), *passed, place, bound).order_by(*order)
            found.append(with_index(part, images, run.index))
        if plan.as_member:
            part = select(*columns).join(image_members, image_members.c.image_id == images.c.id)
            found.append(with_index(part.where(as_member, place, bound).order_by(*order), images, _BY_ID))
    return found


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
        conditions.append(owned(shape))
    return and_(*conditions)


def _as_member(shape: QueryShape) -> Condition:
    """Which images of others are shared with the caller. They are found by its memberships, and by no other index."""
    filters = [filter_condition(each) for each in shape.filters]
    live = without_index(images.c.deleted_at).is_(None)
    return and_(member_condition(shape.member_status), live, shared_by_others(), *filters)


# --- gather


def gathered(shape: QueryShape, plan: Gather, dialect: Dialect) -> Select[Any]:
    """The images of the list that a plan gathers, in its order."""
    columns = [images.c[key.name] for key in plan.order]
    found: Select[Any] = select(*columns).where(listed(shape), *(filter_condition(each) for each in plan.tested))
    if plan.by.field in ("tag", "property"):
        live = without_index(images.c.deleted_at).is_(None)
        found = with_index(found.where(live, images.c.id.in_(passing(shape, plan.by))), images, _BY_ID)
    else:
        found = with_index(found.where(*_in_index(shape, plan.by)), images, _index_of(plan.by))
    if plan.marker_nulls:
        found = found.where(after(plan.order, plan.marker_nulls, without_index))
    return found.order_by(*ordering(plan.order, dialect))


def passing(shape: QueryShape, each: FilterShape) -> Select[Any]:
    """The ids of the images that pass a filter, by its index."""
    if each.field == "tag":
        return select(image_tags.c.image_id).where(tag_condition(each))
    if each.field == "property":
        return select(image_properties.c.image_id).where(property_condition(each))
    return with_index(select(images.c.id).where(*_in_index(shape, each)), images, _index_of(each))


def _index_of(each: FilterShape) -> str:
    return _BY_ID if each.field == "id" else f"ix_images_visibility_{each.field}"


def _in_index(shape: QueryShape, each: FilterShape) -> Iterator[Condition]:
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
