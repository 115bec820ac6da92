"""Tests of imgsvc.identity.keystone.kept."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.identity.keystone.kept import Kept


class KeptTests(SynchronousTestCase):
    """Values are kept for a while, and not too many of them."""

    def setUp(self) -> None:
        self.clock = Clock()

    def kept(self, seconds: float = 10.0, most: int = 3, heaviest: int = 100) -> Kept[str, int]:
        return Kept(self.clock, seconds, most, heaviest)

    def test_time(self) -> None:
        """A value goes when its time is over, and uses no memory then. A new value begins a new time."""
        kept = self.kept()
        kept.keep("a", 1, 1)
        self.clock.advance(9.0)
        self.assertEqual(kept.get("a"), 1)
        kept.keep("a", 2, 1)
        self.clock.advance(9.0)
        self.assertEqual(kept.get("a"), 2)
        self.clock.advance(1.0)
        self.assertIsNone(kept.get("a"))
        self.assertEqual(len(kept), 0)

    def test_number(self) -> None:
        """When there are too many, the one goes that was not asked for the longest."""
        kept = self.kept()
        for number, key in enumerate("abc"):
            kept.keep(key, number, 1)
        kept.get("a")
        kept.keep("d", 3, 1)
        self.assertEqual([kept.get(key) for key in "abcd"], [0, None, 2, 3])

    def test_weight(self) -> None:
        """So it is when they are too heavy together. A value that is too heavy alone is not kept."""
        kept = self.kept()
        kept.keep("a", 1, 60)
        kept.keep("b", 2, 60)
        self.assertEqual([kept.get(key) for key in "ab"], [None, 2])
        kept.keep("c", 3, 101)
        self.assertEqual([kept.get(key) for key in "bc"], [2, None])
        kept.keep("b", 4, 101)
        self.assertEqual(len(kept), 0)
        kept.keep("d", 5, 100)
        self.assertEqual(kept.get("d"), 5)

    def test_not_at_all(self) -> None:
        """Values with no time are not kept."""
        kept = self.kept(0.0)
        kept.keep("a", 1, 1)
        self.assertEqual((kept.get("a"), len(kept)), (None, 0))
