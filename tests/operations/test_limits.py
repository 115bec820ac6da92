"""Tests of imgsvc.operations.limits, and of concurrent additions of tags."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from imgsvc.catalogue import Catalogue, projects
from imgsvc.errors import QuotaExceeded, TooLarge
from imgsvc.events import Events
from imgsvc.identity.policy import Policy
from imgsvc.model import Caller, ProjectLimits
from imgsvc.operations.access import Access
from imgsvc.operations.changes import Changes
from imgsvc.operations.images import RecordLimits
from imgsvc.operations.limits import Allowance, Quotas
from imgsvc.operations.tagging import Tagging
from tests.catalogue.rigs import CatalogueTestCase, new_image
from tests.catalogue.test_projects import RaceTestCase

MEMBER = Caller("u", "me", frozenset({"member", "reader"}))
DEFAULTS = ProjectLimits("", size_total=100, count_total=3)


class QuotasTests(CatalogueTestCase):
    """Which limits hold for which project."""

    def quotas(self, **options: Any) -> Quotas:
        return Quotas(self.catalogue, size_cap=1000, **options)

    def result(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def limit(self, name: str, value: int) -> None:
        """Set a limit of the project `me`."""
        self.successResultOf(self.database.write(lambda connection: projects.set_limit(connection, "me", name, value)))

    def test_none(self) -> None:
        """Without limits, and for images without an owner, nothing is limited."""
        self.assertIsNone(self.result(self.quotas().limits("me")))
        for options in ({"user_storage": 5}, {"unified": True, "defaults": DEFAULTS}):
            quotas = self.quotas(**options)
            self.assertIsNone(self.result(quotas.limits(None)))
            self.assertEqual(self.result(quotas.allowance(None)), Allowance(1000))
            self.result(quotas.before_lookup(None, 2**50))

    def test_user_storage(self) -> None:
        """Without `unified`, the storage of every owner is limited, and limits of projects have no effect."""
        self.limit("image_size_total", 7)
        self.add_active({"size": 10}, owner="me")
        quotas = self.quotas(user_storage=50, defaults=DEFAULTS)
        self.assertEqual(self.result(quotas.limits("me")), ProjectLimits("me", size_total=50))
        self.assertEqual(self.result(quotas.allowance("me")), Allowance(1000, 40))
        self.assertEqual(self.result(quotas.usage("me")), {})
        self.result(quotas.before_lookup("me", 2**50))

    def test_unified(self) -> None:
        """With `unified`, each limit of a project replaces the default."""
        quotas = self.quotas(unified=True, defaults=DEFAULTS, user_storage=1)
        self.assertEqual(self.result(quotas.limits("me")), ProjectLimits("me", size_total=100, count_total=3))
        for name, value in (("image_size_total", -1), ("image_count_uploading", 0), ("of_a_later_version", 5)):
            self.limit(name, value)
        self.assertEqual(self.result(quotas.limits("me")), ProjectLimits("me", count_total=3, count_uploading=0))
        self.assertEqual(self.result(quotas.limits("you")), ProjectLimits("you", size_total=100, count_total=3))

    def test_before_lookup(self) -> None:
        """A project whose bytes are used up, or would be by the announced size, is refused before any other check."""
        quotas = self.quotas(unified=True, defaults=DEFAULTS)
        self.add_active({"size": 60}, owner="me")
        self.result(quotas.before_lookup("me", 40))
        self.result(quotas.before_lookup("me", None))
        self.refused(quotas.before_lookup("me", 41))
        self.add_active({"size": 40}, owner="me")
        self.refused(quotas.before_lookup("me", None))
        self.limit("image_count_uploading", 0)
        self.limit("image_size_total", -1)
        self.refused(quotas.before_lookup("me", None))

    def refused(self, coroutine: Any) -> None:
        self.failureResultOf(Deferred.fromCoroutine(coroutine), TooLarge)


class TagRaceTests(RaceTestCase):
    """Concurrent additions of tags through catalogues of two processes."""

    async def test_tags(self) -> None:
        """Of 30 concurrent tags exactly 10 are added, if the limit is 10."""
        catalogues = await self.catalogues()
        image = new_image(owner="me")
        await catalogues[0].add(image)
        taggings = [self.tagging(catalogue) for catalogue in catalogues]

        async def added(number: int) -> bool:
            try:
                await taggings[number % 2].add(MEMBER, image.id, f"tag {number}")
            except QuotaExceeded:
                return False
            return True

        outcomes = await gatherResults([Deferred.fromCoroutine(added(number)) for number in range(30)])
        self.assertEqual(sum(outcomes), 10)
        self.assertEqual(len((await catalogues[0].image(image.id)).tags), 10)

    def tagging(self, catalogue: Catalogue) -> Tagging:
        access = Access(catalogue, Policy())
        return Tagging(Changes(access, catalogue, Events(Clock())), RecordLimits(tags=10))
