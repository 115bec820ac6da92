"""Which streams are hashed together, and when."""

from __future__ import annotations

import hashlib
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.hashing.reference import HashlibHasher
from imgsvc.pipeline.digest_scheduler import MOST_IN_COMMON, PATIENCE, RECENT, DigestScheduler
from imgsvc.pipeline.digests import Digests
from tests.support.hashing import FixedCores, LanesHasher
from tests.support.threads import ManualThreads


class SchedulerTestCase(SynchronousTestCase):
    """A scheduler with a hasher of 4 lanes that pays from 3 streams on, and 2 threads that the test moves."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cores = FixedCores(100)
        self.hasher = LanesHasher(4, 3)
        self.threads = ManualThreads(2)
        self.scheduler = DigestScheduler(self.hasher, self.threads, 2, self.clock, self.cores)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def streams(self, count: int) -> list[Digests]:
        """Streams that have had no pieces."""
        return [self.scheduler.digests({"md5", "sha512"}) for _ in range(count)]

    def active(self, count: int) -> list[Digests]:
        """Streams that have consumed something just now."""
        streams = self.streams(count)
        for stream in streams:
            done = stream.consume([b"before"])
            while len(self.threads):
                self.threads.finish()
            self.clock.advance(PATIENCE)
            while len(self.threads):
                self.threads.finish()
            self.successResultOf(done)
        self.hasher.sizes.clear()
        self.hasher.threads.clear()
        return streams

    def finish_all(self) -> None:
        while len(self.threads):
            self.threads.finish()


class AloneTests(SchedulerTestCase):
    """A single stream."""

    def test_at_once(self) -> None:
        """It is hashed at once, in the turn in which its pieces come, and never in company."""
        [stream] = self.streams(1)
        sizes = (1, 5, 100_000, 3 * MOST_IN_COMMON)
        for size in sizes:
            done = stream.consume([bytes(size)])
            self.assertEqual((len(self.threads), self.clock.getDelayedCalls()), (1, []))
            self.assertNoResult(done)
            self.threads.finish()
            self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.hasher.sizes, [[size] for size in sizes])
        self.assertEqual(stream.hexdigest("md5"), hashlib.md5(bytes(sum(sizes))).hexdigest())
        self.assertEqual(stream.digest("sha512"), hashlib.sha512(bytes(sum(sizes))).digest())

    def test_two(self) -> None:
        """Too few for the lanes to pay: each has a thread."""
        first, second = self.active(2)
        done = [first.consume([b"1"]), second.consume([b"22"])]
        self.assertEqual((self.hasher.sizes, len(self.threads)), ([[1], [2]], 2))
        self.threads.finish(1)
        self.successResultOf(done[1])
        self.assertNoResult(done[0])
        self.threads.finish()
        self.successResultOf(done[0])

    def test_nothing(self) -> None:
        """No pieces, and empty ones, are no bytes."""
        [stream] = self.streams(1)
        for pieces in ([], [b""]):
            done = stream.consume(pieces)
            self.finish_all()
            self.successResultOf(done)
        self.assertEqual(stream.digest("md5"), hashlib.md5().digest())

    def test_after_others(self) -> None:
        """A stream whose company has ended, or has paused for a while, is alone."""
        first, second, third = self.active(3)
        second.close()
        self.successResultOf(self.hashed(first))
        others = self.active(2)
        self.clock.advance(RECENT + PATIENCE)
        self.successResultOf(self.hashed(third))
        self.assertEqual(len(others), 2)

    def hashed(self, stream: Digests) -> Deferred[None]:
        """What it consumes, if that is begun at once."""
        done = stream.consume([b"more"])
        self.assertEqual((len(self.threads), self.clock.getDelayedCalls()), (1, []))
        self.threads.finish()
        return done

    def test_one_at_a_time(self) -> None:
        """The next pieces come after the last ones were consumed."""
        [stream] = self.streams(1)
        stream.consume([b"a"])
        self.assertRaises(RuntimeError, stream.consume, [b"b"])
        self.finish_all()

    def test_unknown(self) -> None:
        """An algorithm that hashlib does not have is refused before any byte comes."""
        self.assertRaises(ValueError, self.scheduler.digests, {"md6"})


class CompanyTests(SchedulerTestCase):
    """Several streams."""

    def test_wait(self) -> None:
        """Pieces wait for those of streams that had some just now, and all are hashed in one call."""
        streams = self.active(3)
        done = [stream.consume([bytes(number)]) for number, stream in enumerate(streams[:2], 1)]
        self.assertEqual(len(self.threads), 0)
        self.clock.advance(PATIENCE / 2)
        self.assertEqual(len(self.threads), 0)
        done.append(streams[2].consume([bytes(3)]))
        self.assertEqual((self.hasher.sizes, len(self.threads)), ([[1, 2, 3]], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.threads.finish()
        for each in done:
            self.successResultOf(each)

    def test_patience(self) -> None:
        """When nobody comes, those that are there go on: each by itself, if they are too few for the lanes."""
        first, second, *_ = self.active(4)
        first.consume([b"1"])
        self.clock.advance(PATIENCE / 2)
        second.consume([b"22"])
        self.clock.advance(PATIENCE / 2)
        self.assertEqual(self.hasher.sizes[0], [1], "the one that has waited for so long goes on")
        self.clock.advance(PATIENCE / 2)
        self.assertEqual((self.hasher.sizes, len(self.threads)), ([[1], [2]], 2))
        self.finish_all()

    def test_enough(self) -> None:
        """When not all come, but enough for the lanes to pay, these go on together."""
        streams = self.active(4)
        for stream in streams[1:]:
            stream.consume([b"1"])
        self.assertEqual(len(self.threads), 0)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.hasher.sizes, [[1, 1, 1]])
        self.finish_all()

    def test_full(self) -> None:
        """As many streams as there are lanes do not wait for more."""
        streams = self.active(6)
        for stream in streams[:4]:
            stream.consume([b"1"])
        self.assertEqual((self.hasher.sizes, self.clock.getDelayedCalls()), ([[1] * 4], []))
        self.finish_all()

    def test_busy(self) -> None:
        """While all threads are busy, all that come are gathered; the first ones go on first."""
        for stream in self.streams(2):
            stream.consume([b"before"])
        for size, stream in enumerate(self.streams(6), 1):
            stream.consume([bytes(size)])
        self.clock.advance(1)
        self.assertEqual(self.hasher.sizes, [[6], [6]])
        self.threads.finish()
        self.assertEqual(self.hasher.sizes[2:], [[1, 2, 3, 4]])
        self.threads.finish()
        self.clock.advance(PATIENCE)
        self.assertEqual(self.hasher.sizes[3:], [[5]])
        self.assertEqual(self.threads.most, 2)
        self.threads.finish(1)
        self.assertEqual(self.hasher.sizes[4:], [[6]])
        self.finish_all()

    def test_busy_cores(self) -> None:
        """While no core is idle for a second call, a call is waited for, so that the next one has more streams."""
        self.cores.now = 1.4
        streams = self.active(6)
        for stream in streams[:4]:
            stream.consume([b"1"])
        streams[4].consume([b"22"])
        streams[5].consume([b"22"])
        self.clock.advance(PATIENCE * 2)
        self.assertEqual(self.hasher.sizes, [[1] * 4])
        self.threads.finish()
        self.clock.advance(PATIENCE)
        self.assertEqual(self.hasher.sizes[1:], [[2]])
        self.finish_all()
        self.assertEqual(self.hasher.sizes[2:], [[2]])

    def test_busy_cores_and_all_lanes(self) -> None:
        """As many streams as there are lanes do not wait for that: the call would have no more of them."""
        self.cores.now = 0.0
        for stream in self.active(8):
            stream.consume([b"1"])
        self.assertEqual((self.hasher.sizes, len(self.threads)), ([[1] * 4] * 2, 2))
        self.finish_all()

    def test_owners_answer(self) -> None:
        """What owners send when they learn that their pieces are consumed is gathered before the next call."""
        streams = self.active(4)
        for stream in streams:
            stream.consume([b"1"]).addCallback(lambda _, stream=stream: stream.consume([b"22"]) and None)
        self.threads.finish()
        self.assertEqual(self.hasher.sizes, [[1] * 4, [2] * 4])
        self.finish_all()

    def test_sizes(self) -> None:
        """A stream with many bytes gives a part to each call, so that the others need not wait for all of it."""
        big, *small = self.active(4)
        data = bytes(range(256)) * (MOST_IN_COMMON * 5 // 2 // 256)
        done = big.consume([data[:100], data[100:]])
        shown = []
        for _ in range(3):
            for stream in small:
                shown.append(stream.consume([b"12"]))
            self.clock.advance(0)
            self.threads.finish()
        for each in shown:
            self.successResultOf(each)
        self.assertEqual(self.hasher.sizes[0], [MOST_IN_COMMON, 2, 2, 2])
        self.assertEqual([max(sizes) for sizes in self.hasher.sizes], [MOST_IN_COMMON] * 2 + [MOST_IN_COMMON // 2])
        self.successResultOf(done)
        self.assertEqual(big.digest("md5"), hashlib.md5(b"before" + data).digest())

    def test_one_round(self) -> None:
        """No stream waits for more than one round of the others, however many there are."""
        streams = self.active(9)
        for stream in streams:
            stream.consume([bytes(3 * MOST_IN_COMMON)])
        for _ in range(4):
            self.threads.finish()
        order = [id(running) for hashes in self.hasher.hashes[-6:] for running in hashes]
        self.assertEqual(len(order), 6 * 4)
        self.assertEqual(len(set(order[:9])), 9)
        self.assertEqual(order[9:18], order[:9])
        while len(self.threads) or self.clock.getDelayedCalls():
            self.finish_all()
            self.clock.advance(PATIENCE)
        self.assertEqual({stream.digest("md5") for stream in streams}, {self.md5(bytes(3 * MOST_IN_COMMON))})

    def md5(self, data: bytes) -> bytes:
        return hashlib.md5(b"before" + data).digest()


class ThreadTests(SchedulerTestCase):
    """How many threads a call is told of."""

    def hurry(self, stream: Digests) -> None:
        """Give a stream pieces, and the next ones as soon as these are consumed."""
        stream.consume([b"1"]).addCallback(lambda _: stream.consume([b"2"]) and None)

    def test_one_is_enough(self) -> None:
        """A stream that waits for its pieces uses one thread: one call for all digests takes less of the processors."""
        [stream] = self.streams(1)
        for _ in range(3):
            stream.consume([b"1"])
            self.finish_all()
        self.assertEqual(self.hasher.threads, [1, 1, 1])

    def test_behind(self) -> None:
        """One whose next pieces wait for the last ones uses two, for as long as that is so."""
        [stream] = self.streams(1)
        self.hurry(stream)
        self.finish_all()
        self.assertEqual(self.hasher.threads, [1, 2])
        stream.consume([b"3"])
        self.finish_all()
        self.assertEqual(self.hasher.threads, [1, 2, 1])

    def test_rest_of_a_call(self) -> None:
        """So does one of whose pieces a call has left some."""
        first, second = self.streams(2)
        first.consume([bytes(2 * MOST_IN_COMMON)])
        self.finish_all()
        second.consume([bytes(2 * MOST_IN_COMMON)])
        self.finish_all()
        self.assertEqual(self.hasher.sizes[1:], [[MOST_IN_COMMON], [MOST_IN_COMMON]])
        self.assertEqual(self.hasher.threads[1:], [1, 2])

    def test_others(self) -> None:
        """What waits besides, and other calls, leave fewer threads."""
        first, second = self.streams(2)
        self.hurry(first)
        self.hurry(second)
        self.finish_all()
        self.assertEqual(self.hasher.threads, [1, 1, 1, 1])
        self.hasher.threads.clear()
        for stream in self.active(4)[:2]:
            stream.consume([b"1"])
        self.clock.advance(PATIENCE)
        self.assertEqual(self.hasher.threads, [1, 1])
        self.finish_all()

    def test_busy_cores(self) -> None:
        """So do other programs. There is always one."""
        [stream] = self.streams(1)
        for left, threads in ((2.4, 2), (1.7, 2), (1.4, 1), (0.9, 1), (0.0, 1), (float("inf"), 2)):
            self.cores.now = left
            self.hurry(stream)
            self.finish_all()
            self.assertEqual(self.hasher.threads.pop(), threads, left)

    def test_used(self) -> None:
        """The cores are asked with the processor time that was used for digests."""
        seen = []

        class AskedCores(FixedCores):
            def left(self, used: float) -> float:
                seen.append(used)
                return 1.0

        scheduler = DigestScheduler(self.hasher, self.threads, 2, self.clock, AskedCores(1))
        stream = scheduler.digests({"md5"})
        for _ in range(3):
            self.hurry(stream)
            self.finish_all()
        self.assertEqual(len(seen), 3)
        self.assertGreater(seen[0], 0.0)
        self.assertEqual(seen, sorted(set(seen)), "each call has used some")


class EndTests(SchedulerTestCase):
    """Streams that fail, are given up, or are stopped."""

    def test_failing_call(self) -> None:
        """A call that fails, fails its streams, and no others."""
        streams = self.active(5)
        self.hasher.fails = lambda hashes: len(hashes) > 1
        done = [stream.consume([b"1"]) for stream in streams]
        self.threads.finish()
        for each in done[:4]:
            self.failureResultOf(each, ArithmeticError)
        self.assertNoResult(done[4])
        self.clock.advance(PATIENCE)
        self.finish_all()
        self.successResultOf(done[4])
        self.successResultOf(self.again(streams[4]))

    def again(self, stream: Digests) -> Deferred[None]:
        """Pieces for a stream that is alone now."""
        done = stream.consume([b"1"])
        self.finish_all()
        return done

    def test_refused(self) -> None:
        """So does a hasher that makes no calls."""
        first, second = self.streams(2)
        self.hasher.refuses = True
        self.failureResultOf(first.consume([b"1"]), ArithmeticError)
        self.hasher.refuses = False
        done = second.consume([b"1"])
        self.threads.finish()
        self.successResultOf(done)

    def test_failure_drops_the_rest(self) -> None:
        """Pieces for the next rounds are dropped."""
        stream, _ = self.active(2)
        self.hasher.fails = lambda hashes: True
        done = stream.consume([bytes(3 * MOST_IN_COMMON)])
        self.threads.finish()
        self.failureResultOf(done, ArithmeticError)
        self.assertEqual((len(self.threads), len(self.hasher.sizes)), (0, 1))

    def test_cancel_waiting(self) -> None:
        """A stream that waits is gone at once, and the others need not wait for it."""
        streams = self.active(4)
        done = [stream.consume([b"1"]) for stream in streams[:3]]
        done[0].cancel()
        self.failureResultOf(done[0], CancelledError)
        self.assertEqual(len(self.threads), 0)
        streams[3].close()
        done[1].cancel()
        self.failureResultOf(done[1], CancelledError)
        self.assertEqual(self.hasher.sizes, [[1]])
        self.threads.finish()
        self.successResultOf(done[2])

    def test_close(self) -> None:
        """A stream that is closed drops what waits, as if it were cancelled. Its digests can still be read."""
        streams = self.active(4)
        done = [stream.consume([b"1"]) for stream in streams[:2]]
        for stream in streams:
            stream.close()
            stream.close()
        for each in done:
            self.failureResultOf(each, CancelledError)
        self.assertEqual({stream.digest("md5") for stream in streams}, {hashlib.md5(b"before").digest()})
        self.assertEqual(self.hasher.sizes, [])

    def test_cancel_in_a_call(self) -> None:
        """A call cannot be ended: the owner is told when it has ended, and the rest of the pieces is dropped."""
        stream, _ = self.active(2)
        done = stream.consume([bytes(3 * MOST_IN_COMMON)])
        done.cancel()
        done.cancel()
        self.assertNoResult(done)
        self.threads.finish()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.hasher.sizes, [[MOST_IN_COMMON]])
        done.cancel()

    def test_not_held(self) -> None:
        """Nothing holds a piece when the owner is told: its buffer can be used again."""
        for way in ("done", "failed", "cancelled", "waiting"):
            self.clock.advance(RECENT * 2)
            [stream] = self.streams(1)
            buffers = [bytearray(2 * MOST_IN_COMMON), bytearray(100)]
            self.hasher.fails = lambda hashes, way=way: cast(bool, way == "failed")
            if way == "waiting":
                for other in self.streams(2):
                    other.consume([b"1"])
            seen = []

            def told(_: object, buffers: list[bytearray] = buffers, seen: list[bool] = seen) -> None:
                for buffer in buffers:
                    buffer.clear()  # raises BufferError while a view of it is held
                seen.append(True)

            done = stream.consume([memoryview(buffer) for buffer in buffers])
            done.addBoth(told)
            if way in ("cancelled", "waiting"):
                done.cancel()
            self.finish_all()
            self.successResultOf(done)
            self.assertEqual(seen, [True], way)

    def test_stop(self) -> None:
        """What waits fails; what runs goes on to its end, or as the threads say. What comes later fails too."""
        streams = self.streams(4)
        running, other, *waiting = [stream.consume([b"1"]) for stream in streams]
        self.scheduler.stop()
        for done in waiting:
            self.failureResultOf(done, CancelledError)
        self.threads.finish()
        self.successResultOf(running)
        self.failureResultOf(streams[0].consume([b"1"]), CancelledError)
        self.threads.stop()
        self.failureResultOf(other, CancelledError)

    def test_stop_waiting_for_others(self) -> None:
        """No timer is left."""
        first, *_ = self.active(4)
        done = first.consume([b"1"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.scheduler.stop()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OneLaneTests(SynchronousTestCase):
    """A hasher that gains nothing by hashing streams together."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = ManualThreads(2)
        self.scheduler = DigestScheduler(HashlibHasher(), self.threads, 2, self.clock, FixedCores(0))

    def test_algorithms(self) -> None:
        """Each algorithm of a stream has a call, and nobody waits for company. The pool knows what is next."""
        first, second = self.scheduler.digests({"md5", "sha512"}), self.scheduler.digests({"md5"})
        one, two = first.consume([b"abc"]), second.consume([b"def"])
        self.assertEqual((len(self.threads), self.clock.getDelayedCalls()), (3, []))
        self.threads.finish(1)
        self.assertNoResult(one)
        self.threads.finish()
        self.successResultOf(one)
        self.threads.finish()
        self.successResultOf(two)
        self.assertEqual(first.hexdigest("sha512"), hashlib.sha512(b"abc").hexdigest())

    def test_all_at_once(self) -> None:
        """A stream's pieces are one call for each algorithm, whatever their size."""
        stream = self.scheduler.digests({"md5"})
        done = stream.consume([bytes(MOST_IN_COMMON)] * 3)
        self.threads.finish()
        self.successResultOf(done)
        self.assertEqual(len(self.threads), 0)

    def test_one_of_two_calls_fails(self) -> None:
        """The owner is told when the other one has ended, too."""
        threads = ManualThreads(2)
        scheduler = DigestScheduler(HashlibHasher(), threads, 2, self.clock, FixedCores(0))
        stream = scheduler.digests({"md5", "sha512"})
        done = stream.consume([memoryview(bytes(8))[::2]])  # hashlib takes no strided memory
        threads.finish()
        self.assertNoResult(done)
        threads.finish()
        self.failureResultOf(done, BufferError)


class StateTests(SchedulerTestCase):
    """States that go on in another process."""

    def test_restore(self) -> None:
        """A stream goes on where its state was exported, also when it has gone on itself."""
        [stream] = self.streams(1)
        stream.consume([b"abc"])
        self.finish_all()
        exported = stream.export()
        assert exported is not None
        restored = DigestScheduler(self.hasher, self.threads, 2, self.clock, self.cores).restore(exported)
        for each, more in ((stream, b"def"), (restored, b"ghi")):
            done = each.consume([more])
            self.finish_all()
            self.successResultOf(done)
        self.assertEqual(stream.digest("md5"), hashlib.md5(b"abcdef").digest())
        self.assertEqual(restored.hexdigest("sha512"), hashlib.sha512(b"abcghi").hexdigest())

    def test_hashlib(self) -> None:
        """hashlib's state cannot be exported."""
        scheduler = DigestScheduler(HashlibHasher(), self.threads, 2, self.clock, self.cores)
        self.assertIsNone(scheduler.digests({"md5"}).export())
        self.assertRaises(ValueError, scheduler.restore, b"")
