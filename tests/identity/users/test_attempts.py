"""Tests of the limits of attempts, and of the checks of passwords."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import TooManyAttempts
from imgsvc.identity.users.attempts import MOST_KEPT, OF_ADDRESS, OF_USER, Allowance, Attempts, Rate
from imgsvc.identity.users.checker import MOST_KEPT as MOST_PASSWORDS
from imgsvc.identity.users.checker import MOST_OF_ADDRESS, MOST_WAITING, PasswordChecker
from tests.support.threads import ImmediateThreads, ManualThreads
from tests.support.users import PASSWORD, quick_hash


class AllowanceTests(SynchronousTestCase):
    """How many attempts one key has."""

    def test_burst_and_rate(self) -> None:
        """A burst at once, and then one for each interval. Time that passes gives the burst back."""
        clock = Clock()
        allowance = Allowance(Rate(3, 10.0), clock.seconds)
        for _ in range(3):
            self.assertEqual(allowance.pause("a"), 0)
            allowance.take("a")
        self.assertEqual(allowance.pause("a"), 10)
        self.assertEqual(allowance.pause("b"), 0)
        clock.advance(9)
        self.assertEqual(allowance.pause("a"), 1)
        clock.advance(1)
        self.assertEqual(allowance.pause("a"), 0)
        allowance.take("a")
        self.assertEqual(allowance.pause("a"), 10)
        allowance.give_back("a")
        self.assertEqual(allowance.pause("a"), 0)
        clock.advance(1000)
        for _ in range(3):
            self.assertEqual(allowance.pause("a"), 0)
            allowance.take("a")
        self.assertEqual(allowance.pause("a"), 10)

    def test_bounded(self) -> None:
        """A full table forgets those who have most attempts left, so that many keys do not free one that has none."""
        clock = Clock()
        allowance = Allowance(Rate(3, 10.0), clock.seconds, most=5)
        for _ in range(3):
            allowance.take("guessed")
        for number in range(1000):
            allowance.take(f"other {number}")
            self.assertLessEqual(len(allowance._times), 5)
        self.assertEqual(allowance.pause("guessed"), 10)


class AttemptsTests(SynchronousTestCase):
    """Wrong passwords of users and addresses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock.seconds)

    def test_user(self) -> None:
        """One user cannot be guessed from many addresses."""
        for number in range(OF_USER.burst):
            self.attempts.begin("alice", f"192.0.2.{number}")
        error = self.assertRaises(TooManyAttempts, self.attempts.begin, "alice", "192.0.2.99")
        self.assertEqual(error.retry_after, OF_USER.interval)
        self.attempts.begin("bob", "192.0.2.99")

    def test_address(self) -> None:
        """One address cannot guess many users. An address that is not known is not counted."""
        for number in range(OF_ADDRESS.burst):
            self.attempts.begin(f"user {number}", "192.0.2.1")
        self.assertRaises(TooManyAttempts, self.attempts.begin, "alice", "192.0.2.1")
        self.attempts.begin("alice", "192.0.2.2")
        for number in range(OF_ADDRESS.burst + 1):
            self.attempts.begin(f"user {number}", None)

    def test_not_locked_out(self) -> None:
        """Whoever guesses a user elsewhere does not stop this user where the right password came from before."""
        self.attempts.succeeded(self.attempts.begin("alice", "192.0.2.1"))
        for _ in range(OF_USER.burst):
            self.attempts.begin("alice", "192.0.2.66")
        self.assertRaises(TooManyAttempts, self.attempts.begin, "alice", "192.0.2.66")
        for _ in range(OF_USER.burst):
            self.attempts.begin("alice", "192.0.2.1")
        self.assertRaises(TooManyAttempts, self.attempts.begin, "alice", "192.0.2.1")

    def test_right_ones_are_free(self) -> None:
        """Right passwords do not use up attempts, and their places are bounded."""
        for number in range(MOST_KEPT + 10):
            self.attempts.succeeded(self.attempts.begin("alice", f"address {number}"))
        self.assertEqual(len(self.attempts._known), MOST_KEPT)


class CheckerTests(SynchronousTestCase):
    """Checks in threads."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = ManualThreads(1)
        self.checker = PasswordChecker(self.threads, self.clock.seconds)

    def check(self, password: str, name: str = "alice", is_real: bool = True) -> Deferred[bool]:
        """A check of a user whose password is PASSWORD."""
        return self.checker.check(name, password, quick_hash(PASSWORD), is_real, "192.0.2.1")

    def is_kept(self, password: str, hashed: str | None = None) -> bool:
        """Whether the password needs no check for a minute."""
        return self.checker.is_kept("alice", password, hashed or quick_hash(PASSWORD), 60)

    def test_kept(self) -> None:
        """A right password is kept for its time. A wrong one is not, nor a right one of another hash."""
        checked = self.check(PASSWORD)
        self.threads.finish()
        self.assertTrue(self.successResultOf(checked))
        self.assertTrue(self.is_kept(PASSWORD))
        self.assertFalse(self.is_kept("wrong"))
        self.assertFalse(self.is_kept(PASSWORD, quick_hash("another")))
        self.clock.advance(60)
        self.assertFalse(self.is_kept(PASSWORD))
        checked = self.check("wrong")
        self.threads.finish()
        self.assertFalse(self.successResultOf(checked))
        self.assertFalse(self.is_kept("wrong"))
        self.assertNotIn(PASSWORD, repr(vars(self.checker)))

    def test_unknown_user(self) -> None:
        """For an unknown user a hash is checked too, and no password is right."""
        checked = self.check(PASSWORD, is_real=False)
        self.assertEqual(len(self.threads), 1)
        self.threads.finish()
        self.assertFalse(self.successResultOf(checked))
        self.assertFalse(self.is_kept(PASSWORD))

    def test_joined(self) -> None:
        """Many requests with one password wait for one check, and count as one attempt."""
        checked = [self.check(PASSWORD) for _ in range(OF_USER.burst * 3)]
        self.assertEqual(len(self.threads), 1)
        checked[0].cancel()
        self.failureResultOf(checked[0], CancelledError)
        self.threads.finish()
        for one in checked[1:]:
            self.assertTrue(self.successResultOf(one))

    def test_counted_from_the_beginning(self) -> None:
        """Different passwords at the same time are limited before the first was found to be wrong."""

        def check(number: int) -> Deferred[bool]:
            address = f"192.0.2.{number}"
            return self.checker.check("alice", f"wrong {number}", quick_hash(PASSWORD), True, address)

        checked = [check(number) for number in range(OF_USER.burst)]
        self.assertRaises(TooManyAttempts, check, 99)
        for one in checked:
            self.threads.finish()
            self.assertFalse(self.successResultOf(one))
        self.assertRaises(TooManyAttempts, check, 99)

    def test_most_waiting(self) -> None:
        """So many wait for a thread, and no more."""
        for number in range(MOST_WAITING):
            self.checker.check(f"user {number}", "x", quick_hash(PASSWORD), False, None)
        self.assertRaises(TooManyAttempts, self.checker.check, "alice", PASSWORD, quick_hash(PASSWORD), True, None)
        self.threads.finish()
        self.checker.check("alice", PASSWORD, quick_hash(PASSWORD), True, None)

    def test_most_of_address(self) -> None:
        """One address has some of these places, so that others need not wait long."""
        for number in range(MOST_OF_ADDRESS):
            self.check("x", f"user {number}")
        self.assertRaises(TooManyAttempts, self.check, PASSWORD)
        self.checker.check("alice", PASSWORD, quick_hash(PASSWORD), True, "192.0.2.2")
        self.threads.finish()
        self.check(PASSWORD)

    def test_stopped(self) -> None:
        """When the threads stop, all who wait are told."""
        checked = [self.check(PASSWORD), self.check(PASSWORD)]
        self.threads.stop()
        for one in checked:
            self.failureResultOf(one, CancelledError)

    def test_most_kept(self) -> None:
        """What is kept is bounded: the oldest goes first."""
        checker = PasswordChecker(ImmediateThreads(), self.clock.seconds)
        for number in range(MOST_PASSWORDS + 1):
            name = f"user {number}"
            self.assertTrue(self.successResultOf(checker.check(name, PASSWORD, quick_hash(PASSWORD), True, None)))
        self.assertFalse(checker.is_kept("user 0", PASSWORD, quick_hash(PASSWORD), 60))
        self.assertTrue(checker.is_kept("user 1", PASSWORD, quick_hash(PASSWORD), 60))
