"""The statement of a page of a list: the few ways to it that stay short however many images there are.

Walk: a list is a few runs of images that stand next to each other in an index, in the order of the list (those of one
visibility, of one owner), and the images that are shared with the caller. Each is read from the marker on, images that
a filter rejects are passed over, until the page is full; the best of all make up the page.

Gather: where few images pass one of the filters, these are fetched by an index of the filter, and sorted.

Neither suits every filter: one in ten thousand makes a walk long, one in two makes a gathering large. `probes` are the
filters with an index of their own; how many images pass each, counted up to ENOUGH, decides. So with n images a page
takes a walk over n * limit / ENOUGH images or a gathering of ENOUGH at most, if the filters have nothing to do with
the order and with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, wraps
from threading import RLock
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import (
    Dialect,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union,
    union_all,
)

from imgsvc.catalogue.dialects import compares_rows, groups_by_index, said_again, unindexed, walked
from imgsvc.catalogue.filters import (
    Condition,
    Extent,
    filter_condition,
    listed,
    may_see,
    member_condition,
    owned,
    property_condition,
    tag_condition,
)
from imgsvc.catalogue.order import Order, after, bounded, fixed_keys, has_index, order_of, ordering, stretches
from imgsvc.catalogue.rows import select_images
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.tables import SORT_KEYS, image_members, image_properties, image_tags, images
from imgsvc.model import Filter, ImageQuery, Visibility

__all__ = [
    "ENOUGH",
    "bound_statement",
    "is_heavy",
    "kept",
    "page_statement",
    "probe_statement",
    "probes",
    "values_statement",
]

P = ParamSpec("P")
T = TypeVar("T")

ENOUGH: Final = 2000
"""From so many images on that pass a filter, they are not gathered."""

MOST_LIGHT: Final = 24
"""Filters of a list and their values, counted together, up to which its statements are small and are kept."""
MOST_PROBES: Final = 8
"""Filters of a list that are tried whether few images pass them; one that nobody gives so many filters has them all."""

_STATEMENTS_KEPT: Final = 128
_compiling: Final = RLock()
_LIVE: Final = images.c.deleted_at.is_(None)
_BY_ID: Final = "PRIMARY"
"""The index of the images' ids."""
_BY_AGE: Final = ("name", "size", "disk_format", "container_format", "status")
"""Keys whose indexes have the images of each value in the order of their age; the most telling first."""


def is_heavy(query: ImageQuery) -> bool:
    """Whether the statements of a list are large: 100 filters are 100 KiB of SQL, which nobody asks twice."""
    return len(query.filters) + sum(len(each.values) for each in query.filters) > MOST_LIGHT


def kept(
    function: Callable[Concatenate[ImageQuery, P], T],
) -> Callable[Concatenate[ImageQuery, P], T]:
    """A function whose results are kept for the shapes that were asked for last, but for heavy ones.

    Of all such functions no two run at a time: what they do is Python for milliseconds, and the reactor has to wait for
    its turn behind every thread that is at it.
    """
    remembered: Any = lru_cache(_STATEMENTS_KEPT)(function)

    @wraps(function)
    def call(shape: ImageQuery, /, *arguments: P.args, **named: P.kwargs) -> T:
        with _compiling:
            if is_heavy(shape):
                return function(shape, *arguments, **named)
            return remembered(shape, *arguments, **named)  # type: ignore[no-any-return]

    return call


@kept
def probes(shape: ImageQuery) -> tuple[int, ...]:
    """The numbers of the filters by which images might be gathered."""
    by_index = _by_index(shape, order_of(shape, frozenset(fixed_keys(shape))))
    found = (number for number, condition in enumerate(shape.filters) if _is_probe(condition))
    return tuple([number for number in found if number not in by_index][:MOST_PROBES])


def _is_probe(condition: Filter) -> bool:
    if condition.field in ("tag", "property:"):
        return condition.operator in ("eq", "in")
    return condition.field in SORT_KEYS and condition.operator != "neq"


@kept
def probe_statement(shape: ImageQuery, dialect: Dialect) -> Statement:
    """The select of how many images pass each of the `probes`, up to ENOUGH.

    With a marker it has, before these, whether it is deleted, whether the caller may see it, and its values in the
    columns that the list is sorted by, those that it was deleted with; no row: there is no such image.
    """
    counts = [
        select(func.count())
        .select_from(_candidates(shape, number).limit(literal(ENOUGH, Integer)).subquery())
        .scalar_subquery()
        for number in probes(shape)
    ]
    if shape.marker is None:
        return Statement.for_dialect(select(*counts), dialect)
    place = [
        func.coalesce(images.c.deleted_from, column) if column.key == "status" else column
        for column, _ in order_of(shape)
    ]
    marker = select(images.c.deleted_at.is_not(None), may_see(shape.caller), *place, *counts)
    return Statement.for_dialect(marker.where(images.c.id == bindparam("marker")), dialect)


@kept
def page_statement(
    shape: ImageQuery,
    less: frozenset[str],
    marker_nulls: tuple[bool, ...],
    gathered_by: int | None,
    bound_null: bool | None,
    whole: bool,
    dialect: Dialect,
) -> Statement:
    """The select of a page of images: of rows for `whole_image`, or of their ids only.

    less: keys that need not be sorted by. marker_nulls: which of the marker's values in the other keys are NULL; empty
    for the first page. gathered_by: the number of the filter that few images pass; None to walk. bound_null: whether
    what `bound_statement` gave is NULL; None: no bound is known. Raises Invalid for a field, an operator or a sort key
    that images do not have.
    """
    order = order_of(shape, less)
    if gathered_by is None:
        bound = true() if bound_null is None else bounded(order, bound_null)
        runs = _walks(shape, less, marker_nulls, order, bound, dialect)
    else:
        runs = [_gathering(shape, order, marker_nulls, gathered_by)]
    limit = bindparam("limit", type_=Integer)
    parts = [select(run.limit(limit).subquery()) for run in runs]
    page = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("page")
    # The limit comes before what the images have many of: else that is gathered for all of them.
    limited = select(page).order_by(*ordering([(page.c[str(column.key)], down) for column, down in order])).limit(limit)
    if not whole:
        return Statement.for_dialect(limited.with_only_columns(page.c.id), dialect)
    chosen = limited.subquery("chosen")
    found = select_images().join(chosen, chosen.c.id == images.c.id)
    found = found.order_by(*ordering([(chosen.c[str(column.key)], down) for column, down in order]))
    return Statement.for_dialect(found, dialect)


@kept
def bound_statement(
    shape: ImageQuery, less: frozenset[str], marker_nulls: tuple[bool, ...], dialect: Dialect
) -> Statement:
    """The select of the first key of the last image on a page, by which the images of the page can be told before they
    are sorted by the other keys; no row if the page is not full. The arguments are those of `page_statement`.
    """
    order = order_of(shape, less)[:1]
    limit = bindparam("limit", type_=Integer)
    parts = [select(part.limit(limit).subquery()) for part in _walks(shape, less, marker_nulls, order, true(), dialect)]
    page = union_all(*parts).subquery("page")
    key = page.c[str(order[0][0].key)]
    last = select(key).order_by(*ordering([(key, order[0][1])])).limit(1).offset(bindparam("skip", type_=Integer))
    return Statement.for_dialect(last, dialect)


@kept
def values_statement(shape: ImageQuery, key: str, dialect: Dialect) -> Statement:
    """The select of all values that a key has in the list, perhaps of more: from value to value in the index."""
    column, found = images.c[key], []
    for number, (run, index) in enumerate(_runs(shape, key, of_owner=False)):
        if groups_by_index(dialect):
            group = (images.c.visibility, images.c.os_hidden, images.c.deleted_at, column)
            found.append(walked(select(column).where(_LIVE, run).group_by(*group), images, index))
            continue
        least = select(func.min(column)).where(_LIVE, run)
        step = select(least.scalar_subquery().label("value")).cte(f"values_{number}", recursive=True)
        following = least.where(column > step.c.value).correlate(step).scalar_subquery()
        steps = step.union_all(select(following).where(step.c.value.is_not(None)))
        found.append(
            select(steps.c.value) if column.nullable else select(steps.c.value).where(steps.c.value.is_not(None))
        )
    return Statement.for_dialect(union(*found), dialect)


# --- walk


def _walks(
    shape: ImageQuery,
    less: frozenset[str],
    marker_nulls: Sequence[bool],
    sort: Order,
    bound: Condition,
    dialect: Dialect,
) -> Sequence[Select[Any]]:
    """The runs that the list is made of, in the order of `sort`; no image is in two of them."""
    order = order_of(shape, less)
    # A marker with another value in a key that a filter fixes is not in the list: no index is entered at its place,
    # which may be before or after all that the filter passes.
    enters = not marker_nulls or fixed_keys(shape).keys() <= less
    rows_compared = compares_rows(dialect)
    by_index = _by_index(shape, order)
    filters = [filter_condition(number, each, number in by_index) for number, each in enumerate(shape.filters)]
    passed = said_again(and_(true(), *filters))
    as_member = said_again(and_(*_as_member(shape)))
    columns = [column for column, _ in sort]
    in_order = ordering(sort, in_stretch=enters, null_is_least=not rows_compared)
    key = _walked_key(shape, order)
    parts = stretches(order, marker_nulls, rows_compared) if enters else [after(order, marker_nulls, unindexed)]
    found = []
    for part in parts:
        for run, index in _runs(shape, key):
            walk = select(*columns).where(_LIVE, run, passed, part, bound).order_by(*in_order)
            found.append(walked(walk, images, index))
        if Extent.of(shape).member:
            members = select(*columns).join(image_members, image_members.c.image_id == images.c.id)
            found.append(walked(members.where(as_member, part, bound).order_by(*in_order), images, _BY_ID))
    return found or [select(*columns).where(false())]


def _runs(shape: ImageQuery, key: str, of_owner: bool = True) -> Iterator[tuple[Condition, str]]:
    """Each fixes the columns that an index begins with, which is the one of this key; with the index.

    of_owner: whether the owner is one of the columns, where it can be.
    """
    extent = Extent.of(shape)
    asked = _number_of("owner", shape)
    hidden = [images.c.os_hidden == literal(value) for value in (False, True)]
    number = _number_of("os_hidden", shape)
    if number is not None:
        hidden = [filter_condition(number, shape.filters[number], by_index=True)]
    for visibility in extent.visibilities:
        run, index = images.c.visibility == visibility.value, f"ix_images_visibility_{key}"
        owner: Condition | None = None
        if visibility in extent.own:
            owner = owned(shape.caller)
        elif asked is not None:
            owner = filter_condition(asked, shape.filters[asked], by_index=True)
        if of_owner and owner is not None:
            run, index = and_(run, owner), f"ix_images_owner_visibility_{key}"
        for each in hidden:
            yield and_(run, each), index


def _as_member(shape: ImageQuery) -> Iterator[Condition]:
    """Which images of others are shared with the caller; found by its memberships, and by no index of the images."""
    yield member_condition(shape.member_status)
    yield unindexed(images.c.deleted_at).is_(None)
    yield unindexed(images.c.visibility) == Visibility.SHARED.value
    owner = unindexed(images.c.owner)
    yield or_(owner.is_(None), owner != bindparam("project", type_=owner.type))
    for number, condition in enumerate(shape.filters):
        yield filter_condition(number, condition)


def _number_of(name: str, shape: ImageQuery) -> int | None:
    """The first filter for equality with this field."""
    for number, condition in enumerate(shape.filters):
        if (condition.field, condition.operator) == (name, "eq"):
            return number
    return None


def _walked_key(shape: ImageQuery, order: Order) -> str:
    """The key whose indexes a walk goes by: the first one of the order.

    Where images are in the order of their age, it may be another one which has to have one value.
    """
    first = str(order[0][0].key)
    fixed = fixed_keys(shape) if first == "created_at" and has_index(order) else {}
    return next((name for name in _BY_AGE if name in fixed), first)


def _by_index(shape: ImageQuery, order: Order) -> frozenset[int]:
    """The filters that the index of a walk serves: those on its key that bound it."""
    key = _walked_key(shape, order)
    return frozenset(
        number
        for number, condition in enumerate(shape.filters)
        if condition.field == key and condition.operator not in ("in", "neq")
    )


# --- gather


def _gathering(shape: ImageQuery, order: Order, marker_nulls: Sequence[bool], number: int) -> Select[Any]:
    condition = shape.filters[number]
    passed = [filter_condition(other, each) for other, each in enumerate(shape.filters) if other != number]
    found: Select[Any] = select(*(column for column, _ in order)).where(listed(shape), *passed)
    if condition.field in ("tag", "property:"):
        found = found.where(unindexed(images.c.deleted_at).is_(None), images.c.id.in_(_candidates(shape, number)))
        found = walked(found, images, _BY_ID)
    else:
        found = walked(found.where(*_of_column(shape, number)), images, _index_of(condition))
    if marker_nulls:
        found = found.where(after(order, marker_nulls, unindexed))
    return found.order_by(*ordering(order))


def _candidates(shape: ImageQuery, number: int) -> Select[Any]:
    """The ids of the images that pass a filter."""
    condition = shape.filters[number]
    if condition.field == "tag":
        return select(image_tags.c.image_id).where(tag_condition(number, condition))
    if condition.field == "property:":
        return select(image_properties.c.image_id).where(property_condition(number, condition))
    return walked(select(images.c.id).where(*_of_column(shape, number)), images, _index_of(condition))


def _index_of(condition: Filter) -> str:
    """The index that serves a filter of a column."""
    return _BY_ID if condition.field == "id" else f"ix_images_visibility_{condition.field}"


def _of_column(shape: ImageQuery, number: int) -> Iterator[Condition]:
    """What an index of the filter's column needs to serve it."""
    condition = shape.filters[number]
    yield filter_condition(number, condition, by_index=True)
    if condition.field == "id":
        yield unindexed(images.c.deleted_at).is_(None)
        return
    yield _LIVE
    visibilities = Extent.of(shape).visibilities
    yield images.c.visibility.in_([literal(each.value) for each in visibilities]) if visibilities else false()
    hidden = _number_of("os_hidden", shape)
    if hidden is None:
        yield images.c.os_hidden.in_([literal(False), literal(True)])
    else:
        yield filter_condition(hidden, shape.filters[hidden], by_index=True)
