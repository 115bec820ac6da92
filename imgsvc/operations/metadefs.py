"""Metadata definitions: who may see and change which namespace, and what each change does.

Source: Image API v2, "Metadata definitions". The actions are those of Glance's policies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

from attrs import define, evolve, frozen

from imgsvc.errors import Conflict, Forbidden, NamespaceChanged, NotFound, NotPermitted
from imgsvc.interfaces import IMetadefCatalogue, IPolicy
from imgsvc.metadef_model import Definition, Kind, Namespace, NamespacePage, NamespaceQuery, ResourceType, by_key
from imgsvc.model import Caller, Visibility
from imgsvc.operations.metadef_limits import check_growth

__all__ = ["Documents", "Metadefs"]

T = TypeVar("T")

MOST_ATTEMPTS: Final = 50
"""Attempts to make a change, while others change the same namespace."""

Documents = Mapping[tuple[Kind, str], Mapping[str, Any]]
"""The documents of new definitions, by kind and name."""


@frozen
class _Actions:
    """The policy actions for one kind of definitions."""

    show: str
    list: str
    add: str
    change: str
    remove: str


_ACTIONS: Final[Mapping[Kind, _Actions]] = MappingProxyType(
    {
        Kind.PROPERTY: _Actions(
            *("get_metadef_property", "get_metadef_properties"),
            *("add_metadef_property", "modify_metadef_property", "remove_metadef_property"),
        ),
        Kind.OBJECT: _Actions(
            *("get_metadef_object", "get_metadef_objects"),
            *("add_metadef_object", "modify_metadef_object", "delete_metadef_object"),
        ),
        Kind.TAG: _Actions(
            *("get_metadef_tag", "get_metadef_tags"),
            *("add_metadef_tag", "modify_metadef_tag", "delete_metadef_tag"),
        ),
        Kind.ASSOCIATION: _Actions(
            *("get_metadef_resource_type", "list_metadef_resource_types"),
            *("add_metadef_resource_type_association", "add_metadef_resource_type_association"),
            "remove_metadef_resource_type_association",
        ),
    }
)


@define
class Metadefs:
    """Shows and changes namespaces and their definitions.

    All methods raise NotFound if the namespace does not exist or the caller may not see it, and Forbidden if the policy
    does not allow the action. Methods that add definitions raise QuotaExceeded if the namespace would be too large.

    now: returns the time, for the dates of new and changed parts.
    """

    catalogue: IMetadefCatalogue
    policy: IPolicy
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    # --- namespaces

    async def page(self, query: NamespaceQuery) -> NamespacePage:
        """A page of the namespaces that the caller may see. Of their definitions it has the associations only."""
        self._require(query.caller, None, "get_metadef_namespaces", "list_metadef_resource_types")
        page = await self.catalogue.namespaces(query)
        seen = [
            self._readable(query.caller, namespace)
            for namespace in page.namespaces
            if self._is_visible(query.caller, namespace)
            and self.policy.allows("get_metadef_namespace", query.caller, namespace)
        ]
        return evolve(page, namespaces=seen)

    async def show(self, caller: Caller, name: str) -> Namespace:
        """A namespace with all definitions that the caller may see."""
        lists = [_ACTIONS[kind].list for kind in Kind]
        return self._readable(caller, await self._namespace(caller, name, "get_metadef_namespace", *lists))

    def check_create(self, caller: Caller) -> None:
        """Check that the caller may create namespaces. Raises Forbidden."""
        self._require(caller, None, "add_metadef_namespace")

    async def create(self, caller: Caller, fields: Mapping[str, Any], documents: Documents) -> Namespace:
        """Create a namespace with its definitions. fields: the fields of Namespace that the caller sets.

        Raises Conflict: the name is taken.
        """
        self._require(caller, None, "add_metadef_namespace", *sorted({_ACTIONS[kind].add for kind, _ in documents}))
        now = self.now()
        definitions = by_key(Definition(*key, now, now, document) for key, document in documents.items())
        values = {"owner": caller.project_id, **fields}
        self._check_owner(caller, values["owner"])
        check_growth({}, definitions)
        namespace = Namespace(created_at=now, updated_at=now, definitions=definitions, **values)
        await self.catalogue.add(namespace)
        return namespace

    async def check_replace(self, caller: Caller, name: str) -> None:
        """Check for `replace` what does not depend on the fields."""
        await self._namespace(caller, name, "modify_metadef_namespace")

    async def replace(self, caller: Caller, name: str, fields: Mapping[str, Any]) -> Namespace:
        """Replace all fields of a namespace. Fields that are not given get their defaults. The definitions stay.

        Raises Conflict: the new name is taken.
        """
        values = {"owner": caller.project_id, **fields}
        self._check_owner(caller, values["owner"])

        def replaced(namespace: Namespace) -> Namespace:
            return Namespace(
                created_at=namespace.created_at, updated_at=self.now(), definitions=namespace.definitions, **values
            )

        return await self._change(caller, name, ("modify_metadef_namespace",), replaced)

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a namespace and all its definitions. Raises Forbidden also if it is protected."""

        async def remove(namespace: Namespace) -> None:
            _check_unprotected(namespace)
            await self.catalogue.remove(namespace)

        await self._repeat(caller, name, ("delete_metadef_namespace",), remove)

    async def resource_types(self, caller: Caller) -> list[ResourceType]:
        """The resource types of all associations that ever existed. Empty if `get_metadef_resource_type` is not
        allowed.
        """
        self._require(caller, None, "list_metadef_resource_types")
        if not self.policy.allows("get_metadef_resource_type", caller):
            return []
        types: list[ResourceType] = await self.catalogue.resource_types()
        return types

    # --- definitions

    async def definitions(self, caller: Caller, name: str, kind: Kind) -> list[Definition]:
        """All definitions of a kind that the caller may see, in the order of their names."""
        return self._readable(caller, await self._namespace(caller, name, _ACTIONS[kind].list)).of_kind(kind)

    async def definition(self, caller: Caller, name: str, kind: Kind, of: str) -> Definition:
        """The definition named `of`. Raises NotFound also if there is none."""
        return _found(await self._namespace(caller, name, _ACTIONS[kind].show), kind, of)

    async def property_of_type(self, caller: Caller, name: str, of: str, resource_type: str) -> Definition:
        """The property that has the key `of` on resources of a type. That key begins with the prefix of the
        association.

        Raises NotFound also if there is no such property.
        """
        actions = (_ACTIONS[Kind.PROPERTY].show, _ACTIONS[Kind.ASSOCIATION].show)
        namespace = await self._namespace(caller, name, *actions)
        prefix = _found(namespace, Kind.ASSOCIATION, resource_type).document.get("prefix", "")
        if not of.startswith(prefix):
            raise NotFound(f"Properties of {resource_type} begin with {prefix!r}, and {of!r} does not.")
        return _found(namespace, Kind.PROPERTY, of.removeprefix(prefix))

    async def check_add(self, caller: Caller, name: str, kind: Kind) -> None:
        """Check for `add` what does not depend on the definitions."""
        await self._namespace(caller, name, _ACTIONS[kind].add)

    async def add(self, caller: Caller, name: str, documents: Documents) -> list[Definition]:
        """Add definitions of one kind. Raises Conflict: one of them exists already."""
        now = self.now()
        new = [Definition(*key, now, now, document) for key, document in documents.items()]

        def added(namespace: Namespace) -> Namespace:
            for key in documents.keys() & namespace.definitions.keys():
                raise _exists(namespace, *key)
            return evolve(namespace, definitions=by_key([*namespace.definitions.values(), *new]))

        await self._change(caller, name, sorted({_ACTIONS[kind].add for kind, _ in documents}), added)
        return new

    async def check_set_tags(self, caller: Caller, name: str) -> None:
        """Check for `set_tags` what does not depend on the tags."""
        await self._namespace(caller, name, "add_metadef_tags")

    async def set_tags(self, caller: Caller, name: str, tags: Sequence[str], append: bool) -> None:
        """Replace all tags, or append to them. Raises Conflict: a tag to append exists already."""
        now = self.now()
        new = [Definition(Kind.TAG, tag, now, now) for tag in tags]

        def tagged(namespace: Namespace) -> Namespace:
            kept = [each for each in namespace.definitions.values() if append or each.kind is not Kind.TAG]
            for key in by_key(kept).keys() & by_key(new).keys():
                raise _exists(namespace, *key)
            return evolve(namespace, definitions=by_key([*kept, *new]))

        await self._change(caller, name, ("add_metadef_tags",), tagged)

    async def check_change(self, caller: Caller, name: str, kind: Kind, of: str) -> None:
        """Check for `change` what does not depend on the new name and document. Raises NotFound also for the
        definition.
        """
        _found(await self._namespace(caller, name, _ACTIONS[kind].change), kind, of)

    async def change(
        self, caller: Caller, name: str, kind: Kind, of: str, new_name: str, document: Mapping[str, Any]
    ) -> Definition:
        """Replace the document and the name of the definition `of`.

        Raises NotFound also if there is no such definition. Raises Conflict: the new name is taken.
        """

        def changed(namespace: Namespace) -> Namespace:
            before = _found(namespace, kind, of)
            if new_name != of and (kind, new_name) in namespace.definitions:
                raise _exists(namespace, kind, new_name)
            after = evolve(before, name=new_name, document=document, updated_at=self.now())
            others = [each for each in namespace.definitions.values() if each is not before]
            return evolve(namespace, definitions=by_key([*others, after]))

        return _found(await self._change(caller, name, (_ACTIONS[kind].change,), changed), kind, new_name)

    async def remove(self, caller: Caller, name: str, kind: Kind, of: str) -> None:
        """Remove the definition `of`. Raises NotFound also if there is none, and Forbidden also if the namespace is
        protected.
        """

        def removed(namespace: Namespace) -> Namespace:
            gone = _found(namespace, kind, of)
            _check_unprotected(namespace)
            return evolve(
                namespace, definitions=by_key(each for each in namespace.definitions.values() if each is not gone)
            )

        await self._change(caller, name, (_ACTIONS[kind].remove,), removed)

    async def remove_all(self, caller: Caller, name: str, kind: Kind) -> None:
        """Remove all definitions of a kind. The caller must also be allowed to delete the namespace.

        Raises Forbidden also if the namespace is protected.
        """

        def emptied(namespace: Namespace) -> Namespace:
            _check_unprotected(namespace)
            kept = [each for each in namespace.definitions.values() if each.kind is not kind]
            return evolve(namespace, definitions=by_key(kept))

        remove = "delete_metadef_tags" if kind is Kind.TAG else _ACTIONS[kind].remove
        await self._change(caller, name, ("delete_metadef_namespace", remove), emptied)

    # --- common parts

    async def _namespace(self, caller: Caller, name: str, *actions: str) -> Namespace:
        """Find a namespace that the caller may do all of `actions` to. Each action is granted by its own rule.

        Raises Forbidden: an action is not allowed, and `get_metadef_namespace` is. Raises NotFound: neither is allowed.
        """
        namespace = await self.catalogue.namespace(name)
        absent = NotFound(f"There is no namespace {name!r}.")
        if not self._is_visible(caller, namespace):
            raise absent
        try:
            self._require(caller, namespace, *actions)
        except Forbidden:
            if not self.policy.allows("get_metadef_namespace", caller, namespace):
                raise absent from None
            raise
        return namespace

    async def _change(
        self, caller: Caller, name: str, actions: Sequence[str], function: Callable[[Namespace], Namespace]
    ) -> Namespace:
        """Write the namespace that `function` returns, and return it."""

        async def update(namespace: Namespace) -> Namespace:
            changed = function(namespace)
            check_growth(namespace.definitions, changed.definitions)
            await self.catalogue.update(namespace, changed)
            return changed

        return await self._repeat(caller, name, actions, update)

    async def _repeat(
        self, caller: Caller, name: str, actions: Sequence[str], work: Callable[[Namespace], Awaitable[T]]
    ) -> T:
        """Do `work` with the current namespace.

        Repeat it with the new one if others have changed it in the meantime.
        """
        for _ in range(MOST_ATTEMPTS - 1):
            try:
                return await work(await self._namespace(caller, name, *actions))
            except NamespaceChanged:
                continue
        return await work(await self._namespace(caller, name, *actions))

    def _is_visible(self, caller: Caller, namespace: Namespace) -> bool:
        """Whether the caller can see a namespace. No rule of the policy can grant more than this."""
        return (
            caller.is_admin
            or namespace.visibility is Visibility.PUBLIC
            or (namespace.owner is not None and namespace.owner == caller.project_id)
        )

    def _readable(self, caller: Caller, namespace: Namespace) -> Namespace:
        """The namespace without the kinds of definitions that the caller may not see one by one."""
        hidden = [kind for kind in Kind if not self.policy.allows(_ACTIONS[kind].show, caller, namespace)]
        if not hidden:
            return namespace
        shown = by_key(each for each in namespace.definitions.values() if each.kind not in hidden)
        return evolve(namespace, definitions=shown)

    def _require(self, caller: Caller, namespace: Namespace | None, *actions: str) -> None:
        for action in actions:
            if not self.policy.allows(action, caller, namespace):
                raise NotPermitted(action)

    def _check_owner(self, caller: Caller, owner: str | None) -> None:
        if owner != caller.project_id and not caller.is_admin:
            raise Forbidden(f"You are not permitted to have namespaces owned by {owner!r}.")


def _found(namespace: Namespace, kind: Kind, name: str) -> Definition:
    try:
        return namespace.definitions[kind, name]
    except KeyError:
        raise NotFound(f"Namespace {namespace.name!r} has no {kind} {name!r}.") from None


def _exists(namespace: Namespace, kind: Kind, name: str) -> Conflict:
    return Conflict(f"Namespace {namespace.name!r} has the {kind} {name!r} already.")


def _check_unprotected(namespace: Namespace) -> None:
    if namespace.protected:
        raise Forbidden(f"Namespace {namespace.name!r} is protected: neither it nor its definitions can be deleted.")
