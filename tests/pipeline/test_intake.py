"""The path of an upload's bytes from a producer through lanes."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import BodyCut, StoreFull, TooLarge
from imgsvc.hashing import Piece
from imgsvc.pipeline.budget import MIB, SMALLEST_BLOCK, Budget
from imgsvc.pipeline.intake import Intake
from imgsvc.pipeline.lanes import OptionalLane
from imgsvc.store_model import StoreSettings
from imgsvc.stores.memory import MemoryStore
from tests.pipeline.rigs import Client, ManualLane

DATA = bytes(range(251)) * 40_000
"""About 10 MB, without a period of a power of two, so that missing or misplaced bytes are found."""


class IntakeTestCase(SynchronousTestCase):
    """An intake with two lanes and a client."""

    budget_size = 64 * MIB
    at_once = False

    def setUp(self) -> None:
        self.budget = Budget(self.budget_size)
        self.share = self.budget.share()
        self.lanes = [ManualLane(self.at_once), ManualLane(self.at_once)]
        self.client = Client()
        self.intake = self.make()

    def make(
        self,
        admit: Callable[[int], None] = lambda size: None,
        look: Callable[[Piece], None] = lambda piece: None,
    ) -> Intake:
        """An Intake with these checks."""
        return Intake([lane.consume for lane in self.lanes], self.share, admit, look)

    def work(self) -> None:
        """Let the lanes do all their work."""
        while any(lane.working for lane in self.lanes):
            for lane in self.lanes:
                if lane.working:
                    lane.finish()

    def assert_whole(self) -> None:
        """Every lane has got all bytes, and none is held any more."""
        for lane in self.lanes:
            self.assertEqual(self.client.sent, lane.data)
        self.assertEqual(0, self.share.held)


class OptionalLaneTests(IntakeTestCase):
    """Lanes that may fail alone."""

    def make(
        self,
        admit: Callable[[int], None] = lambda size: None,
        look: Callable[[Piece], None] = lambda piece: None,
    ) -> Intake:
        self.failures: list[Failure] = []
        first, second = self.lanes
        return Intake([first.consume, OptionalLane(second.consume, self.failures.append)], self.share, admit, look)

    def send(self) -> None:
        """Send all bytes of the test, in steps, while the lanes work."""
        for start in range(0, len(DATA), MIB):
            self.client.send(DATA[start : start + MIB])
            self.work()

    def test_well(self) -> None:
        """A lane that does not fail is waited for like the others."""
        received = self.intake.receive(self.client)
        self.send()
        self.client.send(b"the end")
        self.client.end()
        self.lanes[0].finish()
        self.assertNoResult(received)
        self.lanes[1].finish()
        self.successResultOf(received)
        self.assert_whole()
        self.assertEqual([], self.failures)

    def test_fails_alone(self) -> None:
        """A failure is reported once. The lane gets and holds nothing more, and the other one gets everything."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[: self.share.block_size])
        self.lanes[1].finish(Failure(StoreFull("far", "is full.")))
        self.assertEqual([StoreFull], [failure.type for failure in self.failures])
        self.assertFalse(self.client.stopped)
        self.send()
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assertEqual(self.client.sent, self.lanes[0].data)
        self.assertEqual((1, 1), (len(self.lanes[1].calls), len(self.failures)))
        self.assertEqual(0, self.share.held)

    def test_makes_room(self) -> None:
        """Blocks for a failed lane are released, and the client goes on."""
        self.intake.receive(self.client)
        while not self.client.paused:
            self.client.send(DATA[:MIB])
        while self.lanes[0].working:
            self.lanes[0].finish()
        self.assertTrue(self.client.paused)
        self.lanes[1].finish(Failure(StoreFull("far", "is full.")))
        self.assertFalse(self.client.paused)

    def test_fails_at_the_end(self) -> None:
        """A lane that fails with the last block does not keep the rest from being complete."""
        received = self.intake.receive(self.client)
        self.client.send(b"some bytes")
        self.client.end()
        self.lanes[0].finish()
        self.lanes[1].finish(Failure(StoreFull("far", "is full.")))
        self.successResultOf(received)
        self.assertEqual([StoreFull], [failure.type for failure in self.failures])

    def test_after_the_upload_failed(self) -> None:
        """If the upload has failed, a later failure of a lane is not reported."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[: self.share.block_size])
        self.intake.fail(Failure(BodyCut("The client is gone.")))
        self.lanes[0].finish()
        self.lanes[1].finish(Failure(StoreFull("far", "is full.")))
        self.failureResultOf(received, BodyCut)
        self.assertEqual([], self.failures)

    def test_the_other_fails(self) -> None:
        """A failure of a lane that is not optional ends the upload."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[: self.share.block_size])
        self.lanes[0].finish(Failure(StoreFull("local", "is full.")))
        self.lanes[1].finish()
        self.failureResultOf(received, StoreFull)
        self.assertTrue(self.client.stopped)

    def test_ends_the_upload(self) -> None:
        """The function that a failure is reported to may end the upload, for example if no store is left."""
        failed = []

        def fail(failure: Failure) -> None:
            failed.append(failure)
            if len(failed) == len(self.lanes):
                intake.fail(failure)

        intake = Intake([OptionalLane(lane.consume, fail) for lane in self.lanes], self.share)
        received = intake.receive(self.client)
        self.client.send(DATA[: self.share.block_size])
        self.lanes[0].finish(Failure(StoreFull("near", "is full.")))
        self.assertNoResult(received)
        self.lanes[1].finish(Failure(StoreFull("far", "is full.")))
        self.assertIn("far", self.failureResultOf(received, StoreFull).getErrorMessage())
        self.assertEqual((True, 0), (self.client.stopped, self.share.held))

    def test_stores(self) -> None:
        """One pass fills two stores. One that is too small keeps nothing after its writer is aborted."""
        stores = [MemoryStore(StoreSettings(name), size, self.budget) for name, size in (("near", 0), ("far", MIB))]
        writers = [self.successResultOf(store.writer("image", "1", None)) for store in stores]
        lanes = [writers[0].write, OptionalLane(writers[1].write, self.failures.append)]
        received = Intake(lanes, self.share).receive(self.client)
        for start in range(0, len(DATA), MIB):
            self.client.send(DATA[start : start + MIB])
        self.client.end()
        self.successResultOf(received)
        self.assertEqual(["far"], [failure.value.store_id for failure in self.failures])
        self.successResultOf(writers[1].abort())
        location = self.successResultOf(writers[0].commit())
        self.assertEqual(len(DATA), self.successResultOf(stores[0].size(location)))
        self.assertEqual(MIB, self.successResultOf(stores[1].usage()).free)


class FlowTests(IntakeTestCase):
    """Blocks, pauses and the end."""

    def test_interface(self) -> None:
        """An intake provides IConsumer."""
        verifyObject(IConsumer, self.intake)

    def test_pull_producer(self) -> None:
        """Pull producers, and second producers, are refused."""
        self.assertRaises(RuntimeError, self.intake.registerProducer, self.client, False)
        self.intake.registerProducer(self.client, True)
        self.assertRaises(RuntimeError, self.intake.registerProducer, self.client, True)

    def test_nothing(self) -> None:
        """An empty body is complete, and no lane is called."""
        received = self.intake.receive(self.client)
        self.client.end()
        self.assertIsNone(self.successResultOf(received))
        self.assertEqual((0, True, []), (self.intake.size, self.intake.complete, self.lanes[0].calls))

    def test_blocks(self) -> None:
        """Lanes get the bytes in full blocks, and the rest at the end. The Deferred fires when the last lane
        has finished.
        """
        received = self.intake.receive(self.client)
        block = self.share.block_size
        self.client.send(DATA[: block - 1])
        self.assertEqual([], self.lanes[0].calls)
        self.client.send(DATA[:1])
        self.assertEqual(1, len(self.lanes[0].calls))
        self.client.send(DATA[:10])
        self.client.end()
        self.lanes[0].finish()
        self.lanes[0].finish()
        self.lanes[1].finish()
        self.assertNoResult(received)
        self.assertFalse(self.intake.idle)
        self.lanes[1].finish()
        self.successResultOf(received)
        self.assertEqual((block + 10, 2), (self.intake.size, self.intake.consumed_blocks))
        self.assert_whole()

    def test_pause(self) -> None:
        """At the limit of the share the producer is paused. It goes on when the slowest lane has released a block."""
        received = self.intake.receive(self.client)
        step = 256 << 10
        while not self.client.paused:
            self.client.send(DATA[:step])
        self.assertLess(self.share.held, self.budget.most_held + step)
        self.lanes[0].finish()
        self.assertTrue(self.client.paused)
        self.lanes[1].finish()
        self.assertFalse(self.client.paused)
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assert_whole()

    def test_one_byte_at_a_time(self) -> None:
        """Many one-byte pieces take as much memory as their bytes, not as a million objects."""
        received = self.intake.receive(self.client)
        byte = b"x"
        tracemalloc.start()
        try:
            for _ in range(100_000):
                self.intake.write(byte)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(held, 300_000)
        self.assertEqual(100_000, self.share.held)
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assertEqual(100_000, len(self.lanes[0].data))

    def test_small_pieces_among_large(self) -> None:
        """Small pieces are not copied into objects that others hold."""
        received = self.intake.receive(self.client)
        mine = bytearray(b"z" * 10_000)
        self.intake.write(bytes(mine))
        for size in (1, 9000, 5, 5, 9000, 7):
            self.client.send(DATA[:size])
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assertEqual(bytes(mine) + self.client.sent, bytes(self.lanes[1].data))

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        st.lists(st.one_of(st.integers(0, 9000), st.integers(0, 400_000)), max_size=30),
        st.lists(st.integers(0, 1), max_size=60),
        st.sampled_from((MIB, 4 * MIB, 64 * MIB)),
    )
    def test_any_pieces(self, sizes: list[int], turns: list[int], budget: int) -> None:
        """However the bytes are split, and whichever lane is faster, each lane gets all of them in order."""
        self.budget_size = budget
        self.setUp()
        received = self.intake.receive(self.client)
        turn = iter(turns)
        start = 0
        for size in sizes:
            self.client.send(DATA[start : start + size])
            start = (start + size) % 5_000_000
            lane = self.lanes[next(turn, 0)]
            if lane.working:
                lane.finish()
            limit = self.budget.most_held + max(sizes)
            self.assertLessEqual(self.share.held, limit)
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assert_whole()


class ImmediateTests(IntakeTestCase):
    """Lanes that finish at once."""

    at_once = True
    budget_size = MIB

    def test_one_large_piece(self) -> None:
        """A piece that is larger than the share leaves nobody paused if its bytes are consumed at once."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[: 3 * MIB])
        self.client.send(DATA[: 3 * MIB])
        self.assertFalse(self.client.paused)
        self.client.end()
        self.successResultOf(received)
        self.assert_whole()

    def test_small_piece_in_the_last_room(self) -> None:
        """The same holds for a small piece when others have left too little room."""
        self.budget.share().hold(MIB - 10)
        received = self.intake.receive(self.client)
        for _ in range(3):
            self.client.send(DATA[:1000])
            self.assertFalse(self.client.paused)
        self.client.end()
        self.successResultOf(received)
        self.assert_whole()


class RoomTests(IntakeTestCase):
    """Memory that others hold."""

    budget_size = MIB

    def setUp(self) -> None:
        super().setUp()
        self.other = self.budget.share()
        self.other.hold(MIB)

    def test_no_room_at_the_start(self) -> None:
        """A producer is not resumed before others have made room."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[:1000])
        self.assertEqual((True, 0), (self.client.paused, self.intake.size))
        self.other.free(1001)
        self.assertEqual((False, 1000), (self.client.paused, self.intake.size))
        self.client.end()
        self.work()
        self.successResultOf(received)
        self.assert_whole()

    def test_room_is_taken_again(self) -> None:
        """An upload that is woken when the room is gone again keeps waiting."""
        intakes = [self.intake, Intake([ManualLane().consume], self.budget.share())]
        clients = [self.client, Client()]
        for intake, client in zip(intakes, clients, strict=True):
            intake.receive(client)
            client.send(DATA[:100_000])
        self.other.free(50_000)
        self.assertEqual([100_000, 0], [intake.size for intake in intakes])
        self.other.free(51_000)
        self.assertEqual([100_000, 100_000], [intake.size for intake in intakes])

    def test_last_bytes_without_room(self) -> None:
        """A body that ends while others hold everything is complete."""
        self.other.close()
        received = self.intake.receive(self.client)
        self.client.send(DATA[:1000])
        greedy = self.budget.share()
        greedy.hold(MIB)
        self.client.send(DATA[:1000])
        self.assertEqual(1, len(self.lanes[0].calls))
        self.work()
        self.assertTrue(self.client.paused)
        greedy.close()
        self.client.end()
        self.successResultOf(received)
        self.assert_whole()

    def test_failure_while_waiting(self) -> None:
        """An upload that fails while it waits for room is not resumed when there is some."""
        received = self.intake.receive(self.client)
        self.intake.fail(Failure(BodyCut("gone")))
        self.failureResultOf(received, BodyCut)
        self.other.close()
        self.assertTrue(self.client.stopped)


class FailureTests(IntakeTestCase):
    """After any failure the upload ends once, when no lane is working."""

    def test_lane(self) -> None:
        """A failure of a lane stops the producer at once, and is reported when the other lane is idle."""
        received = self.intake.receive(self.client)
        for _ in range(3):
            self.client.send(DATA[:MIB])
        self.lanes[1].finish(Failure(StoreFull("local", "no space")))
        self.assertTrue(self.client.stopped)
        self.assertNoResult(received)
        self.lanes[0].finish()
        self.failureResultOf(received, StoreFull)
        self.assertEqual((0, [1, 1]), (self.share.held, [len(lane.calls) for lane in self.lanes]))

    def test_every_lane(self) -> None:
        """Of several failures the first is reported."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[:MIB])
        self.lanes[1].finish(Failure(StoreFull("local", "no space")))
        self.lanes[0].finish(Failure(ZeroDivisionError()))
        self.failureResultOf(received, StoreFull)
        self.intake.fail(Failure(ZeroDivisionError()))

    def test_admit(self) -> None:
        """Bytes that `admit` refuses reach no lane, and are not held."""

        def admit(size: int) -> None:
            if size > 2000:
                raise TooLarge("too large")

        self.intake = self.make(admit=admit)
        received = self.intake.receive(self.client)
        self.client.send(DATA[:2000])
        self.client.send(b"x")
        self.failureResultOf(received, TooLarge)
        self.assertEqual((True, 0, []), (self.client.stopped, self.share.held, self.lanes[0].calls))

    def test_look(self) -> None:
        """Bytes that `look` refuses reach no lane, wherever they are in the block."""
        looked: list[int] = []

        def look(piece: Piece) -> None:
            looked.append(len(piece))
            if len(looked) == 3:
                raise ZeroDivisionError

        self.intake = self.make(look=look)
        received = self.intake.receive(self.client)
        for _ in range(8):
            self.client.send(DATA[: MIB // 4])
        self.work()
        self.failureResultOf(received, ZeroDivisionError)
        self.assertEqual((True, 0, []), (self.client.stopped, self.share.held, self.lanes[0].calls))

    def test_look_at_the_end(self) -> None:
        """The last, short block is passed to `look` too."""

        def look(piece: Piece) -> None:
            raise ZeroDivisionError

        self.intake = self.make(look=look)
        received = self.intake.receive(self.client)
        self.client.send(b"abc")
        self.client.end()
        self.failureResultOf(received, ZeroDivisionError)

    def test_body(self) -> None:
        """A lost body is reported when the lanes are idle. Gathered bytes are dropped."""
        received = self.intake.receive(self.client)
        self.client.send(DATA[:MIB])
        self.client.send(DATA[:1000])
        self.client.lose(Failure(BodyCut("gone")))
        self.lanes[0].finish()
        self.assertNoResult(received)
        self.lanes[1].finish()
        self.failureResultOf(received, BodyCut)
        self.assertEqual((False, 0, 1), (self.intake.complete, self.share.held, len(self.lanes[0].calls)))

    def test_late_bytes(self) -> None:
        """Bytes that come after a failure are dropped."""
        received = self.intake.receive(self.client)
        self.intake.fail(Failure(BodyCut("gone")))
        self.intake.write(DATA)
        self.intake.unregisterProducer()
        self.failureResultOf(received, BodyCut)
        self.assertEqual((0, 0), (self.share.held, self.intake.size))

    def test_refused_when_woken(self) -> None:
        """A refusal of bytes that waited for room does not disturb the transfer that made the room."""

        def refuse(size: int) -> None:
            raise TooLarge("too large")

        budget = Budget(MIB)
        greedy = budget.share()
        greedy.hold(MIB)
        results = []
        for _ in range(3):
            client = Client()
            results.append(Intake([ManualLane().consume], budget.share(), refuse).receive(client))
            client.send(b"x")
        greedy.free(MIB)
        for received in results:
            self.failureResultOf(received, TooLarge)

    def test_order_of_the_end(self) -> None:
        """The producer is stopped before the failure is reported, so that no response is sent while the body is
        still read.
        """
        received = self.intake.receive(self.client)
        stopped: list[bool] = []
        received.addErrback(lambda failure: stopped.append(self.client.stopped))
        for _ in range(3):
            self.client.send(DATA[:MIB])
        self.lanes[0].finish()
        self.lanes[0].finish()
        self.lanes[1].finish(Failure(ZeroDivisionError()))
        self.assertEqual([True], stopped)


class UploadsMachine(RuleBasedStateMachine):
    """Uploads that share a small budget with a user of any behaviour."""

    budget: Budget

    @initialize(immediate=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5))
    def begin(self, immediate: list[tuple[bool, bool]]) -> None:
        self.budget = Budget(4 * SMALLEST_BLOCK)
        self.other = self.budget.share()
        self.uploads = []
        self.largest = 0
        for lanes in immediate:
            rigs = [ManualLane(at_once) for at_once in lanes]
            client = Client()
            share = self.budget.share()
            intake = Intake([lane.consume for lane in rigs], share)
            outcome: list[object] = []
            intake.receive(client).addBoth(outcome.append)
            self.uploads.append((client, rigs, share, outcome))

    @rule(which=st.integers(0, 4), size=st.integers(1, 200_000))
    def send(self, which: int, size: int) -> None:
        client, *_ = self.uploads[which % len(self.uploads)]
        if client.open and not client.paused:
            self.largest = max(self.largest, size)
            client.send(DATA[len(client.sent) % 1000 :][:size])

    @rule(which=st.integers(0, 4), lane=st.integers(0, 1))
    def consume(self, which: int, lane: int) -> None:
        _, rigs, *_ = self.uploads[which % len(self.uploads)]
        if rigs[lane].working:
            rigs[lane].finish()

    @rule(which=st.integers(0, 4))
    def end(self, which: int) -> None:
        client, *_ = self.uploads[which % len(self.uploads)]
        if client.open:
            client.end()

    @rule(which=st.integers(0, 4))
    def lose(self, which: int) -> None:
        client, *_ = self.uploads[which % len(self.uploads)]
        if client.open:
            client.lose(Failure(BodyCut("gone")))

    @rule(size=st.integers(1, 4 * SMALLEST_BLOCK))
    def take(self, size: int) -> None:
        if self.other.has_room():
            self.other.hold(size)
            self.largest = max(self.largest, size)

    @precondition(lambda self: self.other.held > 0)
    @rule()
    def give(self) -> None:
        self.other.free(self.other.held)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.held <= self.budget.size + len(self.uploads) * self.largest

    def teardown(self) -> None:
        """Nobody waits forever: when the other user is gone and all lanes work, every upload ends."""
        if not hasattr(self, "uploads"):
            return
        self.other.close()
        moving = True
        while moving:
            moving = False
            for client, rigs, _, _ in self.uploads:
                for lane in rigs:
                    if lane.working:
                        lane.finish()
                        moving = True
                if client.open and not client.paused:
                    client.end()
                    moving = True
        for client, rigs, share, outcome in self.uploads:
            assert len(outcome) == 1, "an upload that never ends"
            assert share.held == 0
            if outcome == [None]:
                assert all(lane.data == client.sent for lane in rigs)


UploadsMachine.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=80, stateful_step_count=30)


class UploadsMachineTests(SynchronousTestCase):
    """The machine above, run by trial."""

    def test_no_deadlock(self) -> None:
        """Whatever uploads, lanes and others do to the budget, each upload ends with all of its bytes or a failure."""
        UploadsMachine.TestCase("runTest").runTest()


class DepthTests(SynchronousTestCase):
    """Waking does not recurse with the number of waiting uploads."""

    def test_many_wait(self) -> None:
        """A thousand uploads that wait for room are woken by one that frees it, and end."""
        budget = Budget(MIB)
        greedy = budget.share()
        greedy.hold(MIB)
        results = []
        for _ in range(sys.getrecursionlimit()):
            client, share = Client(), budget.share()
            results.append(Intake([ManualLane(at_once=True).consume], share).receive(client))
            client.send(DATA[:100_000])
            client.end()
        greedy.close()
        for received in results:
            self.successResultOf(received)
        self.assertEqual(0, budget.held)
