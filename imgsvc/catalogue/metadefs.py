"""The catalogue of metadata definitions: its interface."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from imgsvc.catalogue import metadef_rows as rows
from imgsvc.catalogue.database import Database
from imgsvc.interfaces import IMetadefCatalogue
from imgsvc.metadef_model import Namespace, NamespacePage, NamespaceQuery, ResourceType

__all__ = ["MetadefCatalogue"]


@implementer(IMetadefCatalogue)
class MetadefCatalogue:
    """Keeps namespaces in a Database, which its owner starts and stops."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def namespace(self, name: str) -> Deferred[Namespace]:
        return self._database.read(lambda connection: rows.find_namespace(connection, name))

    def namespaces(self, query: NamespaceQuery) -> Deferred[NamespacePage]:
        return self._database.read(lambda connection: rows.list_namespaces(connection, query))

    def add(self, namespace: Namespace) -> Deferred[None]:
        return self._database.write(lambda connection: rows.add_namespace(connection, namespace))

    def update(self, namespace: Namespace, changed: Namespace) -> Deferred[None]:
        return self._database.write(lambda connection: rows.update_namespace(connection, namespace, changed))

    def remove(self, namespace: Namespace) -> Deferred[None]:
        return self._database.write(lambda connection: rows.remove_namespace(connection, namespace))

    def resource_types(self) -> Deferred[list[ResourceType]]:
        return self._database.read(rows.list_resource_types)
