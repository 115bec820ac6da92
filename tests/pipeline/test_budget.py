"""How transfers share the memory of a process."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.interfaces import IBudget, IShare
from imgsvc.pipeline.budget import (
    BLOCKS_IN_FLIGHT,
    LARGEST_BLOCK,
    MIB,
    SMALLEST_BLOCK,
    SMALLEST_DOWNLOAD_BLOCK,
    Budget,
    Budgets,
    Share,
)


class BudgetTests(SynchronousTestCase):
    """Room, the size of blocks, and transfers that wait."""

    def test_interfaces(self) -> None:
        """Budget and Share provide their interfaces."""
        verifyObject(IBudget, Budget(MIB))
        verifyObject(IShare, Budget(MIB).share())

    def test_blocks_shrink(self) -> None:
        """Blocks are 1 MiB for few transfers, and 64 KiB for many, and a power of two between."""
        budget = Budget(256 * MIB)
        sizes = []
        for _ in range(1000):
            share = budget.share()
            sizes.append(share.block_size)
        self.assertEqual((LARGEST_BLOCK, SMALLEST_BLOCK), (sizes[0], sizes[-1]))
        self.assertEqual(sorted(sizes, reverse=True), sizes)
        self.assertEqual({1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20}, set(sizes))

    def test_blocks_grow_again(self) -> None:
        """Blocks grow when transfers end."""
        budget = Budget(64 * MIB)
        shares = [budget.share() for _ in range(100)]
        self.assertEqual(SMALLEST_BLOCK, budget.block_size)
        for share in shares:
            share.close()
        self.assertEqual(LARGEST_BLOCK, budget.block_size)

    def test_part_of_a_share(self) -> None:
        """A single transfer has room only for what keeps its lanes busy."""
        share = Budget(256 * MIB).share()
        share.hold(BLOCKS_IN_FLIGHT * LARGEST_BLOCK - 1)
        self.assertTrue(share.has_room())
        share.hold(1)
        self.assertFalse(share.has_room())

    def test_equal_parts(self) -> None:
        """The shares of all transfers together are at most the budget."""
        budget = Budget(256 * MIB)
        shares = [budget.share() for _ in range(64)]
        for share in shares:
            while share.has_room():
                share.hold(share.block_size)
        self.assertLessEqual(budget.held, budget.size)

    def test_bound(self) -> None:
        """However many transfers share it, at most the budget and the last piece of each are held."""
        for count in (1, 10, 1000, 5000):
            budget = Budget(16 * MIB)
            shares = [budget.share() for _ in range(count)]
            for share in shares:
                while share.has_room():
                    share.hold(SMALLEST_BLOCK)
            self.assertLess(budget.held, budget.size + SMALLEST_BLOCK)

    def test_waiting(self) -> None:
        """Waiting transfers are woken once, in their order, and only while there is room."""
        budget = Budget(MIB)
        greedy, others = budget.share(), [budget.share() for _ in range(3)]
        greedy.hold(MIB)
        woken: list[int] = []

        def take(number: int) -> None:
            woken.append(number)
            others[number].hold(MIB // 2)

        for number in range(3):
            others[number].when_room(lambda number=number: take(number))  # type: ignore[misc]
        greedy.free(1)
        self.assertEqual([0], woken)
        greedy.free(MIB // 2)
        self.assertEqual([0, 1], woken)
        greedy.close()
        self.assertEqual([0, 1], woken)
        others[0].close()
        self.assertEqual([0, 1, 2], woken)

    def test_woken_again(self) -> None:
        """A transfer that waits again when it is woken is not called in a loop."""
        budget = Budget(MIB)
        first, second = budget.share(), budget.share()
        first.hold(10)
        calls: list[str] = []

        def again() -> None:
            calls.append("again")
            second.when_room(again)

        second.when_room(again)
        first.free(1)
        self.assertEqual(["again"], calls)

    def test_woken_frees(self) -> None:
        """A transfer that closes when it is woken wakes those behind it, each once."""
        budget = Budget(MIB)
        first, second, third = budget.share(), budget.share(), budget.share()
        first.hold(MIB)
        calls: list[str] = []
        second.when_room(lambda: (calls.append("second"), second.close()))
        third.when_room(lambda: calls.append("third"))
        first.free(MIB)
        self.assertEqual(["second", "third"], calls)

    def test_lenders(self) -> None:
        """A transfer that needs room makes others give up what they have lent: no more than needed, the oldest
        first.
        """
        budget = Budget(4 * MIB)
        shares = [budget.share() for _ in range(4)]
        asked: list[int] = []

        def give_back(number: int) -> None:
            asked.append(number)
            shares[number].free(MIB)

        for number in (2, 0, 1, 2):
            shares[number].lend(lambda number=number: give_back(number))  # type: ignore[misc]
        for number in (0, 1, 2):
            shares[number].hold(MIB)
        self.assertTrue(shares[3].make_room())
        self.assertEqual([], asked)
        shares[3].hold(MIB // 2)
        shares[0].hold(MIB // 2)
        self.assertTrue(shares[3].make_room())
        self.assertEqual([2], asked)
        shares[3].hold(MIB)
        self.assertFalse(shares[3].make_room())  # it has its part
        self.assertEqual([2], asked)
        shares[0].take_back()
        shares[1].close()
        self.assertTrue(shares[2].make_room())
        self.assertEqual([2], asked)
        shares[2].hold(4 * MIB)
        self.assertFalse(shares[2].make_room())
        self.assertEqual(({}, [2]), (budget.lenders, asked))

    def test_close(self) -> None:
        """A closed share releases everything, and bytes that are freed later do not count."""
        budget = Budget(MIB)
        share = budget.share()
        share.hold(1000)
        share.close()
        share.free(1000)
        share.close()
        self.assertEqual((0, 0), (budget.held, budget.shares))


class BudgetMachine(RuleBasedStateMachine):
    """Transfers that come, hold, wait, free and close in any order."""

    shares = Bundle("shares")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(MIB)
        self.open: dict[Share, int] = {}
        self.expected: list[int] = []
        self.woken: list[int] = []
        self.count = 0
        self.largest = 0

    @rule(target=shares)
    def begin(self) -> Share:
        share = self.budget.share()
        self.open[share] = 0
        return share

    @rule(share=shares, size=st.integers(0, 300_000))
    def hold(self, share: Share, size: int) -> None:
        if share.has_room():
            share.hold(size)
            self.open[share] += size
            self.largest = max(self.largest, size)

    @rule(share=shares, part=st.floats(0, 1))
    def free(self, share: Share, part: float) -> None:
        size = int(self.open[share] * part)
        self.open[share] -= size
        share.free(size)

    @rule(share=shares)
    def wait(self, share: Share) -> None:
        number = self.count = self.count + 1
        self.expected.append(number)
        share.when_room(lambda: self.woken.append(number))

    @rule(share=consumes(shares))
    def close(self, share: Share) -> None:
        del self.open[share]
        share.close()

    @invariant()
    def counts_are_right(self) -> None:
        assert self.budget.shares == len(self.open)
        assert self.budget.held == sum(self.open.values())
        assert all(share.held == held for share, held in self.open.items())

    @invariant()
    def bound_holds(self) -> None:
        assert self.budget.held <= self.budget.size + self.largest

    @invariant()
    def order_is_kept(self) -> None:
        assert self.woken == self.expected[: len(self.woken)]

    def teardown(self) -> None:
        for share in list(self.open):
            share.close()
        if self.open:
            assert self.woken == self.expected


BudgetMachine.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=30)


class BudgetMachineTests(SynchronousTestCase):
    """The machine above, run by trial."""

    def test_any_order(self) -> None:
        """Counts, limits and the order of waking hold for any sequence of calls."""
        BudgetMachine.TestCase("runTest").runTest()


class PartsTests(SynchronousTestCase):
    """The parts of the memory budget."""

    def test_parts(self) -> None:
        """The parts together are at most the budget, and none is empty."""
        for size in (MIB, 3 * MIB + 1, 256 * MIB):
            budgets = Budgets(size)
            parts = [budgets.uploads.size, budgets.downloads.size, budgets.answers.size]
            self.assertLessEqual(sum(parts), size)
            self.assertGreater(min(parts), SMALLEST_BLOCK)

    def test_apart(self) -> None:
        """Downloads that use all of their part leave uploads and responses theirs."""
        budgets = Budgets(256 * MIB)
        share = budgets.downloads.share()
        share.hold(budgets.downloads.size)
        self.assertFalse(share.has_room())
        self.assertTrue(budgets.uploads.share().has_room())
        self.successResultOf(budgets.answers.reserve(MIB))

    def test_downloads(self) -> None:
        """A thousand downloads each have blocks, smaller ones than uploads."""
        budgets = Budgets(256 * MIB)
        shares = [budgets.downloads.share() for _ in range(1200)]
        for share in shares:
            for _ in range(3):
                share.hold(share.block_size)
        self.assertLessEqual(budgets.downloads.held, budgets.downloads.size)
        self.assertEqual(SMALLEST_DOWNLOAD_BLOCK, shares[0].block_size)
