"""Tests for every store whose medium can be absent. A test case mixes MarkContract in beside the StoreContract.

It says how its store is made, and how its medium comes and goes:

    class FileMarkTests(MarkContract, SynchronousTestCase):
        def make_store(self, services, store_id): ...
        def remove_medium(self): ...
        def return_medium(self): ...
        def add_object(self, name): ...
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from imgsvc.errors import Conflict, ObjectMissing, StoreAway
from imgsvc.interfaces import IMarkedStore
from imgsvc.model import Location, Span, UnfinishedObject
from imgsvc.stores.services import StoreServices
from tests.support.holdings import Holdings
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, put, read, result_of, store_services, write

__all__ = ["LOOKS", "MarkContract"]

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object  # or it would be taken for a test wherever it is imported

LOOKS = 60.0
"""Seconds within which a store looks again whether its medium is there."""


class MarkContract(_Case):
    """Every promise of IMarkedStore. Each store that is made stands for a process of its own."""

    def make_store(self, services: StoreServices, store_id: str) -> IMarkedStore:
        """A store, not yet started, on the one medium of the test, which is empty at first."""
        raise NotImplementedError

    def remove_medium(self) -> None:
        """Put an empty medium in the place of the one that is there."""
        raise NotImplementedError

    def return_medium(self) -> None:
        """The one that was there before."""
        raise NotImplementedError

    def add_object(self, name: str) -> None:
        """Put an object on the medium, as another program would."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.holdings = Holdings()

    def start(self, holdings: Holdings | None = None, store_id: str = "local") -> Any:
        """A store of a catalogue, that of the test if not said, which has started."""
        services = store_services(self.folder, clock=self.clock, holdings=holdings or self.holdings)
        store = self.make_store(services, store_id)
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def start_with_object(self) -> tuple[Any, Location]:
        """A store, and where its object of the catalogue is."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        self.holdings.objects.add(NAME)
        return store, location

    def assert_away(self, store: Any, location: Location = Location("local", f"file:///x/{NAME}")) -> None:  # noqa: B008
        """Whatever needs the medium fails."""
        calls: tuple[Callable[[], Any], ...] = (
            store.check,
            lambda: store.reader(location, Span(0, 1)),
            lambda: store.size(location),
            lambda: store.delete(location),
            lambda: store.writer(NAME, LATER, None),
            store.unfinished,
            lambda: store.discard(NAME, EARLIER),
            lambda: store.finalize(NAME, EARLIER),
            store.usage,
        )
        for call in calls:
            with self.assertRaises(StoreAway):
                result_of(call())

    def assert_there(self, store: Any, location: Location) -> None:
        """It gives the object that it had."""
        result_of(store.check())
        self.assertEqual(DATA, result_of(read(store, location)))

    def test_interface(self) -> None:
        """The store provides its interface."""
        verifyObject(IMarkedStore, self.start())

    def test_new(self) -> None:
        """An empty medium is marked, for all processes of the catalogue."""
        _, location = self.start_with_object()
        self.assert_there(self.start(), location)

    def test_not_there_at_the_start(self) -> None:
        """While the medium is away so is the store; it is back as soon as it is used, or by itself."""
        _, location = self.start_with_object()
        self.remove_medium()
        used, idle = self.start(), self.start()
        self.assert_away(used, location)
        self.assert_away(idle, location)
        self.return_medium()
        self.assert_there(used, location)
        self.clock.advance(LOOKS)
        self.assert_there(idle, location)

    def test_gone_meanwhile(self) -> None:
        """A medium that goes away takes the store with it; no object is taken for gone, none is made."""
        store, location = self.start_with_object()
        writer = result_of(write(store, NAME[::-1], EARLIER, DATA))
        self.remove_medium()
        self.assert_away(store, location)
        self.clock.advance(LOOKS)
        self.assert_away(store, location)
        for call in (writer.commit, writer.abort):
            with self.assertRaises(StoreAway):
                result_of(call())
        self.return_medium()
        self.assert_there(store, location)
        result_of(writer.abort())
        self.assertEqual([], result_of(store.unfinished()))

    def test_another_catalogue(self) -> None:
        """A medium of another catalogue is none, even if nothing is on it."""
        self.start()
        for held in (set(), {NAME}):
            other = self.start(Holdings("another", set(held)))
            self.assert_away(other)
            self.clock.advance(LOOKS)
            self.assert_away(other)

    def test_another_store(self) -> None:
        """So is one of another store of the same catalogue."""
        self.start_with_object()
        self.assert_away(self.start(store_id="other"))

    def test_objects_of_others(self) -> None:
        """A medium with objects and no mark is nobody's before it is adopted, known to the catalogue or not."""
        self.add_object(NAME)
        location = Location("local", f"file:///x/{NAME}")
        for held in (set(), {NAME}):
            self.holdings.objects = set(held)
            store = self.start()
            self.assert_away(store, location)
        found = result_of(store.survey())
        self.assertEqual((False, 1, 0, 0), (found.own, found.known, found.unknown, found.missing))
        result_of(store.adopt(False))
        result_of(store.check())
        self.assertTrue(result_of(store.survey()).own)
        result_of(store.adopt(False))
        result_of(store.delete(location))

    def test_adopted_by_another_process(self) -> None:
        """A store that runs is back when its medium is adopted."""
        self.add_object(NAME)
        running = self.start()
        self.assert_away(running)
        result_of(self.start().adopt(False))
        result_of(running.check())

    def test_adoption_of_what_is_another_s(self) -> None:
        """A medium of another catalogue is adopted by force only, and is the other's no more."""
        owner = self.start(Holdings("another"))
        store = self.start()
        with self.assertRaises(Conflict):
            result_of(store.adopt(False))
        result_of(owner.check())
        result_of(store.adopt(True))
        result_of(store.check())
        self.assert_away(owner)

    def test_adoption_of_what_is_empty(self) -> None:
        """A medium with none of the catalogue's objects is adopted by force only; then they are lost."""
        _, location = self.start_with_object()
        self.remove_medium()
        store = self.start()
        self.assertEqual(1, result_of(store.survey()).missing)
        with self.assertRaises(Conflict):
            result_of(store.adopt(False))
        self.assert_away(store, location)
        result_of(store.adopt(True))
        with self.assertRaises(ObjectMissing):
            result_of(store.delete(location))

    def test_upload_of_another(self) -> None:
        """A store of another catalogue does not see unfinished uploads of the owner."""
        owner = self.start()
        result_of(write(owner, NAME, EARLIER, DATA))
        other = self.start(Holdings("another"))
        for call in (other.unfinished, lambda: other.discard(NAME, EARLIER)):
            with self.assertRaises(StoreAway):
                result_of(call())
        self.assertEqual([UnfinishedObject(NAME, EARLIER)], result_of(owner.unfinished()))
