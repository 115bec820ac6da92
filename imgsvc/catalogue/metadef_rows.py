"""Metadata definitions in the database. The functions are jobs of `Database`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    false,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from imgsvc.catalogue.metadef_tables import metadef_definitions, metadef_namespaces, metadef_resource_types
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.errors import Conflict, NamespaceChanged, NotFound
from imgsvc.metadef_model import Definition, Kind, Namespace, NamespacePage, NamespaceQuery, ResourceType, by_key
from imgsvc.model import Visibility

__all__ = [
    "add_namespace",
    "find_namespace",
    "list_namespaces",
    "list_resource_types",
    "remove_namespace",
    "update_namespace",
]

_OWN: Final = ("key", "revision")
_FIELDS: Final = (
    *("namespace", "created_at", "updated_at", "display_name", "description", "visibility", "protected", "owner"),
)
_NAMESPACES: Final = select(*(metadef_namespaces.c[name] for name in (*_OWN, *_FIELDS)))

_BARE_SIZE: Final = 300
"""Bytes of JSON of a namespace or an association without the texts that users set."""
_PARTS: Final = ("kind", "name", "created_at", "updated_at", "document")
_DEFINITIONS: Final = select(metadef_definitions.c.namespace_key, *(metadef_definitions.c[name] for name in _PARTS))
_ITSELF: Final = and_(
    metadef_definitions.c.namespace_key == bindparam("of_key"),
    metadef_definitions.c.kind == bindparam("of_kind"),
    metadef_definitions.c.name == bindparam("of_name"),
)


# --- read


def find_namespace(connection: Connection, name: str) -> Namespace:
    """Return a namespace with all its definitions. Raises NotFound."""
    for row in connection.execute(_by_name(name)):
        namespace = _namespace(row)
        of_namespace = metadef_definitions.c.namespace_key == namespace.key
        return evolve(namespace, definitions=_definitions_of(connection, of_namespace)[namespace.key])
    raise NotFound(f"There is no namespace {name!r}.")


def _by_name(name: str) -> Select[Any]:
    return _NAMESPACES.where(metadef_namespaces.c.namespace == name)


def list_namespaces(connection: Connection, query: NamespaceQuery) -> NamespacePage:
    """Return a page of namespaces, with their associations. Raises NotFound for a missing or invisible marker."""
    visible = _visible(query)
    if query.marker is not None:
        marker = metadef_namespaces.c.namespace == query.marker
        found = connection.execute(_NAMESPACES.where(marker, *_visible(evolve(query, visibility=None)))).first()
        if not found:
            raise NotFound(
                f"There is no namespace {query.marker!r} to begin after. If it was removed meanwhile, list from the"
                " first page again."
            )
        visible.append(_after(query, found))
    if query.resource_types is not None:
        associated = select(metadef_definitions.c.namespace_key).where(
            metadef_definitions.c.kind == Kind.ASSOCIATION.value,
            _one_of(metadef_definitions.c.name, query.resource_types),
        )
        visible.append(metadef_namespaces.c.key.in_(associated))
    order = [metadef_namespaces.c[name] for name in dict.fromkeys((query.sort, "namespace"))]
    page = (
        _NAMESPACES.where(*visible)
        .order_by(*(column.desc() if query.descending else column.asc() for column in order))
        .limit(query.limit)
    )
    namespaces = [_namespace(row) for row in connection.execute(page)]
    gathered: list[Namespace] = []
    held = 0
    for namespace, size in _with_associations(connection, namespaces):
        if gathered and held + size > query.size:
            return NamespacePage(gathered, gathered[-1].name, held)
        gathered.append(namespace)
        held += size
    more = bool(gathered) and len(namespaces) == query.limit
    return NamespacePage(gathered, gathered[-1].name if more else None, held)


_SEVERAL: Final = 20


def _with_associations(connection: Connection, namespaces: Sequence[Namespace]) -> Iterator[tuple[Namespace, int]]:
    """Yield namespaces with their associations, and an estimate of their bytes of JSON. A few are read at a time."""
    for start in range(0, len(namespaces), _SEVERAL):
        several = namespaces[start : start + _SEVERAL]
        keys = [namespace.key for namespace in several]
        is_association = metadef_definitions.c.kind == Kind.ASSOCIATION.value
        definitions = _definitions_of(connection, is_association, metadef_definitions.c.namespace_key.in_(keys))
        for namespace in several:
            whole = evolve(namespace, definitions=definitions[namespace.key])
            yield whole, _size(whole)


def _size(namespace: Namespace) -> int:
    texts = [namespace.name * 2, namespace.display_name or "", namespace.description or ""]
    for each in namespace.definitions.values():
        texts += [each.name, *(str(value) for value in each.document.values())]
    return _BARE_SIZE * (1 + len(namespace.definitions)) + sum(len(text.encode()) for text in texts)


def _visible(query: NamespaceQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.visibility is not None:
        conditions.append(metadef_namespaces.c.visibility == query.visibility.value)
    if not query.caller.is_admin:
        public: ColumnElement[bool] = metadef_namespaces.c.visibility == Visibility.PUBLIC.value
        own = metadef_namespaces.c.owner == query.caller.project_id
        conditions.append(public if query.caller.project_id is None else or_(public, own))
    return conditions


def _after(query: NamespaceQuery, marker: Sequence[Any]) -> ColumnElement[bool]:
    values = dict(zip((*_OWN, *_FIELDS), marker, strict=True))
    name = metadef_namespaces.c.namespace
    key = tuple_(metadef_namespaces.c[query.sort], name)
    place = tuple_(values[query.sort], values["namespace"])
    return key < place if query.descending else key > place


def _one_of(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Return an IN condition. Unlike ORs, it may have any number of values (SQLite allows 1,000 ORs)."""
    literals = [literal(value) for value in dict.fromkeys(values)]
    return column.in_(literals) if literals else false()


def _namespace(row: Sequence[Any]) -> Namespace:
    values = dict(zip((*_OWN, *_FIELDS), row, strict=True))
    return Namespace(
        name=values.pop("namespace"),
        created_at=instant(values.pop("created_at")),
        updated_at=instant(values.pop("updated_at")),
        visibility=Visibility(values.pop("visibility")),
        protected=bool(values.pop("protected")),
        **values,
    )


def _definitions_of(connection: Connection, *conditions: ColumnElement[bool]) -> Mapping[int, Any]:
    """Return the definitions that meet the conditions, by the keys of their namespaces."""
    found: dict[int, list[Definition]] = defaultdict(list)
    rows = connection.execute(_DEFINITIONS.where(*conditions))
    for of_key, kind, name, created_at, updated_at, document in rows:
        found[of_key].append(
            Definition(Kind(kind), name, instant(created_at), instant(updated_at), json.loads(document))
        )
    return defaultdict(dict, {of_key: by_key(definitions) for of_key, definitions in found.items()})


_RESOURCE_TYPES: Final = select(
    *(metadef_resource_types.c[name] for name in ("name", "created_at", "updated_at"))
).order_by(metadef_resource_types.c.name)


def list_resource_types(connection: Connection) -> list[ResourceType]:
    """Return all resource types, sorted by name."""
    return [
        ResourceType(name, instant(created_at), instant(updated_at))
        for name, created_at, updated_at in connection.execute(_RESOURCE_TYPES)
    ]


# --- write

# These run for many definitions at once, so the values are parameters.
_UPDATE_DEFINITION: Final = (
    update(metadef_definitions)
    .where(_ITSELF)
    .values({name: bindparam(f"new_{name}") for name in ("created_at", "updated_at", "document")})
)
_REMOVE_DEFINITION: Final = delete(metadef_definitions).where(_ITSELF)


def add_namespace(connection: Connection, namespace: Namespace) -> None:
    """Add a namespace with all its definitions. Raises Conflict if the name is taken."""
    try:
        connection.execute(insert(metadef_namespaces), {"revision": 0, **_values(namespace)})
    except IntegrityError as error:
        raise _taken(namespace) from error
    key, *_ = connection.execute(_by_name(namespace.name)).one()
    _add_definitions(connection, key, namespace.definitions.values(), namespace.name)


def update_namespace(connection: Connection, namespace: Namespace, changed: Namespace) -> None:
    """Replace a namespace and its definitions. Raises NotFound; NamespaceChanged; Conflict if the new name is taken."""
    values = {"revision": metadef_namespaces.c.revision + 1, **_values(changed)}
    try:
        if not connection.execute(update(metadef_namespaces).where(_is_as_seen(namespace)).values(values)).rowcount:
            raise _gone_or_changed(connection, namespace)
    except IntegrityError as error:
        raise _taken(changed) from error
    before, after = namespace.definitions, changed.definitions
    removed = [_key(namespace.key, *each) for each in before.keys() - after.keys()]
    if removed:
        connection.execute(_REMOVE_DEFINITION, removed)
    rewritten = [each for key, each in after.items() if key in before and before[key] != each]
    if rewritten:
        connection.execute(_UPDATE_DEFINITION, [_new_values(namespace.key, each) for each in rewritten])
    _add_definitions(
        connection, namespace.key, [each for key, each in after.items() if key not in before], changed.name
    )


def remove_namespace(connection: Connection, namespace: Namespace) -> None:
    """Remove a namespace with all its definitions. Raises NotFound, NamespaceChanged."""
    connection.execute(delete(metadef_definitions).where(metadef_definitions.c.namespace_key == namespace.key))
    if not connection.execute(delete(metadef_namespaces).where(_is_as_seen(namespace))).rowcount:
        raise _gone_or_changed(connection, namespace)


def _add_definitions(connection: Connection, key: int, definitions: Iterable[Definition], name: str) -> None:
    definitions = list(definitions)
    if definitions:
        rows = [
            {"namespace_key": key, "kind": each.kind.value, "name": each.name, **_values_of(each)}
            for each in definitions
        ]
        connection.execute(insert(metadef_definitions), rows)
    associated = {each.name: each for each in definitions if each.kind is Kind.ASSOCIATION}
    for known in connection.execute(_RESOURCE_TYPES) if associated else ():
        associated.pop(known[0], None)
    for each in associated.values():
        try:
            now = microseconds(each.created_at)
            connection.execute(
                insert(metadef_resource_types), {"name": each.name, "created_at": now, "updated_at": now}
            )
        except IntegrityError as error:  # another process was faster
            raise NamespaceChanged(name) from error


def _values(namespace: Namespace) -> dict[str, Any]:
    return {
        "namespace": namespace.name,
        "created_at": microseconds(namespace.created_at),
        "updated_at": microseconds(namespace.updated_at),
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility.value,
        "protected": namespace.protected,
        "owner": namespace.owner,
    }


def _key(namespace_key: int, kind: Kind, name: str) -> dict[str, Any]:
    return {"of_key": namespace_key, "of_kind": kind.value, "of_name": name}


def _new_values(namespace_key: int, definition: Definition) -> dict[str, Any]:
    """Return the parameters of _UPDATE_DEFINITION."""
    new = {f"new_{name}": value for name, value in _values_of(definition).items()}
    return _key(namespace_key, definition.kind, definition.name) | new


def _values_of(definition: Definition) -> dict[str, Any]:
    return {
        "created_at": microseconds(definition.created_at),
        "updated_at": microseconds(definition.updated_at),
        "document": json.dumps(dict(definition.document), ensure_ascii=False),
    }


def _is_as_seen(namespace: Namespace) -> ColumnElement[bool]:
    """Return the condition that a namespace still has the revision that was read."""
    columns = metadef_namespaces.c
    return and_(columns.key == namespace.key, columns.revision == namespace.revision)


def _taken(namespace: Namespace) -> Conflict:
    return Conflict(f"There is a namespace {namespace.name!r} already.")


def _gone_or_changed(connection: Connection, namespace: Namespace) -> NotFound | NamespaceChanged:
    if connection.execute(select(metadef_namespaces.c.key).where(metadef_namespaces.c.key == namespace.key)).first():
        return NamespaceChanged(namespace.name)
    return NotFound(f"There is no namespace {namespace.name!r}.")
