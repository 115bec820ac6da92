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
    _Case = object  # otherwise it would count as a test wherever it is imported

LOOKS = 60.0
"""Seconds within which a store checks again whether its medium is there."""


class MarkContract(_Case):
    """Every promise of IMarkedStore. Each store stands for its own process."""

    def make_store(self, services: StoreServices, store_id: str) -> IMarkedStore:
        """A store that is not started, on the one medium of the test, which is empty at first."""
        raise NotImplementedError

    def remove_medium(self) -> None:
        """Replace the medium with an empty one."""
        raise NotImplementedError

    def return_medium(self) -> None:
        """Put the original medium back."""
        raise NotImplementedError

    def add_object(self, name: str) -> None:
        """Put an object on the medium, like another program."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.holdings = Holdings()

    def start(self, holdings: Holdings | None = None, store_id: str = "local") -> Any:
        """A started store of a catalogue; the default is that of the test."""
        services = store_services(self.folder, clock=self.clock, holdings=holdings or self.holdings)
        store = self.make_store(services, store_id)
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def start_with_object(self) -> tuple[Any, Location]:
        """A store, and the location of its object, which the catalogue knows."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        self.holdings.objects.add(NAME)
        return store, location

    def assert_away(self, store: Any, location: Location = Location("local", f"file:///x/{NAME}")) -> None:  # noqa: B008
        """Every call that needs the medium fails."""
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
        """The store gives its object."""
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
        """While the medium is away, so is the store. It is back as soon as it is used, or after a check."""
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
        """If a medium goes away, the store does too. No object counts as missing, and none is created."""
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
        """A medium of another catalogue is not accepted, even if it is empty."""
        self.start()
        for held in (set(), {NAME}):
            other = self.start(Holdings("another", set(held)))
            self.assert_away(other)
            self.clock.advance(LOOKS)
            self.assert_away(other)

    def test_another_store(self) -> None:
        """A medium of another store of the same catalogue is not accepted either."""
        self.start_with_object()
        self.assert_away(self.start(store_id="other"))

    def test_objects_of_others(self) -> None:
        """A medium with objects but without a mark must be adopted, whether the catalogue knows the objects or not."""
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
        """A running store is back after its medium was adopted."""
        self.add_object(NAME)
        running = self.start()
        self.assert_away(running)
        result_of(self.start().adopt(False))
        result_of(running.check())

    def test_adoption_of_what_is_another_s(self) -> None:
        """A medium of another catalogue can be adopted only with force. The other catalogue then loses it."""
        owner = self.start(Holdings("another"))
        store = self.start()
        with self.assertRaises(Conflict):
            result_of(store.adopt(False))
        result_of(owner.check())
        result_of(store.adopt(True))
        result_of(store.check())
        self.assert_away(owner)

    def test_adoption_of_what_is_empty(self) -> None:
        """A medium with none of the catalogue's objects can be adopted only with force. Then the objects count
        as lost.
        """
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
