"""Tests of imgsvc.catalogue.projects: the usage of projects, and limits that hold under concurrency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from imgsvc import config
from imgsvc.catalogue import Catalogue, Schema, open_database, projects
from imgsvc.errors import ImageExists, QuotaExceeded, TooLarge
from imgsvc.interfaces import IThreads
from imgsvc.model import Image, Location, ProjectLimits, ProjectUsage, Status
from imgsvc.threads import ReactorThreads
from tests.catalogue.rigs import CatalogueTestCase, new_image, new_task, on_every_database, stored_data
from tests.support.databases import DatabaseServer, mariadb, postgresql


def place(name: str) -> Location:
    """The location of an object of another owner."""
    return Location("web", f"http://images.test/{name}")


@on_every_database
class ProjectsTest(CatalogueTestCase):
    """Usage is counted, and limits are enforced."""

    def usage(self, project: str = "me") -> Any:
        return self.successResultOf(self.catalogue.project_usage(project))

    def uploading(self, image: Image, size: int) -> None:
        """Make the image `uploading`, with so many staged bytes."""
        self.successResultOf(self.catalogue.update(image, evolve(image, status=Status.UPLOADING, size=size)))

    def test_nothing(self) -> None:
        """An unknown project uses nothing, and has no limits of its own."""
        self.assertEqual(self.usage(), ProjectUsage(0, 0, 0, 0))
        self.assertEqual(self.successResultOf(self.catalogue.project_limits("me")), {})

    def test_usage(self) -> None:
        """All images of the project count. Images that wait for data also count as such, and staged ones with
        their bytes.
        """
        self.add_active({"size": 100}, owner="me")
        self.add(owner="me")
        self.add_active({"size": 7}, owner="you")
        self.successResultOf(self.catalogue.claim(self.add(owner="me").id, "local", 60))
        self.uploading(self.add(owner="me"), 30)
        gone = self.add_active({"size": 1000}, owner="me")
        self.successResultOf(self.catalogue.delete(gone.id))
        self.assertEqual(self.usage(), ProjectUsage(100, 30, 4, 2))

    def test_copying(self) -> None:
        """An active image that is being copied to more stores counts as one that waits for data."""
        image = self.add_active({"size": 100}, owner="me")
        for stores, staged, uploading in (("fast,cheap", 100, 1), ("", 0, 0)):
            properties = {"os_glance_importing_to_stores": stores}
            image, _ = self.successResultOf(self.catalogue.update(image, evolve(image, properties=properties)))
            self.assertEqual(self.usage(), ProjectUsage(100, staged, 1, uploading))

    def test_count_total(self) -> None:
        """One image more than the limit is refused and not kept. An id that is taken is checked after that."""
        limits = ProjectLimits("me", count_total=2)
        first, second = (new_image(owner="me") for _ in range(2))
        self.successResultOf(self.catalogue.add(first, limits))
        self.failureResultOf(self.catalogue.add(first, limits), ImageExists)
        self.successResultOf(self.catalogue.add(second, limits))
        self.failureResultOf(self.catalogue.add(new_image(owner="me"), limits), QuotaExceeded)
        self.failureResultOf(self.catalogue.add(first, limits), QuotaExceeded)
        self.assertEqual(self.usage().count_total, 2)
        self.successResultOf(self.catalogue.delete(first.id))
        self.successResultOf(self.catalogue.add(new_image(owner="me"), limits))

    def test_count_uploading(self) -> None:
        """One claim more than the limit is refused, and the image stays queued."""
        limits = ProjectLimits("me", count_uploading=1)
        first, second = self.add(owner="me"), self.add(owner="me")
        claim = self.successResultOf(self.catalogue.claim(first.id, "local", 60, limits))
        self.failureResultOf(self.catalogue.claim(second.id, "local", 60, limits), TooLarge)
        self.assertEqual(self.get(second.id).status, Status.QUEUED)
        self.successResultOf(self.catalogue.release(first.id, claim.lease_id))
        self.successResultOf(self.catalogue.claim(second.id, "local", 60, limits))

    def test_size_total(self) -> None:
        """Bytes that do not fit are refused at the activation. The claim stays, so that the bytes can be removed."""
        limits = ProjectLimits("me", size_total=100)
        first, second = self.add(owner="me"), self.add(owner="me")
        claims = [self.successResultOf(self.catalogue.claim(image.id, "local", 60)) for image in (first, second)]
        data = [stored_data(image.id, size=60) for image in (first, second)]
        self.successResultOf(self.catalogue.activate(first.id, claims[0].lease_id, data[0], limits))
        self.failureResultOf(self.catalogue.activate(second.id, claims[1].lease_id, data[1], limits), TooLarge)
        self.assertEqual(self.get(second.id).status, Status.SAVING)
        self.assertTrue(self.successResultOf(self.catalogue.release(second.id, claims[1].lease_id)))
        self.assertEqual(self.usage(), ProjectUsage(60, 0, 2, 0))

    def test_located(self) -> None:
        """Locations that do not fit are refused, by a change and with a task, and nothing changes."""
        limits = ProjectLimits("me", size_total=100)
        image = self.add(owner="me")
        located = evolve(image, status=Status.ACTIVE, size=40, locations=tuple(map(place, "abc")))
        self.failureResultOf(self.catalogue.update(image, located, limits), TooLarge)
        self.failureResultOf(self.catalogue.begin_task(image, located, new_task(image.id), 60, limits), TooLarge)
        self.assertEqual(self.get(image.id), image)
        two = evolve(located, locations=located.locations[:2])
        image, _ = self.successResultOf(self.catalogue.update(image, two, limits))
        self.successResultOf(self.catalogue.update(image, evolve(image, name="new"), ProjectLimits("me", size_total=0)))

    def test_no_limit(self) -> None:
        """Without a limit nothing is refused."""
        image = new_image(owner="me")
        self.successResultOf(self.catalogue.add(image, ProjectLimits("me")))
        claim = self.successResultOf(self.catalogue.claim(image.id, "local", 60, ProjectLimits("me")))
        data = stored_data(image.id, size=2**60)
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, data, ProjectLimits("me")))

    def test_own_limits(self) -> None:
        """Limits of one project can be set, replaced, listed and removed."""
        for project, name, value in (("me", "image_count_total", 5), ("you", "image_size_total", -1)):
            self.write(lambda connection, *key: projects.set_limit(connection, *key), project, name, value)
        self.write(lambda connection: projects.set_limit(connection, "me", "image_count_total", 0))
        self.assertEqual(self.successResultOf(self.catalogue.project_limits("me")), {"image_count_total": 0})
        self.assertEqual(
            self.successResultOf(self.database.read(projects.all_limits)),
            [("me", "image_count_total", 0), ("you", "image_size_total", -1)],
        )
        for expected in (True, False):
            removed = self.write(lambda connection: projects.remove_limit(connection, "me", "image_count_total"))
            self.assertIs(removed, expected)
        self.assertEqual(self.successResultOf(self.catalogue.project_limits("me")), {})

    def write(self, job: Any, *arguments: Any) -> Any:
        return self.successResultOf(self.database.write(lambda connection: job(connection, *arguments)))


class RaceTestCase(TestCase):
    """Catalogues of two processes on one database, with real threads."""

    def options(self) -> config.Database:
        """The options of the database. SQLite creates its tables itself."""
        return config.Database(url=f"sqlite:///{Path(self.mktemp()).absolute()}")

    async def catalogues(self) -> list[Catalogue]:
        options, started = self.options(), []
        for _ in range(2):
            catalogue = Catalogue(open_database(options, Path(), self.make_threads, reactor))
            await catalogue.start()
            self.addCleanup(catalogue.stop)
            started.append(catalogue)
        return started

    def make_threads(self, name: str, size: int) -> IThreads:
        """Make real threads."""
        threads = ReactorThreads(reactor, name, size)
        self.addCleanup(threads.stop)
        return threads


class RaceTests(RaceTestCase):
    """Many concurrent requests against a limit of a project."""

    NUMBER = 50

    async def succeeded(self, attempts: list[Deferred[Any]], refusal: type[Exception]) -> int:
        """The number of calls that succeed. All others must fail with `refusal`."""

        def refused(failure: Any) -> bool:
            failure.trap(refusal)
            return False

        outcomes = await gatherResults([attempt.addCallbacks(lambda _: True, refused) for attempt in attempts])
        return sum(outcomes)

    async def test_count_total(self) -> None:
        """Of 50 concurrent new images exactly 10 succeed, if the limit is 10."""
        catalogues = await self.catalogues()
        limits = ProjectLimits("me", count_total=10)
        attempts = [catalogues[number % 2].add(new_image(owner="me"), limits) for number in range(self.NUMBER)]
        self.assertEqual(await self.succeeded(attempts, QuotaExceeded), 10)
        self.assertEqual((await catalogues[0].project_usage("me")).count_total, 10)

    async def test_size_total(self) -> None:
        """Of 20 concurrent activations exactly as many succeed as fit."""
        catalogues = await self.catalogues()
        limits = ProjectLimits("me", size_total=55)
        attempts = []
        for number in range(20):
            image = new_image(owner="me")
            await catalogues[0].add(image)
            claim = await catalogues[0].claim(image.id, "local", 60)
            attempts.append((catalogues[number % 2], image.id, claim.lease_id, stored_data(image.id, size=10)))
        running = [catalogue.activate(*arguments, limits) for catalogue, *arguments in attempts]
        self.assertEqual(await self.succeeded(running, TooLarge), 5)
        self.assertEqual(await catalogues[0].usage("me"), 50)

    async def test_located(self) -> None:
        """Of 20 concurrent locations exactly as many are added as fit."""
        catalogues = await self.catalogues()
        limits = ProjectLimits("me", size_total=55)
        images = [new_image(owner="me") for _ in range(20)]
        for image in images:
            await catalogues[0].add(image)
        running: list[Deferred[Any]] = []
        for number, image in enumerate(images):
            located = evolve(image, status=Status.ACTIVE, size=10, locations=(place(f"{number}"),))
            catalogue = catalogues[number % 2]
            if number % 4 < 2:
                running.append(catalogue.update(image, located, limits))
            else:
                running.append(catalogue.begin_task(image, located, new_task(image.id), 60, limits))
        self.assertEqual(await self.succeeded(running, TooLarge), 5)
        self.assertEqual(await catalogues[0].usage("me"), 50)

    async def test_count_uploading(self) -> None:
        """Of 20 concurrent claims exactly 3 succeed, if the limit is 3."""
        catalogues = await self.catalogues()
        images = [new_image(owner="me") for _ in range(20)]
        for image in images:
            await catalogues[0].add(image)
        limits = ProjectLimits("me", count_uploading=3)
        running = [catalogues[n % 2].claim(image.id, "local", 60, limits) for n, image in enumerate(images)]
        self.assertEqual(await self.succeeded(running, TooLarge), 3)

    async def test_members(self) -> None:
        """Of 20 concurrent members exactly 4 are added, if the limit is 4."""
        catalogues = await self.catalogues()
        image = new_image(owner="me")
        await catalogues[0].add(image)
        running = [catalogues[n % 2].add_member(image.id, f"project {n}", 4) for n in range(20)]
        self.assertEqual(await self.succeeded(running, QuotaExceeded), 4)
        self.assertEqual(len(await catalogues[0].members(image.id)), 4)


class PostgreSQLRaceTests(RaceTests):
    """The same tests on PostgreSQL."""

    def options(self) -> config.Database:
        return empty_database(postgresql())


class MariaDBRaceTests(RaceTests):
    """The same tests on MariaDB."""

    def options(self) -> config.Database:
        return empty_database(mariadb())


def empty_database(server: DatabaseServer) -> config.Database:
    """A new database with tables."""
    options = config.Database(url=server.url(server.new_database()))
    Schema(options, Path()).upgrade()
    return options
