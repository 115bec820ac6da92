"""Random streams that join, send, leave, fail and are given up, hashed by one scheduler."""

from __future__ import annotations

import hashlib
from random import Random

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imgsvc.hashing import IHasher
from imgsvc.hashing.choose import choose_hasher
from imgsvc.hashing.reference import HashlibHasher
from imgsvc.pipeline.cores import Cores
from imgsvc.pipeline.digest_scheduler import MOST_IN_COMMON, PATIENCE, DigestScheduler
from imgsvc.pipeline.digests import Digests
from imgsvc.threads import ReactorThreads
from tests.support.hashing import FixedCores, LanesHasher
from tests.support.threads import ManualThreads

ALGORITHMS = ({"md5"}, {"md5", "sha512"}, {"sha256", "md5", "sha1"})
SIZES = st.one_of(st.integers(0, 300), st.sampled_from((MOST_IN_COMMON, MOST_IN_COMMON + 1, 3 * MOST_IN_COMMON - 5)))
PATTERN = bytes(range(251)) * (3 * MOST_IN_COMMON // 251 + 2)

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 2)),
        st.tuples(st.just("send"), st.integers(0, 9), st.lists(SIZES, max_size=3)),
        st.tuples(st.just("finish"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.sampled_from((0.0, PATIENCE / 3, PATIENCE, 0.1))),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
    ),
    max_size=60,
)


@define
class Stream:
    """One stream, and what it must have hashed."""

    digests: Digests
    data: bytearray = field(factory=bytearray)
    sending: Deferred[None] | None = None
    given_up: bool = False
    results: list[object] = field(factory=list)


class Run:
    """A scheduler and its streams."""

    def __init__(self, hasher: IHasher, size: int, cores: float) -> None:
        self.clock = Clock()
        self.hasher = hasher
        self.threads = ManualThreads(size)
        self.scheduler = DigestScheduler(hasher, self.threads, size, self.clock, FixedCores(cores))
        self.streams: list[Stream] = []
        self.errors: list[Failure] = []
        self.failed: set[int] = set()
        self.fail_next = False
        if isinstance(hasher, LanesHasher):
            hasher.fails = self.fails

    def fails(self, hashes: object) -> bool:
        """Whether the call that is made now fails. Its streams do, too."""
        if self.fail_next:
            assert isinstance(hashes, list)
            self.failed |= {id(running) for running in hashes}
        return self.fail_next

    def take(self, action: tuple[object, ...]) -> None:
        """One action."""
        match action:
            case ("join", int(which)):
                self.streams.append(Stream(self.scheduler.digests(ALGORITHMS[which])))
            case ("send", int(number), list(sizes)) if stream := self.stream(number):
                if stream.sending is None:
                    self.send(stream, sizes)
            case ("finish" | "fail" as kind, int(number)) if len(self.threads):
                self.fail_next = kind == "fail"
                self.threads.finish(number % min(len(self.threads), self.threads.size))
            case ("wait", float(seconds)):
                self.clock.advance(seconds)
            case ("cancel", int(number)) if stream := self.stream(number):
                if stream.sending is not None:
                    stream.given_up = True
                    stream.sending.cancel()
            case ("leave", int(number)) if stream := self.stream(number):
                stream.given_up = True
                self.leave(stream)

    def stream(self, number: int) -> Stream | None:
        return self.streams[number] if number < len(self.streams) else None

    def send(self, stream: Stream, sizes: list[int]) -> None:
        buffers = [bytearray(PATTERN[:size]) for size in sizes]
        for buffer in buffers:
            stream.data += buffer

        def sent(result: object) -> None:
            stream.sending = None
            stream.results.append(result)
            for buffer in buffers:
                buffer.clear()  # raises BufferError while a view of it is held
            if isinstance(result, Failure) and not stream.given_up:
                assert result.check(ArithmeticError) and id(stream.digests.running) in self.failed
            if isinstance(result, Failure):
                self.streams.remove(stream)

        stream.sending = done = stream.digests.consume([memoryview(buffer) for buffer in buffers])
        done.addBoth(sent).addErrback(self.errors.append)

    def leave(self, stream: Stream) -> None:
        """Close it, also in the middle."""
        if stream.sending is None:
            self.check(stream)
            self.streams.remove(stream)
        stream.digests.close()

    def check(self, stream: Stream) -> None:
        """Its digests are those of its bytes."""
        for algorithm in stream.digests.running.algorithms:
            assert stream.digests.digest(algorithm) == hashlib.new(algorithm, stream.data).digest()

    def check_progress(self) -> None:
        """Nothing waits for nothing, or for too long."""
        assert not self.errors, self.errors
        timers = self.clock.getDelayedCalls()
        waiting = [stream for stream in self.streams if stream.sending is not None]
        assert bool(waiting) >= bool(timers) and len(timers) <= 1
        assert not waiting or timers or len(self.threads)
        assert all(timer.getTime() <= self.clock.seconds() + PATIENCE for timer in timers)

    def end(self) -> None:
        """Let all streams end."""
        self.fail_next = False
        while len(self.threads) or self.clock.getDelayedCalls():
            while len(self.threads):
                self.threads.finish()
            self.clock.advance(PATIENCE)
        self.check_progress()
        for stream in self.streams:
            assert stream.sending is None
            self.check(stream)


class StreamTests(SynchronousTestCase):
    """Each stream gets its own digests, or its failure; nothing hangs, and nothing is held."""

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.integers(2, 8), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), ACTIONS)
    def test_lanes(
        self, lanes: int, common_from: int, size: int, cores: int, actions: list[tuple[object, ...]]
    ) -> None:
        """With any number of lanes and threads. There are never more calls than threads."""
        run = Run(LanesHasher(lanes, min(common_from + 1, lanes)), size, cores)
        for action in actions:
            run.take(action)
            run.check_progress()
        run.end()
        self.assertLessEqual(run.threads.most, size)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.integers(1, 3), ACTIONS.map(lambda actions: [each for each in actions if each[0] != "fail"]))
    def test_one_lane(self, size: int, actions: list[tuple[object, ...]]) -> None:
        """With hashlib."""
        run = Run(HashlibHasher(), size, 0)
        for action in actions:
            run.take(action)
            run.check_progress()
            self.assertEqual(run.clock.getDelayedCalls(), [])
        run.end()

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(ACTIONS)
    def test_stop(self, actions: list[tuple[object, ...]]) -> None:
        """When scheduler and threads are stopped, all that is under way ends."""
        run = Run(LanesHasher(4, 2), 2, 2)
        for action in actions:
            run.take(action)
        streams = [stream for stream in run.streams if stream.sending is not None]
        for stream in streams:
            stream.given_up = True
        run.scheduler.stop()
        run.threads.stop()
        self.assertEqual(run.clock.getDelayedCalls(), [])
        for stream in streams:
            [*_, result] = stream.results
            assert isinstance(result, Failure)
            result.trap(CancelledError)


class RealTests(TestCase):
    """Real threads, the real clock, and what computes digests on this machine, without and with the accelerator."""

    async def test_many_streams(self) -> None:
        """Streams of many sizes at the same time have the digests of their bytes."""
        for wanted in (False, True):
            threads = ReactorThreads(reactor, "test", 2)
            self.addCleanup(threads.stop)
            clock = IReactorTime(reactor)
            scheduler = DigestScheduler(choose_hasher(wanted).hasher, threads, 2, clock, Cores(clock))
            streams = [self.stream(scheduler, number) for number in range(20)]
            await gatherResults([Deferred.fromCoroutine(stream) for stream in streams])
            scheduler.stop()

    async def stream(self, scheduler: DigestScheduler, number: int) -> None:
        """One stream, which ends at its own time."""
        random = Random(number)
        algorithms = {"md5", random.choice(("sha256", "sha512", "sha3_256"))}
        digests = scheduler.digests(algorithms)
        expected = [hashlib.new(each) for each in algorithms]
        for _ in range(number):
            pieces = [random.randbytes(random.choice((0, 1, 127, 5000, 65536))) for _ in range(random.randrange(8))]
            await digests.consume(pieces)
            for each in expected:
                each.update(b"".join(pieces))
        self.assertEqual([digests.hexdigest(each.name) for each in expected], [each.hexdigest() for each in expected])
