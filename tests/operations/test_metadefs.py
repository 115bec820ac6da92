"""Tests of imgsvc.operations.metadefs: concurrent changes, and rules of operators."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.catalogue import MetadefCatalogue
from imgsvc.catalogue.sqlite import SQLiteDatabase
from imgsvc.errors import Conflict, Forbidden, ImgsvcError, NamespaceChanged, NotFound
from imgsvc.identity.policy import Policy
from imgsvc.interfaces import IMetadefCatalogue
from imgsvc.metadef_model import Kind, Namespace, NamespacePage, NamespaceQuery, ResourceType
from imgsvc.model import Caller, Visibility
from imgsvc.operations.metadefs import MOST_ATTEMPTS, Metadefs
from tests.support.threads import ImmediateThreads

ADMIN = Caller(project_id="ops", roles=frozenset({"admin", "member", "reader"}))
CURATOR = Caller(project_id="blue", roles=frozenset({"curator", "reader"}))
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PROPERTY = {(Kind.PROPERTY, "p"): {"title": "P", "type": "string"}}


@implementer(IMetadefCatalogue)
class Meddled:
    """A catalogue in which others change a namespace between each read and the following write.

    meddle: makes their change. times: how often it is made.
    """

    def __init__(self, inner: MetadefCatalogue, meddle: Callable[[Namespace], Namespace], times: int) -> None:
        self.inner, self.meddle, self.times = inner, meddle, times

    async def _meddled(self, name: str) -> Namespace:
        found = await self.inner.namespace(name)
        if self.times:
            self.times -= 1
            await self.inner.update(found, self.meddle(found))
        return found

    def namespace(self, name: str) -> Deferred[Namespace]:
        return Deferred.fromCoroutine(self._meddled(name))

    def namespaces(self, query: NamespaceQuery) -> Deferred[NamespacePage]:
        return self.inner.namespaces(query)

    def add(self, namespace: Namespace) -> Deferred[None]:
        return self.inner.add(namespace)

    def update(self, namespace: Namespace, changed: Namespace) -> Deferred[None]:
        return self.inner.update(namespace, changed)

    def remove(self, namespace: Namespace) -> Deferred[None]:
        return self.inner.remove(namespace)

    def resource_types(self) -> Deferred[list[ResourceType]]:
        return self.inner.resource_types()


class MetadefTestCase(SynchronousTestCase):
    """A namespace `one` with a property and a tag."""

    def setUp(self) -> None:
        threads = {"writer_threads": ImmediateThreads(), "reader_threads": ImmediateThreads()}
        database = SQLiteDatabase(f"sqlite:///{self.mktemp()}", **threads)
        self.successResultOf(database.start())
        self.addCleanup(lambda: self.successResultOf(database.stop()))
        self.catalogue = MetadefCatalogue(database)
        self.now = NOON
        self.metadefs = self.operations(self.catalogue)
        documents = {**PROPERTY, (Kind.TAG, "t"): {}}
        self.result(self.metadefs.create(ADMIN, {"name": "one", "visibility": Visibility.PUBLIC}, documents))

    def operations(self, catalogue: Any, policy: Policy | None = None) -> Metadefs:
        return Metadefs(catalogue, policy or Policy(), now=lambda: self.now)

    def meddled(self, meddle: Callable[[Namespace], Namespace], times: int = 1) -> Metadefs:
        """Operations on a Meddled catalogue."""
        return self.operations(Meddled(self.catalogue, meddle, times))

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def assert_refused(self, error: type[ImgsvcError], work: Coroutine[Any, Any, Any]) -> None:
        self.failureResultOf(Deferred.fromCoroutine(work), error)

    def rules(self) -> Path:
        """An operator's rules for people who look after definitions."""
        path = Path(self.mktemp())
        path.write_text('"metadef_admin": "role:admin or role:curator"\n')
        return path

    def read(self, name: str = "one") -> Namespace:
        found = self.successResultOf(self.catalogue.namespace(name))
        assert isinstance(found, Namespace)
        return found


def protected(namespace: Namespace) -> Namespace:
    return evolve(namespace, protected=True)


def described(namespace: Namespace) -> Namespace:
    return evolve(namespace, description=f"{namespace.description}+")


class TogetherTests(MetadefTestCase):
    """Concurrent changes."""

    def test_provided(self) -> None:
        """The Meddled catalogue provides the interface."""
        verifyObject(IMetadefCatalogue, Meddled(self.catalogue, described, 0))

    def test_both(self) -> None:
        """A change is based on the current state, so both changes take effect."""
        self.result(self.meddled(described, 3).add(ADMIN, "one", {(Kind.TAG, "new"): {}}))
        found = self.read()
        self.assertEqual([each.name for each in found.of_kind(Kind.TAG)], ["new", "t"])
        self.assertEqual(found.description, "None+++")

    def test_protected_meanwhile(self) -> None:
        """A protection that was set meanwhile is respected."""
        for remove in (
            lambda metadefs: metadefs.delete(ADMIN, "one"),
            lambda metadefs: metadefs.remove(ADMIN, "one", Kind.TAG, "t"),
            lambda metadefs: metadefs.remove_all(ADMIN, "one", Kind.PROPERTY),
        ):
            self.assert_refused(Forbidden, remove(self.meddled(protected)))
            found = self.read()
            self.assertEqual(len(found.definitions), 2)
            self.successResultOf(self.catalogue.update(found, evolve(found, protected=False)))

    def test_hidden_meanwhile(self) -> None:
        """A namespace that became invisible meanwhile is not found."""
        policy = Policy(self.rules())

        def hidden(namespace: Namespace) -> Namespace:
            return evolve(namespace, visibility=Visibility.PRIVATE)

        metadefs = self.operations(Meddled(self.catalogue, hidden, 1), policy)
        self.assert_refused(NotFound, metadefs.add(CURATOR, "one", {(Kind.TAG, "new"): {}}))
        self.assertEqual(len(self.read().definitions), 2)

    def test_taken_meanwhile(self) -> None:
        """A name that was used meanwhile is a conflict."""

        def tagged(namespace: Namespace) -> Namespace:
            tag = evolve(namespace.definitions[Kind.TAG, "t"], name="new")
            return evolve(namespace, definitions={**namespace.definitions, (Kind.TAG, "new"): tag})

        self.assert_refused(Conflict, self.meddled(tagged).add(ADMIN, "one", {(Kind.TAG, "new"): {}}))
        self.assertEqual(len(self.read().definitions), 3)

    def test_without_end(self) -> None:
        """A change that is always overtaken is given up in the end."""
        self.assert_refused(NamespaceChanged, self.meddled(described, MOST_ATTEMPTS).delete(ADMIN, "one"))
        self.result(self.meddled(described, MOST_ATTEMPTS - 1).delete(ADMIN, "one"))


class DateTests(MetadefTestCase):
    """Which dates change."""

    def test_dates(self) -> None:
        """A change of a definition updates its own date. A change of fields updates that of the namespace."""
        self.now = NOON + timedelta(days=1)
        self.result(self.metadefs.change(ADMIN, "one", Kind.PROPERTY, "p", "q", {"title": "Q", "type": "string"}))
        found = self.read()
        changed, tag = found.definitions[Kind.PROPERTY, "q"], found.definitions[Kind.TAG, "t"]
        self.assertEqual((changed.created_at, changed.updated_at), (NOON, self.now))
        self.assertEqual((tag.updated_at, found.updated_at), (NOON, NOON))
        self.result(self.metadefs.replace(ADMIN, "one", {"name": "one"}))
        found = self.read()
        self.assertEqual((found.created_at, found.updated_at), (NOON, self.now))


class RulesTests(MetadefTestCase):
    """An operator's rules."""

    def setUp(self) -> None:
        super().setUp()
        self.metadefs = self.operations(self.catalogue, Policy(self.rules()))

    def test_curator(self) -> None:
        """Another role may be allowed to write, in namespaces that it sees and for its own project."""
        self.result(self.metadefs.create(CURATOR, {"name": "two"}, PROPERTY))
        self.assertEqual(self.read("two").owner, "blue")
        self.assert_refused(Forbidden, self.metadefs.create(CURATOR, {"name": "three", "owner": "red"}, {}))
        self.assert_refused(Forbidden, self.metadefs.replace(CURATOR, "two", {"name": "two", "owner": "red"}))
        self.result(self.metadefs.add(CURATOR, "one", {(Kind.TAG, "new"): {}}))
        self.result(self.metadefs.create(ADMIN, {"name": "hidden"}, {}))
        self.assert_refused(NotFound, self.metadefs.delete(CURATOR, "hidden"))

    def test_each_action(self) -> None:
        """Each kind of definitions has its own rules. A namespace with all kinds needs all of them."""
        path = Path(self.mktemp())
        path.write_text(
            '"metadef_admin": "role:curator"\n"add_metadef_tag": "role:admin"\n"get_metadef_tags": "role:admin"\n'
        )
        metadefs = self.operations(self.catalogue, Policy(path))
        self.result(metadefs.create(CURATOR, {"name": "two"}, PROPERTY))
        self.assert_refused(Forbidden, metadefs.create(CURATOR, {"name": "three"}, {(Kind.TAG, "t"): {}}))
        self.assert_refused(NotFound, metadefs.show(CURATOR, "three"))
        self.assert_refused(Forbidden, metadefs.show(CURATOR, "two"))
        self.assert_refused(Forbidden, metadefs.definitions(CURATOR, "two", Kind.TAG))
        self.assertEqual(len(self.result(metadefs.definitions(CURATOR, "two", Kind.PROPERTY))), 1)
