"""The selects that make up the statements of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Dialect, Select, and_, select

from imgsvc.catalogue.lists.conditions import (
    Condition,
    as_member,
    compiled_once,
    filter_condition,
    in_index,
    in_run,
    is_live,
    listed,
    property_condition,
    tag_condition,
)
from imgsvc.catalogue.lists.hints import with_index, without_index
from imgsvc.catalogue.lists.order import after, index_ranges, ordering, range_ordering
from imgsvc.catalogue.lists.planning import Gather, Walk
from imgsvc.catalogue.lists.shapes import FilterShape, QueryShape, SortKey
from imgsvc.catalogue.tables import image_members, image_properties, image_tags, images

__all__ = ["gathered", "passing", "walk_parts"]

_BY_ID: Final = "PRIMARY"


# --- walk


def walk_parts(
    shape: QueryShape, plan: Walk, sort: Sequence[SortKey], bound: Condition, dialect: Dialect
) -> list[Select[Any]]:
    """The parts of the list, each in the order of `sort`. No image is in two parts.

    sort: the order of the plan, or its first keys. bound: another condition that all images must meet.
    """
    columns = [images.c[key.name] for key in sort]
    order = range_ordering(sort, dialect)
    by_index = [filter_condition(each, by_index=True) for each in plan.by_index]
    filters = [*by_index, *(filter_condition(each) for each in plan.tested)]
    passed = [compiled_once(and_(*filters))] if filters else []
    shared = compiled_once(as_member(shape))
    found = []
    for place in index_ranges(plan.order, plan.marker_nulls, dialect):
        for run in plan.runs:
            part = select(*columns).where(in_run(shape, run), *passed, place, bound).order_by(*order)
            found.append(with_index(part, images, run.index))
        if plan.as_member:
            part = select(*columns).join(image_members, image_members.c.image_id == images.c.id)
            found.append(with_index(part.where(shared, place, bound).order_by(*order), images, _BY_ID))
    return found


# --- gather


def gathered(shape: QueryShape, plan: Gather, dialect: Dialect) -> Select[Any]:
    """The images of the list that a plan gathers, in its order."""
    columns = [images.c[key.name] for key in plan.order]
    found: Select[Any] = select(*columns).where(listed(shape), *(filter_condition(each) for each in plan.tested))
    if plan.by.field in ("tag", "property"):
        found = with_index(found.where(is_live(), images.c.id.in_(passing(shape, plan.by))), images, _BY_ID)
    else:
        found = with_index(found.where(*in_index(shape, plan.by)), images, _index_of(plan.by))
    if plan.marker_nulls:
        found = found.where(after(plan.order, plan.marker_nulls, without_index))
    return found.order_by(*ordering(plan.order, dialect))


def passing(shape: QueryShape, each: FilterShape) -> Select[Any]:
    """The ids of the images that pass a filter, found by the filter's index."""
    if each.field == "tag":
        return select(image_tags.c.image_id).where(tag_condition(each))
    if each.field == "property":
        return select(image_properties.c.image_id).where(property_condition(each))
    return with_index(select(images.c.id).where(*in_index(shape, each)), images, _index_of(each))


def _index_of(each: FilterShape) -> str:
    return _BY_ID if each.field == "id" else f"ix_images_visibility_{each.field}"
