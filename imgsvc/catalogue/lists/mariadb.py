"""Selects that lists need only on MariaDB."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Integer, Select, bindparam, or_, select, true, union_all

from imgsvc.catalogue.lists.conditions import Condition, in_run
from imgsvc.catalogue.lists.hints import with_index
from imgsvc.catalogue.lists.keeping import kept
from imgsvc.catalogue.lists.order import is_nullable, ordering
from imgsvc.catalogue.lists.planning import IndexRun, Walk
from imgsvc.catalogue.lists.selects import walk_parts
from imgsvc.catalogue.lists.shapes import QueryShape, SortKey
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import images

__all__ = ["compile_bound", "grouped_values", "is_mariadb", "up_to_bound"]


def is_mariadb(dialect: Dialect) -> bool:
    """Whether the database is MariaDB."""
    return dialect.name == "mariadb"


@kept
def compile_bound(shape: QueryShape, plan: Walk, dialect: Dialect) -> Statement:
    """The select of the bound: the first key of the last image of a page. There is no row if the page is not full.

    A walk that is not sorted reads an index on the first key, and sorts the images that are equal in it. SQLite and
    PostgreSQL sort the images of one value at a time, and stop when the page is full. MariaDB would sort the whole
    list; with a bound, it sorts only the images up to the bound. The parameter `skip` is the limit less one.
    """
    order, limit = plan.order[:1], bindparam("limit", type_=Integer)
    parts = [select(part.limit(limit).subquery()) for part in walk_parts(shape, plan, order, true(), dialect)]
    page = union_all(*parts).subquery("page")
    last = select(page.c[order[0].name]).order_by(*ordering(order, dialect, page)).limit(1)
    return Statement.for_dialect(last.offset(bindparam("skip", type_=Integer)), dialect)


def up_to_bound(key: SortKey, is_null: bool) -> Condition:
    """The images up to the bound. key: the first key of the order. is_null: whether the bound is NULL."""
    column = images.c[key.name]
    if is_null:
        return true() if key.descending else column.is_(None)
    bound = bindparam("bound", type_=column.type)
    if key.descending:
        return column >= bound
    return or_(column.is_(None), column <= bound) if is_nullable(key) else column <= bound


def grouped_values(shape: QueryShape, key: SortKey, run: IndexRun) -> Select[Any]:
    """The values of a key in a run. For this select, MariaDB skips from group to group in the index."""
    group = (images.c.visibility, images.c.os_hidden, images.c.deleted_at, images.c[key.name])
    return with_index(select(images.c[key.name]).where(in_run(shape, run)).group_by(*group), images, run.index)
