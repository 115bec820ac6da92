"""Processes that share an SQLite file write one after the other, in the order in which they asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue.sqlite import SQLiteDatabase
from imgsvc.catalogue.turns import Turn
from imgsvc.errors import CatalogueUnavailable
from tests.support.threads import ImmediateThreads
from tests.support.waiting import wait_for

PATIENCE = 60.0
HOLDER = """
import sys, time
from pathlib import Path
from imgsvc.catalogue.turns import Turn
with Turn(Path(sys.argv[1]), 60).taken():
    print("held", flush=True)
    time.sleep(600)
"""


class TurnTests(SynchronousTestCase):
    """Each `Turn` stands for a process, because the locks belong to open files."""

    def setUp(self) -> None:
        self.database = Path(self.mktemp()).absolute()
        self.database.touch()

    def turn(self, patience: float = PATIENCE) -> Turn:
        """A turn of another process."""
        turn = Turn(self.database, patience)
        self.addCleanup(turn.close)
        return turn

    def is_free(self) -> bool:
        """Whether nobody holds the turn or waits for it."""
        try:
            with self.turn(0).taken():
                return True
        except TimeoutError:
            return False

    def waits(self) -> bool:
        """Whether somebody waits in the queue of this database."""
        inode = f":{Path(f'{self.database}-turn').stat().st_ino} 0 0"
        return any(inode in line for line in Path("/proc/locks").read_text().splitlines())

    def test_who_has_just_had_a_turn_comes_last(self) -> None:
        """A process that has just had a turn does not overtake one that waits."""
        order: list[str] = []
        first, second = self.turn(), self.turn()

        def write() -> None:
            with second.taken():
                order.append("second")

        thread = Thread(target=write)
        with first.taken():
            thread.start()
            wait_for(self.waits, "somebody waits")
        with first.taken():
            order.append("first again")
        thread.join()
        self.assertEqual(["second", "first again"], order)

    def test_too_long(self) -> None:
        """The wait has a limit. A process that has given up gets no turn, and may wait again."""
        first, second = self.turn(), self.turn(0)
        with first.taken():
            for _ in range(3):
                with self.assertRaises(TimeoutError), second.taken():
                    self.fail("two have the turn")
        wait_for(self.is_free, "the turn is free")
        with Turn(self.database, PATIENCE).taken():
            pass
        with self.turn(PATIENCE).taken():
            self.assertFalse(self.is_free())

    def test_waits_again(self) -> None:
        """A process that has given up and waits again gets the turn for which its first wait goes on."""
        second = self.turn(0)
        with ExitStack() as stack:
            stack.enter_context(self.turn().taken())
            with self.assertRaises(TimeoutError), second.taken():
                self.fail("two have the turn")
            second._patience = PATIENCE
            entered: list[bool] = []

            def write() -> None:
                with second.taken():
                    entered.append(self.is_free())

            thread = Thread(target=write)
            thread.start()
        thread.join()
        self.assertEqual([False], entered)
        wait_for(self.is_free, "the turn is free")

    def test_holder_dies(self) -> None:
        """The turn of a killed process is free."""
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(self.database)], stdout=subprocess.PIPE)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        self.assertEqual(b"held\n", holder.stdout.readline())
        self.assertFalse(self.is_free())
        holder.send_signal(signal.SIGKILL)
        with self.turn().taken():
            pass

    def test_no_locks(self) -> None:
        """If the file cannot be created, writes go on without turns."""
        Path(f"{self.database}-turn").mkdir()
        done = []
        for _ in range(2):
            with self.turn().taken():
                done.append(True)
        self.assertEqual([True, True], done)

    def test_permissions(self) -> None:
        """Whoever may write to the database may take turns, and nobody else."""
        for mode in (0o600, 0o660):
            Path(f"{self.database}-turn").unlink(missing_ok=True)
            self.database.chmod(mode)
            before = os.umask(0)
            self.addCleanup(os.umask, before)
            self.assertTrue(self.is_free())
            self.assertEqual(mode, Path(f"{self.database}-turn").stat().st_mode & 0o777)

    def test_database(self) -> None:
        """A write waits for its turn as long as for a lock of the database. Later writes succeed."""
        database = SQLiteDatabase(f"sqlite:///{self.database}", ImmediateThreads(), ImmediateThreads(), 0.01)
        self.successResultOf(database.start())
        with self.turn().taken():
            self.failureResultOf(database.write(lambda connection: None), CatalogueUnavailable)
            self.assertEqual(1, self.successResultOf(database.read(lambda connection: 1)))
        wait_for(self.is_free, "the turn is free")
        self.assertEqual(1, self.successResultOf(database.write(lambda connection: 1)))
        self.successResultOf(database.stop())
        self.assertTrue(self.is_free())
