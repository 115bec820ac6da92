"""Compiles the statements of a list: one for each plan, and one for the facts that the plan depends on."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Dialect, Integer, bindparam, func, literal, select, true, union, union_all

from imgsvc.catalogue.lists import mariadb
from imgsvc.catalogue.lists.conditions import in_run, may_see
from imgsvc.catalogue.lists.keeping import kept
from imgsvc.catalogue.lists.order import is_nullable, ordering
from imgsvc.catalogue.lists.planning import GATHER_LIMIT, ByValue, Gather, Walk
from imgsvc.catalogue.lists.selects import gathered, passing, walk_parts
from imgsvc.catalogue.lists.shapes import FilterShape, QueryShape
from imgsvc.catalogue.rows import select_images
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import images

__all__ = ["compile_facts", "compile_page", "compile_values"]

_LIMIT: Final = bindparam("limit", type_=Integer)


@kept
def compile_facts(shape: QueryShape, counted: tuple[FilterShape, ...], dialect: Dialect) -> Statement:
    """The select of the facts that a plan depends on. It has one row, or none if the marker does not exist.

    The last columns have the number of images that pass each of the `counted` filters, up to GATHER_LIMIT. With a
    marker, these columns come first: whether the marker is deleted, whether the caller may see it, and its values in
    the keys of the whole order. The status of a deleted image is the one that it had before.
    """
    counts = [
        select(func.count())
        .select_from(passing(shape, each).limit(literal(GATHER_LIMIT, Integer)).subquery())
        .scalar_subquery()
        for each in counted
    ]
    if not shape.has_marker:
        return Statement.for_dialect(select(*counts), dialect)
    place = [
        func.coalesce(images.c.deleted_from, images.c.status) if key.name == "status" else images.c[key.name]
        for key in shape.sort
    ]
    marker = select(images.c.deleted_at.is_not(None), may_see(shape), *place, *counts)
    return Statement.for_dialect(marker.where(images.c.id == bindparam("marker")), dialect)


@kept
def compile_page(
    shape: QueryShape, plan: Walk | Gather, bound: bool | None, is_whole: bool, dialect: Dialect
) -> Statement:
    """The select of a page of images in their order.

    bound: whether the bound of the page is NULL (see `mariadb.py`); None without a bound. is_whole: whether the rows
    have all that `whole_image` needs; otherwise they have ids only.
    """
    if isinstance(plan, Gather):
        parts = [gathered(shape, plan, dialect)]
    else:
        up_to_bound = true() if bound is None else mariadb.up_to_bound(plan.order[0], bound)
        parts = walk_parts(shape, plan, plan.order, up_to_bound, dialect)
    page = union_all(*(select(part.limit(_LIMIT).subquery()) for part in parts)).subquery("page")
    # The limit is applied before tags, properties and so on are read. Otherwise those of all images would be read.
    limited = select(page).order_by(*ordering(plan.order, dialect, page)).limit(_LIMIT)
    if not is_whole:
        return Statement.for_dialect(limited.with_only_columns(page.c.id), dialect)
    chosen = limited.subquery("chosen")
    whole = select_images().join(chosen, chosen.c.id == images.c.id)
    return Statement.for_dialect(whole.order_by(*ordering(plan.order, dialect, chosen)), dialect)


@kept
def compile_values(shape: QueryShape, plan: ByValue, dialect: Dialect) -> Statement:
    """The select of the values that the plan's key has in the plan's runs."""
    if mariadb.is_mariadb(dialect):
        return Statement.for_dialect(
            union(*(mariadb.grouped_values(shape, plan.key, run) for run in plan.runs)), dialect
        )
    column, found = images.c[plan.key.name], []
    for number, run in enumerate(plan.runs):
        # Each step looks up the least value after the one before. Nothing between them is read.
        least = select(func.min(column)).where(in_run(shape, run))
        step = select(least.scalar_subquery().label("value")).cte(f"values_{number}", recursive=True)
        following = least.where(column > step.c.value).correlate(step).scalar_subquery()
        steps = step.union_all(select(following).where(step.c.value.is_not(None)))
        # The last step finds NULL, which stands for the images without a value.
        values = select(steps.c.value)
        found.append(values if is_nullable(plan.key) else values.where(steps.c.value.is_not(None)))
    return Statement.for_dialect(union(*found), dialect)
