"""Changes of images, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc import config
from imgsvc.catalogue import Catalogue, Schema, open_database
from imgsvc.errors import Forbidden, ImageChanged, Invalid, NoSuchImage
from imgsvc.events import Events
from imgsvc.interfaces import IPolicy, IThreads
from imgsvc.model import Caller, Image, Location
from imgsvc.operations.access import Access
from imgsvc.operations.changes import ATTEMPTS, Changes
from imgsvc.threads import ReactorThreads
from tests.catalogue.rigs import CatalogueTestCase, HeldThreads, new_image
from tests.support.databases import DatabaseServer, mariadb, postgresql
from tests.support.threads import ImmediateThreads

CALLER = Caller()


@implementer(IPolicy)
class Allowed:
    """A policy that allows these actions."""

    def __init__(self, *actions: str) -> None:
        self.actions = set(actions)

    def allows(self, action: str, caller: Caller, image: Image | None = None) -> bool:
        return action in self.actions

    def might_allow(self, action: str, caller: Caller) -> bool:
        return action in self.actions


def with_tag(tag: str) -> Callable[[Image], Image]:
    """A change that adds a tag."""
    return lambda image: evolve(image, tags=(*image.tags, tag))


def with_tag_and_property(number: int) -> Callable[[Image], Image]:
    """A change that adds both."""
    return lambda image: evolve(
        image, tags=(*image.tags, f"tag {number}"), properties={**image.properties, f"key {number}": str(number)}
    )


def same(image: Image) -> Image:
    """A change without effect."""
    return evolve(image)


@implementer(IThreads)
class Writer(HeldThreads):
    """Makes calls at once, except while `holding`."""

    holding = False

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return super().run(function, *arguments) if self.holding else ImmediateThreads().run(function, *arguments)


class ChangesTestCase(CatalogueTestCase):
    """Has `self.changes` on `self.catalogue`. Its writes wait in `self.writer` if `held`."""

    held = False

    def setUp(self) -> None:
        self.writer = Writer()
        super().setUp()
        self.policy = Allowed("get_image", "modify_image")
        verifyObject(IPolicy, self.policy)
        self.changes = self.changes_on(self.catalogue)
        self.image = self.add(tags=("first",))
        self.writer.holding = self.held
        self.addCleanup(self.release_all)

    def open_database(self, **options: Any) -> Any:
        return super().open_database(writer_threads=self.writer, **options)

    def changes_on(self, catalogue: Catalogue) -> Changes:
        """Changes of another process, if the catalogue is another."""
        return Changes(Access(catalogue, self.policy), catalogue, Events(Clock()))

    def change(
        self, function: Callable[[Image], Image], image_id: str | None = None, action: str = "modify_image"
    ) -> Deferred[Any]:
        """Begin a change."""
        return Deferred.fromCoroutine(self.changes.change(CALLER, image_id or self.image.id, function, action))

    def release_all(self) -> None:
        """Do all writes that wait."""
        while self.writer.held:
            self.writer.release()
        self.writer.holding = False
        self.assertEqual(self.changes._turns, {})

    def tags(self) -> tuple[str, ...]:
        """The tags of the image."""
        return self.get(self.image.id).tags


class ChangeTests(ChangesTestCase):
    """One change."""

    def test_change(self) -> None:
        """The result of the function is written, with a later time, and returned as it is kept."""
        changed, pending = self.successResultOf(self.change(lambda image: evolve(image, name="new", tags=("z", "a"))))
        self.assertEqual(changed, self.get(self.image.id))
        self.assertEqual((changed.name, changed.tags, pending), ("new", ("a", "z"), []))
        self.assertGreater(changed.updated_at, self.image.updated_at)
        self.assertEqual(self.changes._turns, {})

    def test_no_change(self) -> None:
        """An unchanged image is not written."""
        changed, pending = self.successResultOf(self.change(same))
        self.assertEqual((changed, pending), (self.image, []))
        self.assertEqual(self.get(self.image.id), self.image)

    def test_lost_locations(self) -> None:
        """The caller gets the locations that the change removed."""
        image = self.add_active()
        changed, pending = self.successResultOf(self.change(lambda image: evolve(image, locations=()), image.id))
        self.assertEqual(changed.locations, ())
        self.assertEqual([each.location for each in pending], list(image.locations))
        location = Location("local", "file:///x", {"a": "b"})
        moved = self.change(lambda image: evolve(image, locations=(location,)), image.id)
        self.assertEqual(self.successResultOf(moved)[0].locations, (location,))

    def test_refused_by_function(self) -> None:
        """An error of the function is raised, nothing changes, and the next change goes on."""

        def refuse(image: Image) -> Image:
            raise Invalid("no")

        self.failureResultOf(self.change(refuse), Invalid)
        self.assertEqual(self.get(self.image.id), self.image)
        self.successResultOf(self.change(with_tag("a")))
        self.assertEqual(self.tags(), ("a", "first"))

    def test_access(self) -> None:
        """NoSuchImage for callers that do not see the image, Forbidden for those that only see it. The function
        is not called.
        """
        self.failureResultOf(self.change(self.fail, "absent"), NoSuchImage)
        self.failureResultOf(self.change(self.fail, action="deactivate"), Forbidden)
        self.policy.actions.clear()
        self.failureResultOf(self.change(self.fail), NoSuchImage)
        self.assertEqual(self.changes._turns, {})


class TurnTests(ChangesTestCase):
    """Several changes of one image in one process."""

    held = True

    def test_two(self) -> None:
        """The second change begins when the first is kept, and is based on it."""
        first, second = self.change(with_tag("a")), self.change(with_tag("b"))
        self.assertEqual(len(self.writer.held), 1)
        self.writer.release()
        self.assertEqual(self.successResultOf(first)[0].tags, ("a", "first"))
        self.assertNoResult(second)
        self.writer.release()
        self.assertEqual(self.successResultOf(second)[0].tags, ("a", "b", "first"))
        self.assertEqual(self.writer.held, [])

    def test_other_images(self) -> None:
        """Changes of other images do not wait."""
        other = self.add_held()
        seen: list[str] = []

        def note(image: Image) -> Image:
            seen.append(image.id)
            return with_tag("a")(image)

        results = [self.change(note), self.change(note, other)]
        self.assertEqual(seen, [self.image.id, other])
        self.release_all()
        for result in results:
            self.successResultOf(result)

    def add_held(self) -> str:
        """Add another image while writes are held."""
        image = new_image()
        adding = self.catalogue.add(image)
        self.writer.release()
        self.successResultOf(adding)
        return image.id

    def test_order(self) -> None:
        """They are made in the order in which they came."""
        order: list[int] = []

        def number(index: int) -> Callable[[Image], Image]:
            def note(image: Image) -> Image:
                order.append(index)
                return with_tag(str(index))(image)

            return note

        results = [self.change(number(index)) for index in range(20)]
        self.release_all()
        for result in results:
            self.successResultOf(result)
        self.assertEqual(order, list(range(20)))
        self.assertEqual(set(self.tags()), {"first", *map(str, range(20))})

    def test_cancelled_while_waiting(self) -> None:
        """A change that is cancelled while it waits holds up no other, and has no effect."""
        first, second, third = (self.change(with_tag(tag)) for tag in "abc")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.release_all()
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(self.tags(), ("a", "c", "first"))

    def test_last_cancelled_while_waiting(self) -> None:
        """If the only waiting change is cancelled, nothing about the image is kept in memory."""
        first, second = self.change(with_tag("a")), self.change(with_tag("b"))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.writer.release()
        self.successResultOf(first)
        self.assertEqual(self.changes._turns, {})

    def test_cancelled_while_writing(self) -> None:
        """If a change is cancelled while it is written, the next goes on and does not undo it."""
        first, second = self.change(with_tag("a")), self.change(with_tag("b"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.release_all()
        self.successResultOf(second)
        self.assertEqual(self.tags(), ("a", "b", "first"))

    def test_failed(self) -> None:
        """After a change that fails, the next goes on."""

        def refuse(image: Image) -> Image:
            raise Invalid("no")

        first, second, third = self.change(with_tag("a")), self.change(refuse), self.change(with_tag("c"))
        self.release_all()
        self.failureResultOf(second, Invalid)
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(self.tags(), ("a", "c", "first"))

    def test_many_without_a_write(self) -> None:
        """The stack does not grow, however many changes wait and end at once."""
        first = self.change(with_tag("a"))
        rest = [self.change(same) for _ in range(5000)]
        self.writer.release()
        self.successResultOf(first)
        for result in rest:
            self.assertEqual(self.successResultOf(result)[0].tags, ("a", "first"))
        self.assertEqual(self.changes._turns, {})

    def test_one_after_the_other(self) -> None:
        """A change that begins after another has ended gets a turn, and leaves nothing in memory."""
        first, second = self.change(with_tag("a")), self.change(same)
        more: list[Deferred[Any]] = []
        second.addCallback(lambda result: more.append(self.change(with_tag("b"))))
        self.release_all()
        self.successResultOf(first)
        self.successResultOf(more[0])
        self.assertEqual(self.tags(), ("a", "b", "first"))


class OtherProcessTests(ChangesTestCase):
    """Changes of one image in two processes."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.changes_on(self.open_catalogue(self.open_database()))

    def change_there(self, function: Callable[[Image], Image]) -> None:
        """A change by another process."""
        changing = self.other.change(CALLER, self.image.id, function, "modify_image")
        self.successResultOf(Deferred.fromCoroutine(changing))

    def test_overtaken(self) -> None:
        """A change that was overtaken by another is repeated on its result."""
        calls: list[tuple[str, ...]] = []

        def overtaken(image: Image) -> Image:
            calls.append(image.tags)
            if len(calls) <= 3:
                self.change_there(with_tag(f"other {len(calls)}"))
            return with_tag("mine")(image)

        changed, _ = self.successResultOf(self.change(overtaken))
        self.assertEqual(len(calls), 4)
        self.assertEqual(changed.tags, ("first", "mine", "other 1", "other 2", "other 3"))
        self.assertEqual(self.tags(), changed.tags)

    def test_overtaken_by_a_refusal(self) -> None:
        """The policy is asked again for the changed image."""

        def overtaken(image: Image) -> Image:
            self.policy.actions.remove("modify_image")
            self.successResultOf(self.catalogue.update(image, evolve(image, name="theirs")))
            return with_tag("mine")(image)

        self.failureResultOf(self.change(overtaken), Forbidden)
        self.assertEqual((self.get(self.image.id).name, self.tags()), ("theirs", ("first",)))

    def test_deleted_meanwhile(self) -> None:
        """NoSuchImage."""

        def overtaken(image: Image) -> Image:
            self.successResultOf(self.catalogue.delete(image.id))
            return with_tag("mine")(image)

        self.failureResultOf(self.change(overtaken), NoSuchImage)

    def test_always_overtaken(self) -> None:
        """ImageChanged is raised after many attempts."""
        calls: list[int] = []

        def overtaken(image: Image) -> Image:
            calls.append(1)
            self.change_there(lambda image: evolve(image, min_ram=image.min_ram + 1))
            return with_tag("mine")(image)

        self.failureResultOf(self.change(overtaken), ImageChanged)
        self.assertEqual(len(calls), ATTEMPTS)
        self.assertEqual(self.tags(), ("first",))
        self.assertEqual(self.changes._turns, {})


class RaceTests(TestCase):
    """Changes in real threads, by catalogues of two processes on one database."""

    NUMBER = 50

    def database(self) -> config.Database:
        """The options of the database. SQLite creates its tables itself."""
        return config.Database(url=f"sqlite:///{Path(self.mktemp()).absolute()}")

    async def test_nothing_is_lost(self) -> None:
        """Of many concurrent changes that each add a tag and a property, all are kept."""
        options = self.database()
        catalogues = [Catalogue(open_database(options, Path(), self.make_threads, reactor)) for _ in range(2)]
        for catalogue in catalogues:
            await catalogue.start()
        try:
            image = new_image()
            await catalogues[0].add(image)
            policy = Allowed("get_image", "modify_image")
            changes = [Changes(Access(catalogue, policy), catalogue, Events(Clock())) for catalogue in catalogues]
            changing = [
                Deferred.fromCoroutine(
                    changes[number % 2].change(CALLER, image.id, with_tag_and_property(number), "modify_image")
                )
                for number in range(self.NUMBER)
            ]
            results = await gatherResults(changing)
            kept = await catalogues[1].image(image.id)
            self.assertEqual(set(kept.tags), {f"tag {number}" for number in range(self.NUMBER)})
            self.assertEqual(kept.properties, {f"key {number}": str(number) for number in range(self.NUMBER)})
            moments = {changed.updated_at for changed, _ in results}
            self.assertEqual((len(moments), max(moments)), (self.NUMBER, kept.updated_at))
            self.assertEqual([each._turns for each in changes], [{}, {}])
        finally:
            for catalogue in catalogues:
                await catalogue.stop()

    def make_threads(self, name: str, size: int) -> IThreads:
        """Make real threads."""
        threads = ReactorThreads(reactor, name, size)
        self.addCleanup(threads.stop)
        return threads


class PostgreSQLRaceTests(RaceTests):
    """The same test on PostgreSQL."""

    def database(self) -> config.Database:
        return empty_database(postgresql())


class MariaDBRaceTests(RaceTests):
    """The same test on MariaDB."""

    def database(self) -> config.Database:
        return empty_database(mariadb())


def empty_database(server: DatabaseServer) -> config.Database:
    """A new database with tables."""
    options = config.Database(url=server.url(server.new_database()))
    Schema(options, Path()).upgrade()
    return options
