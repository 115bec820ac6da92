"""Tests of metadata definitions in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from imgsvc.catalogue import MetadefCatalogue
from imgsvc.errors import Conflict, NamespaceChanged, NotFound
from imgsvc.interfaces import IMetadefCatalogue
from imgsvc.metadef_model import Definition, Kind, Namespace, NamespaceQuery, by_key
from imgsvc.model import Caller, Visibility
from tests.catalogue.rigs import ADMIN, NOON, CatalogueTestCase, HeldThreads, on_every_database

BLUE = Caller(project_id="blue", roles=frozenset({"member", "reader"}))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def definition(kind: Kind, name: str, document: Mapping[str, Any] | None = None, **fields: Any) -> Definition:
    return Definition(
        **{"created_at": NOON, "updated_at": NOON, **fields}, kind=kind, name=name, document=document or {}
    )


def new_namespace(name: str, *definitions: Definition, **fields: Any) -> Namespace:
    fields = {"created_at": NOON, "updated_at": NOON, **fields}
    return Namespace(name=name, definitions=by_key(definitions), **fields)


def without_own(namespace: Namespace) -> Namespace:
    """The namespace without the fields that the catalogue sets."""
    return evolve(namespace, key=0, revision=0)


class MetadefTestCase(CatalogueTestCase):
    """Has `self.metadefs` on the database of `self.catalogue`."""

    def setUp(self) -> None:
        super().setUp()
        self.metadefs = MetadefCatalogue(self.database)

    def keep(self, namespace: Namespace) -> Namespace:
        """Add a namespace, and return it as it is kept."""
        self.successResultOf(self.metadefs.add(namespace))
        return self.read(namespace.name)

    def read(self, name: str) -> Namespace:
        found = self.successResultOf(self.metadefs.namespace(name))
        assert isinstance(found, Namespace)
        return found

    def names(self, caller: Caller = ADMIN, limit: int = 100, **query: Any) -> list[str]:
        """The names of a page."""
        page = self.successResultOf(self.metadefs.namespaces(NamespaceQuery(caller, limit, **query))).namespaces
        return [namespace.name for namespace in page]


@on_every_database
class NamespaceTests(MetadefTestCase):
    """Namespaces with their definitions."""

    def test_provided(self) -> None:
        """The catalogue provides the interface."""
        verifyObject(IMetadefCatalogue, self.metadefs)

    def test_kept(self) -> None:
        """A namespace is read as it was added, with the definitions of each kind sorted by name."""
        namespace = new_namespace(
            "OS::Compute::Quota",
            definition(Kind.TAG, "b"),
            definition(Kind.TAG, "a"),
            definition(Kind.PROPERTY, "a", {"type": "integer", "title": "A", "enum": [1, 2.5, None, "é"]}),
            definition(Kind.OBJECT, "a", {"required": ["x"], "properties": {}}, updated_at=NOON + timedelta(days=1)),
            definition(Kind.ASSOCIATION, "OS::Glance::Image", {"prefix": "hw_"}),
            display_name="Quota",
            description="é" * 500,
            visibility=Visibility.PUBLIC,
            protected=True,
            owner="blue",
            updated_at=NOON + timedelta(hours=1),
        )
        found = self.keep(namespace)
        self.assertEqual(without_own(found), namespace)
        self.assertEqual([each.name for each in found.of_kind(Kind.TAG)], ["a", "b"])
        bare = self.keep(new_namespace("bare"))
        self.assertEqual(without_own(bare), new_namespace("bare"))

    def test_longest(self) -> None:
        """Names of 80 characters of four bytes each are kept completely."""
        name = "\U0001f5bc" * 80
        found = self.keep(new_namespace(name, *(definition(kind, name) for kind in Kind)))
        self.assertEqual(set(found.definitions), {(kind, name) for kind in Kind})
        self.assertEqual(self.names(), [name])

    def test_names_differ(self) -> None:
        """Names that differ in case, in accents or in blanks at the end are different."""
        names = ["name", "Name", "námé", "name ", " name", "\uff4eame", "straße", "strasse"]
        for name in names:
            self.keep(new_namespace(name, *(definition(Kind.TAG, each) for each in names)))
        self.assertEqual(set(self.names()), set(names))
        for name in names:
            self.assertEqual([each.name for each in self.read(name).of_kind(Kind.TAG)], sorted(names))

    def test_missing(self) -> None:
        """A name that no namespace has is not found."""
        self.keep(new_namespace("here"))
        self.failureResultOf(self.metadefs.namespace("there"), NotFound)
        self.failureResultOf(self.metadefs.namespace("Here"), NotFound)

    def test_taken(self) -> None:
        """A name can be used once. The second attempt changes nothing, and affects no other write of the same
        transaction.
        """
        first = self.keep(new_namespace("one", definition(Kind.TAG, "first")))
        self.failureResultOf(self.metadefs.add(new_namespace("one", definition(Kind.TAG, "second"))), Conflict)
        self.assertEqual(self.read("one"), first)
        two = self.keep(new_namespace("two"))
        self.failureResultOf(self.metadefs.update(two, evolve(two, name="one")), Conflict)
        self.assertEqual((self.read("one"), self.read("two")), (first, two))

    def test_update(self) -> None:
        """All fields can be changed, also the name, and definitions are added, removed and changed."""
        before = self.keep(
            new_namespace(
                "old",
                definition(Kind.TAG, "gone"),
                definition(Kind.PROPERTY, "kept", {"type": "string"}),
                definition(Kind.PROPERTY, "changed", {"type": "string"}),
                definition(Kind.OBJECT, "gone", {"description": "x"}),
                owner="blue",
            )
        )
        later = NOON + timedelta(minutes=1)
        after = evolve(
            before,
            name="new",
            display_name="New",
            protected=True,
            visibility=Visibility.PUBLIC,
            owner=None,
            updated_at=later,
            definitions=by_key(
                [
                    before.definitions[Kind.PROPERTY, "kept"],
                    definition(Kind.PROPERTY, "changed", {"type": "integer"}, updated_at=later),
                    definition(Kind.TAG, "new"),
                ]
            ),
        )
        self.successResultOf(self.metadefs.update(before, after))
        found = self.read("new")
        self.assertEqual(found, evolve(after, key=before.key, revision=before.revision + 1))
        self.failureResultOf(self.metadefs.namespace("old"), NotFound)

    def test_changed_meanwhile(self) -> None:
        """A change or removal is refused if the namespace was changed since it was read."""
        seen = self.keep(new_namespace("one"))
        tagged = evolve(seen, definitions=by_key([definition(Kind.TAG, "a")]))
        self.successResultOf(self.metadefs.update(seen, tagged))
        now = self.read("one")
        self.failureResultOf(self.metadefs.update(seen, evolve(seen, protected=True)), NamespaceChanged)
        self.failureResultOf(self.metadefs.remove(seen), NamespaceChanged)
        self.assertEqual(self.read("one"), now)

    def test_removed(self) -> None:
        """It is removed with its definitions. An older state cannot restore it, or change a new one of the same
        name.
        """
        seen = self.keep(new_namespace("one", definition(Kind.TAG, "a")))
        other = self.keep(new_namespace("other", definition(Kind.TAG, "a")))
        self.successResultOf(self.metadefs.remove(seen))
        self.failureResultOf(self.metadefs.namespace("one"), NotFound)
        self.failureResultOf(self.metadefs.update(seen, seen), NotFound)
        self.failureResultOf(self.metadefs.remove(seen), NotFound)
        again = self.keep(new_namespace("one"))
        self.failureResultOf(self.metadefs.update(seen, evolve(seen, protected=True)), NotFound)
        self.assertEqual((self.read("one"), self.read("other")), (again, other))
        rows = self.other_connection().execute("SELECT COUNT(*) FROM metadef_definitions").fetchall()
        self.assertEqual([tuple(row) for row in rows], [(1,)])

    def test_resource_types(self) -> None:
        """The resource types of all associations that ever existed, each with the date of its first."""
        self.assertEqual(self.successResultOf(self.metadefs.resource_types()), [])
        one = self.keep(new_namespace("one", definition(Kind.ASSOCIATION, "b"), definition(Kind.TAG, "tag")))
        later = NOON + timedelta(days=1)
        associated = by_key(definition(Kind.ASSOCIATION, name, created_at=later) for name in ("a", "b"))
        self.successResultOf(self.metadefs.update(one, evolve(one, definitions=associated)))
        self.successResultOf(self.metadefs.remove(self.read("one")))
        types = self.successResultOf(self.metadefs.resource_types())
        self.assertEqual([(each.name, each.created_at) for each in types], [("a", later), ("b", NOON)])


@on_every_database
class ListTests(MetadefTestCase):
    """Pages of the list."""

    def setUp(self) -> None:
        super().setUp()
        for number, (name, owner, visibility, types) in enumerate(
            [
                ("delta", "red", Visibility.PRIVATE, ()),
                ("alpha", "blue", Visibility.PRIVATE, ("OS::Nova::Flavor",)),
                ("charlie", "red", Visibility.PUBLIC, ("OS::Nova::Flavor", "OS::Glance::Image")),
                ("bravo", None, Visibility.PUBLIC, ("OS::Glance::Image",)),
                ("echo", None, Visibility.PRIVATE, ()),
            ]
        ):
            moment = NOON + timedelta(seconds=number // 2)  # some of them at the same time
            associations = [definition(Kind.ASSOCIATION, each, {"prefix": name}) for each in types]
            self.keep(
                new_namespace(
                    name,
                    *associations,
                    definition(Kind.TAG, "tag"),
                    owner=owner,
                    visibility=visibility,
                    created_at=moment,
                    updated_at=NOON - timedelta(seconds=number),
                )
            )

    def test_visible(self) -> None:
        """Administrators see all namespaces, others public ones and those of their project, if they have one."""
        by_name = {"sort": "namespace", "descending": False}
        self.assertEqual(self.names(**by_name), ["alpha", "bravo", "charlie", "delta", "echo"])
        self.assertEqual(self.names(BLUE, **by_name), ["alpha", "bravo", "charlie"])
        self.assertEqual(self.names(Caller(roles=BLUE.roles), **by_name), ["bravo", "charlie"])

    def test_sorted(self) -> None:
        """Lists are sorted by each column, in each direction. Names break ties."""
        orders = {
            "namespace": ["alpha", "bravo", "charlie", "delta", "echo"],
            "created_at": ["alpha", "delta", "bravo", "charlie", "echo"],
            "updated_at": ["echo", "bravo", "charlie", "alpha", "delta"],
        }
        for sort, order in orders.items():
            self.assertEqual(self.names(sort=sort, descending=False), order)
            self.assertEqual(self.names(sort=sort, descending=True), order[::-1])

    def test_pages(self) -> None:
        """All pages together are the whole list, for any length of pages and any order."""
        for sort in ("namespace", "created_at", "updated_at"):
            for descending in (False, True):
                for caller in (ADMIN, BLUE):
                    query = {"sort": sort, "descending": descending}
                    whole = self.names(caller, **query)
                    for limit in (1, 2, 3):
                        seen: list[str] = []
                        while page := self.names(caller, limit, marker=seen[-1] if seen else None, **query):
                            seen += page
                        self.assertEqual(seen, whole)

    def test_marker(self) -> None:
        """A marker must be a namespace that the caller sees. It need not pass the filters."""
        for name in ("nothing", "delta"):
            self.failureResultOf(self.metadefs.namespaces(NamespaceQuery(BLUE, 5, marker=name)), NotFound)
        query = {"sort": "namespace", "descending": False, "marker": "alpha"}
        self.assertEqual(self.names(BLUE, visibility=Visibility.PUBLIC, **query), ["bravo", "charlie"])

    def test_filters(self) -> None:
        """Lists are filtered by visibility and by resource types, of which one must match."""
        by_name = {"sort": "namespace", "descending": False}
        self.assertEqual(self.names(visibility=Visibility.PUBLIC, **by_name), ["bravo", "charlie"])
        self.assertEqual(self.names(BLUE, visibility=Visibility.PRIVATE, **by_name), ["alpha"])
        for types, names in (
            (("OS::Nova::Flavor",), ["alpha", "charlie"]),
            (("OS::Nova::Flavor", "OS::Glance::Image", "other"), ["alpha", "bravo", "charlie"]),
            (("tag",), []),
            ((), []),
        ):
            self.assertEqual(self.names(resource_types=types, **by_name), names)
        both = {"resource_types": ("OS::Glance::Image",), "visibility": Visibility.PRIVATE}
        self.assertEqual(self.names(**both), [])

    def test_many(self) -> None:
        """Pages and filters of the maximum length work."""
        for number in range(1000):
            self.keep(new_namespace(f"zulu {number:03}", definition(Kind.ASSOCIATION, "z")))
        types = ("OS::Glance::Image", *(f"type {number}" for number in range(2000)), "z")
        page = self.names(limit=1000, resource_types=types, sort="namespace", descending=False)
        self.assertEqual(len(page), 1000)
        self.assertEqual(page[:3], ["bravo", "charlie", "zulu 000"])

    def test_bytes(self) -> None:
        """A page ends before it exceeds its bytes, and the next one begins there."""
        names = [f"large {number:02}" for number in range(45)]
        for number, name in enumerate(names):
            long = definition(Kind.ASSOCIATION, "z", {"prefix": "p" * (3000 if number % 10 == 0 else 10)})
            self.keep(new_namespace(name, long))
        for limit in (1000, 30, 2):
            seen, last, pages = [], "delta", 0
            while last is not None:
                query = NamespaceQuery(ADMIN, limit, sort="namespace", descending=False, marker=last, size=5000)
                page = self.successResultOf(self.metadefs.namespaces(query))
                self.assertTrue(page.size <= 5000 or len(page.namespaces) == 1, page.size)
                seen += [each.name for each in page.namespaces]
                last, pages = page.last, pages + 1
            self.assertEqual(names, [name for name in seen if name in names])
            self.assertGreater(pages, 8)

    def test_associations(self) -> None:
        """Namespaces in a list have their associations, and no other definitions."""
        query = NamespaceQuery(ADMIN, 2, sort="namespace", descending=False, marker="bravo")
        charlie, delta = self.successResultOf(self.metadefs.namespaces(query)).namespaces
        self.assertEqual(
            [each.name for each in charlie.definitions.values()], ["OS::Glance::Image", "OS::Nova::Flavor"]
        )
        self.assertEqual(charlie.definitions[Kind.ASSOCIATION, "OS::Nova::Flavor"].document, {"prefix": "charlie"})
        self.assertEqual(delta.definitions, {})


@on_every_database
class AnythingTests(MetadefTestCase):
    """Any names and documents."""

    def test_kept(self) -> None:
        """Names and documents are kept unchanged."""

        @settings(derandomize=True, deadline=None, max_examples=50, database=None)
        @given(
            NAMES, st.lists(st.tuples(st.sampled_from(list(Kind)), NAMES, st.dictionaries(NAMES, VALUES, max_size=3)))
        )
        def check(name: str, parts: list[tuple[Kind, str, dict[str, Any]]]) -> None:
            namespace = new_namespace(name, *(definition(*part) for part in parts))
            found = self.keep(namespace)
            self.assertEqual(without_own(found), namespace)
            self.assertEqual(self.names(), [name])
            self.successResultOf(self.metadefs.remove(found))

        check()


class TogetherTests(MetadefTestCase):
    """Two accesses to one database."""

    def test_two_creates(self) -> None:
        """If two processes add the same name, one succeeds, and the other gets an error."""
        threads = HeldThreads()
        other = self.open_database(writer_threads=threads)
        started = other.start()
        threads.release()
        self.successResultOf(started)
        waiting = MetadefCatalogue(other).add(new_namespace("one", definition(Kind.TAG, "second")))
        first = self.keep(new_namespace("one", definition(Kind.TAG, "first")))
        threads.release()
        self.failureResultOf(waiting, Conflict)
        self.assertEqual(self.read("one"), first)
        stopped = other.stop()
        while threads.held:
            threads.release()
        self.successResultOf(stopped)
