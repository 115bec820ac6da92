"""Loads whole namespaces of metadata definitions into the catalogue, for the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attrs import evolve

from imgsvc.errors import NamespaceChanged, NotFound
from imgsvc.interfaces import IMetadefCatalogue
from imgsvc.metadef_model import Definition, Definitions, Namespace, NamespaceQuery, by_key
from imgsvc.model import Caller
from imgsvc.operations.metadef_limits import check_growth
from imgsvc.operations.metadefs import MOST_ATTEMPTS, Documents

__all__ = ["Existing", "Outcome", "all_namespaces", "load_namespace", "unload_namespace"]

OPERATOR: Final = Caller(roles=frozenset({"admin"}))
PAGE: Final = 100
"""Namespaces that are read with one query."""


class Existing(StrEnum):
    """What happens when the loaded namespace exists already."""

    SKIP = "skip"
    """The existing namespace stays as it is."""
    MERGE = "merge"
    """The existing namespace gets the definitions that it lacks."""
    PREFER_NEW = "prefer-new"
    """The existing namespace gets all loaded fields and definitions, and keeps its other definitions."""
    REPLACE = "replace"
    """The loaded namespace replaces the existing one."""


class Outcome(StrEnum):
    """What a load has done."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


async def load_namespace(
    catalogue: IMetadefCatalogue, fields: Mapping[str, Any], documents: Documents, existing: Existing, now: datetime
) -> Outcome:
    """Load one namespace in one transaction. Parts that do not change keep their dates.

    fields: the fields of the Namespace, including its name. existing: what happens if it exists. now: the date of
    changes.
    Raises QuotaExceeded: it is too large. Raises Conflict: another process adds it at the same time. Raises
    NamespaceChanged: others have changed it during each attempt.
    """
    loaded = Namespace(
        created_at=now,
        updated_at=now,
        definitions=by_key(Definition(*key, now, now, document) for key, document in documents.items()),
        **fields,
    )
    for _ in range(MOST_ATTEMPTS):
        try:
            before = await catalogue.namespace(loaded.name)
        except NotFound:
            check_growth({}, loaded.definitions)
            await catalogue.add(loaded)
            return Outcome.ADDED
        after = _combined(before, loaded, existing)
        if after == before:
            return Outcome.UNCHANGED
        check_growth(before.definitions, after.definitions)
        try:
            await catalogue.update(before, after)
            return Outcome.CHANGED
        except NamespaceChanged:
            continue
    raise NamespaceChanged(loaded.name)


async def unload_namespace(catalogue: IMetadefCatalogue, name: str) -> None:
    """Delete a namespace with all its definitions, even if it is protected.

    Raises NotFound. Raises NamespaceChanged: others have changed it during each attempt.
    """
    for _ in range(MOST_ATTEMPTS):
        try:
            await catalogue.remove(await catalogue.namespace(name))
            return
        except NamespaceChanged:
            continue
    raise NamespaceChanged(name)


async def all_namespaces(catalogue: IMetadefCatalogue) -> AsyncIterator[Namespace]:
    """All namespaces with their definitions, in the order of their names."""
    last: str | None = None
    while True:
        query = NamespaceQuery(OPERATOR, PAGE, sort="namespace", descending=False, marker=last)
        page = await catalogue.namespaces(query)
        for each in page.namespaces:
            yield await catalogue.namespace(each.name)
        last = page.last
        if last is None:
            return


def _combined(before: Namespace, loaded: Namespace, existing: Existing) -> Namespace:
    there, new = before.definitions, loaded.definitions
    match existing:
        case Existing.SKIP:
            return before
        case Existing.MERGE:
            return evolve(before, definitions=by_key([*there.values(), *(new[key] for key in new if key not in there)]))
        case Existing.PREFER_NEW:
            kept = [each for key, each in there.items() if key not in new]
            definitions = by_key([*kept, *_dated(there, new)])
        case Existing.REPLACE:
            definitions = by_key(_dated(there, new))
    same = evolve(
        loaded, created_at=before.created_at, updated_at=before.updated_at, key=before.key, revision=before.revision
    )
    fields = same if evolve(same, definitions=there) == before else evolve(same, updated_at=loaded.updated_at)
    return evolve(fields, definitions=definitions)


def _dated(there: Definitions, new: Definitions) -> list[Definition]:
    """The new definitions. One with the same document as before stays as it is; a changed one keeps its created_at."""
    return [
        there[key]
        if key in there and there[key].document == each.document
        else evolve(each, created_at=there[key].created_at if key in there else each.created_at)
        for key, each in new.items()
    ]
