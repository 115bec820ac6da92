"""Chooses how to find a page. The functions are pure: they know neither SQL nor a database.

There are three ways, which stay fast however many images the catalogue has:

- `Walk`: read images along an index in the order of the list, test the filters on each, and stop when the page is full.
- `Gather`: fetch all images that pass one filter by the index of that filter, test the other filters, and sort.
- `ByValue`: read one list for each value of the first key, one after the other, until the page is full.

A walk is slow if few images pass the filters. A gathering is large if many pass. So the images that pass a filter are
counted first, up to GATHER_LIMIT. With n images in the catalogue, a page then costs a walk over about
n * limit / GATHER_LIMIT images or a gathering of fewer than GATHER_LIMIT images. This holds if the filters do
not depend on each other or on the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from imgsvc.catalogue.lists.keeping import kept
from imgsvc.catalogue.lists.shapes import FilterShape, QueryShape, SortKey
from imgsvc.catalogue.tables import SORT_KEYS
from imgsvc.model import Filter, ImageQuery, Visibility

__all__ = [
    "GATHER_LIMIT",
    "ByValue",
    "Gather",
    "IndexRun",
    "MarkerShape",
    "Plan",
    "Walk",
    "counted_filters",
    "plan",
    "rarest_filter",
]

GATHER_LIMIT: Final = 2000
"""A filter gathers images if fewer than this pass it."""
MOST_COUNTED: Final = 8
"""The most filters of a list for which images are counted. The other filters are only tested."""

_FEW_VALUES: Final = frozenset({"status", "container_format", "disk_format"})
"""Keys in which many images have the same value."""
_FIXABLE: Final = ("name", "size", "disk_format", "container_format", "status")
"""Keys that a filter for equality fixes to one value. Keys in which few images have the same value come first.

The id is not here, as a filter for ids gathers. Times are not here, as a filter for a time passes a whole second.
"""


@frozen
class MarkerShape:
    """The facts about a marker that a plan depends on.

    nulls: the sort keys in which the marker has no value. passes: whether it has the values that the filters fix.
    """

    nulls: frozenset[str]
    passes: bool

    @classmethod
    def of(cls, query: ImageQuery, values: Mapping[str, Any]) -> MarkerShape:
        """The shape of a marker. values: of the marker in the sort keys, by name."""
        fixed = {each.field: each.values[0] for each in query.filters if _fixes(each)}
        return cls(
            frozenset([name for name, value in values.items() if value is None]),
            all(values.get(name, value) == value for name, value in fixed.items()),
        )


@frozen
class IndexRun:
    """Images that stand next to each other in an index, in the order of the list.

    index: the name of the index. visibility: of all images of the run. owner: `caller` if they are the caller's own, or
    the filter that fixes their owner; None if the owner may be any. hidden: whether they are hidden, or the filter that
    fixes it.
    """

    index: str
    visibility: Visibility
    owner: FilterShape | str | None
    hidden: FilterShape | bool


@frozen(cache_hash=True)
class Walk:
    """Read images along an index.

    order: the sort keys. marker_nulls: for each key of the order, whether the marker has no value in it; empty for the
    first page. runs: the parts of the index that make up the list; no image is in two of them. by_index: filters that
    limit the part of the index that is read. tested: filters that are tested on each image. as_member: whether to fetch
    the images that others share with the caller, too, by its memberships. is_sorted: whether the index has the images
    in the whole order; if not, the images of one value of the first key must still be sorted.
    """

    order: tuple[SortKey, ...]
    marker_nulls: tuple[bool, ...]
    runs: tuple[IndexRun, ...]
    by_index: tuple[FilterShape, ...]
    tested: tuple[FilterShape, ...]
    as_member: bool
    is_sorted: bool


@frozen(cache_hash=True)
class Gather:
    """Fetch the images that pass a filter, and sort them.

    order, marker_nulls: see Walk. by: the filter whose index finds the images. tested: the other filters.
    """

    order: tuple[SortKey, ...]
    marker_nulls: tuple[bool, ...]
    by: FilterShape
    tested: tuple[FilterShape, ...]


@frozen(cache_hash=True)
class ByValue:
    """Read one list for each value of a key. runs: the parts of an index in which the values are looked up."""

    key: SortKey
    runs: tuple[IndexRun, ...]


Plan = Walk | Gather | ByValue


@kept
def plan(shape: QueryShape, marker: MarkerShape | None, gather_by: FilterShape | None) -> Plan:
    """The way to a page.

    marker: None for the first page. gather_by: the `rarest_filter`, None if many images pass each filter.
    """
    fixed = _fixed(shape)
    # A marker with another value in a fixed key has a place only in the order of all keys.
    omitted_keys = fixed if marker is None or marker.passes else frozenset()
    order = _order(shape, omitted_keys)
    marker_nulls = () if marker is None else tuple([key.name in marker.nulls for key in order])

    if gather_by is not None:
        return Gather(order, marker_nulls, gather_by, _without(shape.filters, (gather_by,)))

    first, is_sorted = order[0], _is_in_index(order)
    if first.name in _FEW_VALUES - fixed and not is_sorted:
        return ByValue(first, _runs(shape, first.name, by_owner=False))

    key = _index_key(order, fixed)
    by_index = _bounding(shape, key)
    tested = _without(shape.filters, (*by_index, shape.hidden))
    return Walk(order, marker_nulls, _runs(shape, key), by_index, tested, shape.scope.as_member, is_sorted)


@kept
def counted_filters(shape: QueryShape) -> tuple[FilterShape, ...]:
    """The filters that could gather images. The images that pass each must be counted before `plan` is called."""
    if shape.scope.is_empty:
        return ()
    fixed = _fixed(shape)
    by_index = _bounding(shape, _index_key(_order(shape, fixed), fixed))
    return tuple([each for each in _without(shape.filters, by_index) if _has_index(each)][:MOST_COUNTED])


def rarest_filter(counts: Mapping[FilterShape, int], gather_limit: int) -> FilterShape | None:
    """The filter that the fewest images pass; None if `gather_limit` or more images pass each filter.

    counts: for each of the `counted_filters`, how many images pass it. GATHER_LIMIT stands for that number or more.
    """
    rarest = min(counts, key=lambda each: counts[each], default=None)
    return rarest if rarest is not None and counts[rarest] < gather_limit else None


def _without(filters: Iterable[FilterShape], others: Sequence[FilterShape | None]) -> tuple[FilterShape, ...]:
    return tuple([each for each in filters if each not in others])


def _has_index(each: FilterShape) -> bool:
    if each.field in ("tag", "property"):
        return each.operator in ("eq", "in")
    return each.field in SORT_KEYS and each.operator != "neq"


def _order(shape: QueryShape, omitted_keys: frozenset[str]) -> tuple[SortKey, ...]:
    return tuple([key for key in shape.sort if key.name not in omitted_keys])


def _fixed(shape: QueryShape) -> frozenset[str]:
    """The sort keys in which all images of the list have the same value. They do not affect the order."""
    return frozenset([each.field for each in shape.filters if _fixes(each)])


def _fixes(each: FilterShape | Filter) -> bool:
    """Whether all images that pass a filter have the same value in a sort key."""
    return each.operator == "eq" and each.field in _FIXABLE


def _is_in_index(order: Sequence[SortKey]) -> bool:
    """Whether an index has images in this order. The last columns of each index are created_at and id."""
    names = [key.name for key in order]
    rest = names if names[0] in ("created_at", "id") else names[1:]
    return rest in (["created_at", "id"], ["id"]) and len({key.descending for key in order}) == 1


def _index_key(order: Sequence[SortKey], fixed: frozenset[str]) -> str:
    """The key of the index that a walk reads: the first key of the order, with one exception.

    An index has images of one value in the order of their age. So a list that is sorted by age can use the index of a
    key that a filter fixes, and then the filter costs nothing.
    """
    first = order[0].name
    if first != "created_at" or not _is_in_index(order):
        return first
    return next((name for name in _FIXABLE if name in fixed), first)


def _bounding(shape: QueryShape, key: str) -> tuple[FilterShape, ...]:
    """The filters that limit the part of a key's index that is read."""
    return tuple([each for each in shape.filters if each.field == key and each.operator not in ("in", "neq")])


def _runs(shape: QueryShape, key: str, by_owner: bool = True) -> tuple[IndexRun, ...]:
    """The runs of the list in the indexes of a key. by_owner: whether to use an index by owner where one is fixed."""
    owners: list[tuple[Visibility, FilterShape | str | None]] = [
        *((visibility, shape.owner) for visibility in shape.scope.everybody),
        *((visibility, "caller") for visibility in shape.scope.own),
    ]
    found = []
    for visibility, fixed_owner in owners:
        owner = fixed_owner if by_owner else None
        index = f"ix_images_{'' if owner is None else 'owner_'}visibility_{key}"
        for hidden in (False, True) if shape.hidden is None else (shape.hidden,):
            found.append(IndexRun(index, visibility, owner, hidden))
    return tuple(found)
