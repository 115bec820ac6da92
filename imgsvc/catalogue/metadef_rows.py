"""Metadata definitions in the database. Every function is a job of `Database`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve
from sqlalchemy import (
    ColumnElement,
    Connection,
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

from imgsvc.catalogue.metadef_tables import metadef_definitions, metadef_namespaces, metadef_resource_types
from imgsvc.catalogue.rows import instant, microseconds
from imgsvc.catalogue.statements import Statement
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
_BY_NAME: Final = Statement(_NAMESPACES.where(metadef_namespaces.c.namespace == bindparam("of_name")))
_SEEN: Final = and_(
    metadef_namespaces.c.key == bindparam("of_key"), metadef_namespaces.c.revision == bindparam("seen_revision")
)

_BARE_SIZE: Final = 300
"""Bytes of JSON of a namespace or an association without texts of its maker's."""
_PARTS: Final = ("kind", "name", "created_at", "updated_at", "document")
_DEFINITIONS: Final = select(metadef_definitions.c.namespace_key, *(metadef_definitions.c[name] for name in _PARTS))
_OF_NAMESPACE: Final = metadef_definitions.c.namespace_key == bindparam("of_key")
_ITSELF: Final = and_(
    _OF_NAMESPACE,
    metadef_definitions.c.kind == bindparam("of_kind"),
    metadef_definitions.c.name == bindparam("of_name"),
)
_ALL_DEFINITIONS: Final = Statement(_DEFINITIONS.where(_OF_NAMESPACE))


# --- read


def find_namespace(connection: Connection, name: str) -> Namespace:
    """With all its definitions. Raises NotFound."""
    for row in _BY_NAME.rows(connection, of_name=name):
        namespace = _namespace(row)
        return evolve(
            namespace, definitions=_definitions_of(connection, _ALL_DEFINITIONS, of_key=namespace.key)[namespace.key]
        )
    raise NotFound(f"There is no namespace {name!r}.")


def list_namespaces(connection: Connection, query: NamespaceQuery) -> NamespacePage:
    """A page, with no definitions but associations. Raises NotFound for a marker that is not there or not visible."""
    visible = _visible(query)
    if query.marker is not None:
        marker = metadef_namespaces.c.namespace == query.marker
        found = _run(connection, _NAMESPACES.where(marker, *_visible(evolve(query, visibility=None))))
        if not found:
            raise NotFound(f"There is no namespace {query.marker!r} to begin after.")
        visible.append(_after(query, found[0]))
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
    namespaces = [_namespace(row) for row in _run(connection, page)]
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
_ASSOCIATIONS: Final = Statement(
    _DEFINITIONS.where(
        metadef_definitions.c.kind == Kind.ASSOCIATION.value,
        metadef_definitions.c.namespace_key.in_([bindparam(f"key_{number}") for number in range(_SEVERAL)]),
    )
)


def _with_associations(connection: Connection, namespaces: Sequence[Namespace]) -> Iterator[tuple[Namespace, int]]:
    """Namespaces with these definitions, and the bytes of JSON that they make, about; a few are read at a time."""
    for start in range(0, len(namespaces), _SEVERAL):
        several = namespaces[start : start + _SEVERAL]
        keys = [namespace.key for namespace in several]
        values = {f"key_{number}": key for number, key in enumerate(keys + keys[:1] * (_SEVERAL - len(keys)))}
        definitions = _definitions_of(connection, _ASSOCIATIONS, **values)
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
    """IN, which has no bound as an expression has one of many ORs (1,000 in SQLite)."""
    literals = [literal(value) for value in dict.fromkeys(values)]
    return column.in_(literals) if literals else false()


def _run(connection: Connection, clause: Any) -> Sequence[Sequence[Any]]:
    """The rows of a select that is made for one query."""
    return Statement.for_dialect(clause, connection.dialect).rows(connection)


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


def _definitions_of(connection: Connection, statement: Statement, **keys: int) -> Mapping[int, Any]:
    found: dict[int, list[Definition]] = defaultdict(list)
    for of_key, kind, name, created_at, updated_at, document in statement.rows(connection, **keys):
        found[of_key].append(
            Definition(Kind(kind), name, instant(created_at), instant(updated_at), json.loads(document))
        )
    return defaultdict(dict, {of_key: by_key(definitions) for of_key, definitions in found.items()})


_RESOURCE_TYPES: Final = Statement(
    select(*(metadef_resource_types.c[name] for name in ("name", "created_at", "updated_at"))).order_by(
        metadef_resource_types.c.name
    )
)


def list_resource_types(connection: Connection) -> list[ResourceType]:
    """All of them, in the order of their names."""
    return [
        ResourceType(name, instant(created_at), instant(updated_at))
        for name, created_at, updated_at in _RESOURCE_TYPES.rows(connection)
    ]


# --- write

_ADD: Final = Statement(
    insert(metadef_namespaces).values(revision=0, **{name: bindparam(f"new_{name}") for name in _FIELDS})
)
_UPDATE: Final = Statement(
    update(metadef_namespaces)
    .where(_SEEN)
    .values(revision=metadef_namespaces.c.revision + 1, **{name: bindparam(f"new_{name}") for name in _FIELDS})
)
_REMOVE: Final = Statement(delete(metadef_namespaces).where(_SEEN))
_ADD_DEFINITION: Final = Statement(
    insert(metadef_definitions).values(
        namespace_key=bindparam("of_key"),
        kind=bindparam("of_kind"),
        name=bindparam("of_name"),
        created_at=bindparam("new_created_at"),
        updated_at=bindparam("new_updated_at"),
        document=bindparam("new_document"),
    )
)
_UPDATE_DEFINITION: Final = Statement(
    update(metadef_definitions)
    .where(_ITSELF)
    .values(
        created_at=bindparam("new_created_at"),
        updated_at=bindparam("new_updated_at"),
        document=bindparam("new_document"),
    )
)
_REMOVE_DEFINITION: Final = Statement(delete(metadef_definitions).where(_ITSELF))
_REMOVE_DEFINITIONS: Final = Statement(delete(metadef_definitions).where(_OF_NAMESPACE))
_ADD_RESOURCE_TYPE: Final = Statement(
    insert(metadef_resource_types).values(
        name=bindparam("new_name"), created_at=bindparam("now"), updated_at=bindparam("now")
    )
)


def add_namespace(connection: Connection, namespace: Namespace) -> None:
    """With all its definitions. Raises Conflict if the name is taken."""
    try:
        _ADD.run(connection, **_values(namespace))
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise _taken(namespace) from error
    key, *_ = _BY_NAME.rows(connection, of_name=namespace.name)[0]
    _add_definitions(connection, key, namespace.definitions.values(), namespace.name)


def update_namespace(connection: Connection, namespace: Namespace, changed: Namespace) -> None:
    """Raises NotFound, NamespaceChanged; Conflict if the new name is taken."""
    seen = {"of_key": namespace.key, "seen_revision": namespace.revision}
    try:
        if not _UPDATE.run(connection, **seen, **_values(changed)):
            raise _gone_or_changed(connection, namespace)
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise _taken(changed) from error
    before, after = namespace.definitions, changed.definitions
    removed = [_key(namespace.key, *each) for each in before.keys() - after.keys()]
    if removed:
        _REMOVE_DEFINITION.run_for_each(connection, removed)
    rewritten = [each for key, each in after.items() if key in before and before[key] != each]
    if rewritten:
        _UPDATE_DEFINITION.run_for_each(connection, [_definition_values(namespace.key, each) for each in rewritten])
    _add_definitions(
        connection, namespace.key, [each for key, each in after.items() if key not in before], changed.name
    )


def remove_namespace(connection: Connection, namespace: Namespace) -> None:
    """With all its definitions. Raises NotFound, NamespaceChanged."""
    _REMOVE_DEFINITIONS.run(connection, of_key=namespace.key)
    if not _REMOVE.run(connection, of_key=namespace.key, seen_revision=namespace.revision):
        raise _gone_or_changed(connection, namespace)


def _add_definitions(connection: Connection, key: int, definitions: Iterable[Definition], name: str) -> None:
    definitions = list(definitions)
    if definitions:
        _ADD_DEFINITION.run_for_each(connection, [_definition_values(key, each) for each in definitions])
    associated = {each.name: each for each in definitions if each.kind is Kind.ASSOCIATION}
    for known in _RESOURCE_TYPES.rows(connection) if associated else ():
        associated.pop(known[0], None)
    for each in associated.values():
        try:
            _ADD_RESOURCE_TYPE.run(connection, new_name=each.name, now=microseconds(each.created_at))
        except connection.dialect.loaded_dbapi.IntegrityError as error:  # another process was faster
            raise NamespaceChanged(name) from error


def _values(namespace: Namespace) -> dict[str, Any]:
    return {
        "new_namespace": namespace.name,
        "new_created_at": microseconds(namespace.created_at),
        "new_updated_at": microseconds(namespace.updated_at),
        "new_display_name": namespace.display_name,
        "new_description": namespace.description,
        "new_visibility": namespace.visibility.value,
        "new_protected": namespace.protected,
        "new_owner": namespace.owner,
    }


def _key(namespace_key: int, kind: Kind, name: str) -> dict[str, Any]:
    return {"of_key": namespace_key, "of_kind": kind.value, "of_name": name}


def _definition_values(namespace_key: int, definition: Definition) -> dict[str, Any]:
    return {
        **_key(namespace_key, definition.kind, definition.name),
        "new_created_at": microseconds(definition.created_at),
        "new_updated_at": microseconds(definition.updated_at),
        "new_document": json.dumps(dict(definition.document), ensure_ascii=False),
    }


def _taken(namespace: Namespace) -> Conflict:
    return Conflict(f"There is a namespace {namespace.name!r} already.")


_BY_KEY: Final = Statement(select(metadef_namespaces.c.key).where(metadef_namespaces.c.key == bindparam("of_key")))


def _gone_or_changed(connection: Connection, namespace: Namespace) -> NotFound | NamespaceChanged:
    if _BY_KEY.rows(connection, of_key=namespace.key):
        return NamespaceChanged(namespace.name)
    return NotFound(f"There is no namespace {namespace.name!r}.")
