"""How fast digests are computed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.hashing.choose import choose_hasher
from imgsvc.hashing.speed import PIECE, PIECES, measure_speed
from tests.support.hashing import LanesHasher


class SpeedTests(SynchronousTestCase):
    """measure_speed."""

    def clock(self, step: float) -> Iterator[float]:
        """Times, one after the other."""
        return (5 + step * number for number in count())

    def test_bytes_and_time(self) -> None:
        """It is the bytes of all streams by the time that the calls took."""
        for streams in (1, 4):
            hasher = LanesHasher(4)
            times = self.clock(0.25)
            speed = measure_speed(hasher, {"md5"}, streams, 0.9, lambda times=times: next(times))
            self.assertEqual(speed, streams * PIECES * PIECE / 0.25)
            self.assertEqual(hasher.sizes, [[PIECES * PIECE] * streams] * 4)
            self.assertEqual(set(hasher.threads), {1})

    def test_one_round(self) -> None:
        """A slow machine still gets a figure."""
        times = self.clock(100)
        self.assertEqual(measure_speed(LanesHasher(), {"md5"}, 1, 0.1, lambda: next(times)), PIECES * PIECE / 100)

    def test_this_machine(self) -> None:
        """What was chosen here can be measured, alone and in company."""
        hasher = choose_hasher(True).hasher
        for streams in {1, hasher.lanes}:
            self.assertGreater(measure_speed(hasher, {"md5", "sha512"}, streams, 0.01), 0)
