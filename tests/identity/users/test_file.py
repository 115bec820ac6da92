"""Tests of the file with the users."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from imgsvc.errors import ConfigurationError, Conflict, Invalid
from imgsvc.identity.users.accounts import Accounts
from imgsvc.identity.users.editing import add_user
from imgsvc.identity.users.file import LARGEST, LOOK_INTERVAL, UserFile, change_accounts, read_accounts
from imgsvc.identity.users.first import make_first_user
from tests.support.threads import ImmediateThreads, ManualThreads
from tests.support.users import a_user, touch_later, write_users


class UserFileTests(SynchronousTestCase):
    """Written by one process, read by another."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "users.json"
        write_users(self.path, a_user("alice", blue="member"))
        self.clock = Clock()

    def names(self, file: UserFile) -> list[str]:
        """The names of the users, after some time."""
        self.clock.advance(LOOK_INTERVAL)
        _ = file.accounts
        return sorted(file.accounts.users)

    def test_private(self) -> None:
        """The file and its folder belong to the owner alone. A file that others may read is refused."""
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        for mode in (0o640, 0o604, 0o620):
            self.path.chmod(mode)
            error = self.assertRaises(ConfigurationError, read_accounts, self.path)
            self.assertIn(f"its permissions are {mode:04o}: must be 0600", str(error))

    def test_written_at_once(self) -> None:
        """A change replaces the file as a whole, and leaves nothing else than the lock."""
        before = self.path.open("rb")
        self.addCleanup(before.close)
        write_users(self.path, a_user("bob", red="member"))
        self.assertIn(b"alice", before.read())
        self.assertEqual(list(read_accounts(self.path).users), ["bob"])
        self.assertEqual(sorted(os.listdir(self.path.parent)), [".users.json.lock", "users.json"])

    def test_owner(self) -> None:
        """What root writes belongs to the owner of the folder, or of the file that is there."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give files away")
        folder = self.path.parent
        os.chown(folder, 12345, 23456)
        os.unlink(folder / ".users.json.lock")
        self.path.unlink()
        for _ in range(2):
            write_users(self.path, a_user("bob", red="member"))
            for path in (self.path, folder / ".users.json.lock"):
                self.assertEqual((path.stat().st_uid, path.stat().st_gid), (12345, 23456))

    def test_turns(self) -> None:
        """Of several changes at the same time, none is lost."""

        def add(number: int) -> None:
            change_accounts(self.path, lambda accounts: accounts.with_user(a_user(f"user {number}", blue="member")))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(40)))
        self.assertEqual(len(read_accounts(self.path).users), 41)

    def test_refused_change(self) -> None:
        """A change that fails changes nothing."""
        before = self.path.read_bytes()
        change = lambda accounts: add_user(accounts, "alice", "", {})  # noqa: E731
        self.assertRaises(Conflict, change_accounts, self.path, change)
        many = Accounts({f"user {number}": a_user(f"user {number}", blue="member") for number in range(LARGEST // 100)})
        self.assertRaises(ConfigurationError, change_accounts, self.path, lambda _: many)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.path.parent)), [".users.json.lock", "users.json"])

    def test_unreadable(self) -> None:
        """A file that is missing, too large or not JSON is refused in one line."""
        self.assertRaises(ConfigurationError, read_accounts, self.path.parent / "absent")
        self.assertRaises(ConfigurationError, read_accounts, self.path.parent)
        for data in (b"{", b"\xff", b" " * (LARGEST + 1)):
            self.path.write_bytes(data)
            error = self.assertRaises(ConfigurationError, read_accounts, self.path)
            self.assertNotIn("\n", str(error))

    def test_read_again(self) -> None:
        """A change is taken up. What is wrong or missing is logged, and the users before it stay."""
        file = UserFile(self.path, ImmediateThreads(), self.clock.seconds)
        write_users(self.path, a_user("bob", red="member"))
        self.assertEqual(list(file.accounts.users), ["alice"])
        self.assertEqual(self.names(file), ["bob"])
        self.path.write_bytes(b"{")
        self.assertEqual(self.names(file), ["bob"])
        self.path.unlink()
        self.assertEqual(self.names(file), ["bob"])
        write_users(self.path, a_user("carol", red="member"))
        self.assertEqual(self.names(file), ["carol"])
        self.path.chmod(0o644)
        self.assertEqual(self.names(file), ["carol"])
        touch_later(self.path)
        self.path.chmod(0o600)
        self.assertEqual(self.names(file), ["carol"])

    def test_in_a_thread(self) -> None:
        """The file is read in a thread, and the earlier users serve meanwhile. A stop of the threads is no error."""
        threads = ManualThreads(1)
        file = UserFile(self.path, threads, self.clock.seconds)
        self.assertEqual((self.names(file), len(threads)), (["alice"], 0))
        write_users(self.path, a_user("bob", red="member"))
        self.assertEqual((self.names(file), len(threads)), (["alice"], 1))
        threads.finish()
        self.assertEqual(sorted(file.accounts.users), ["bob"])
        touch_later(self.path)
        self.assertEqual((self.names(file), len(threads)), (["bob"], 1))
        threads.stop()
        self.assertEqual(self.names(file), ["bob"])


class FirstUserTests(SynchronousTestCase):
    """The administrator that a first start makes."""

    def test_once(self) -> None:
        """It is made if there is no user, and never again."""
        path = Path(self.mktemp()) / "users.json"
        self.assertRaises(Invalid, make_first_user, path, "a:b", lambda: self.fail("asked for a password"))
        self.assertRaises(Invalid, make_first_user, path, "alice", lambda: "short")
        self.assertFalse(path.exists())
        self.assertTrue(make_first_user(path, "alice", lambda: "long enough"))
        self.assertEqual(read_accounts(path).users["alice"].projects, {"admin": ("admin",)})
        self.assertFalse(make_first_user(path, "bob", lambda: self.fail("asked for a password")))
        self.assertEqual(list(read_accounts(path).users), ["alice"])
