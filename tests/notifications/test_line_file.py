"""A file that lines are appended to, with real files."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.notifications.drops import Drops
from imgsvc.notifications.line_file import PAUSE, LineFile, append
from tests.support.threads import ImmediateThreads, ManualThreads


class LineFileTests(SynchronousTestCase):
    """A LineFile whose thread works at once."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = Clock()
        self.drops = Drops("lines")
        self.file = LineFile(self.path, ImmediateThreads(), self.clock, 100, self.drops)

    def test_append(self) -> None:
        """Lines are appended in order, also to a file that exists. Others cannot read a new file."""
        self.file.write(b"one\n")
        self.file.write(b"two\n")
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\n")
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_moved(self) -> None:
        """After the file was moved away, the next line makes a new one."""
        self.file.write(b"one\n")
        self.path.rename(f"{self.path}.1")
        self.file.write(b"two\n")
        self.assertEqual(self.path.read_bytes(), b"two\n")
        self.assertEqual(Path(f"{self.path}.1").read_bytes(), b"one\n")

    def test_away(self) -> None:
        """While the folder is away, lines wait up to the limit. Further ones are counted. Then all are written."""
        self.file.path = self.path / "audit.log"
        for _ in range(12):
            self.file.write(b"ten bytes\n")
        self.assertEqual(self.drops.total, 2)
        self.path.mkdir()
        self.clock.advance(PAUSE)
        self.assertEqual(self.file.path.read_bytes(), b"ten bytes\n" * 10)
        self.file.write(b"again\n")
        self.assertEqual(self.file.path.read_bytes()[100:], b"again\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_away(self) -> None:
        """A stop tries once more, and then counts what is lost."""
        self.file.path = self.path / "audit.log"
        self.file.write(b"one\n")
        self.successResultOf(Deferred.fromCoroutine(self.file.stop()))
        self.assertEqual((self.drops.total, self.clock.getDelayedCalls()), (1, []))

    def test_stop_writes(self) -> None:
        """A stop writes what waits for its next try."""
        self.file.path = self.path / "audit.log"
        self.file.write(b"one\n")
        self.path.mkdir()
        self.successResultOf(Deferred.fromCoroutine(self.file.stop()))
        self.assertEqual((self.file.path.read_bytes(), self.drops.total), (b"one\n", 0))

    def test_one_write_at_a_time(self) -> None:
        """While a write is under way, further lines wait, and are written together. A stop waits for them."""
        threads = ManualThreads(1)
        file = LineFile(self.path, threads, self.clock, 100, self.drops)
        for line in (b"one\n", b"two\n", b"three\n"):
            file.write(line)
        stopped = Deferred.fromCoroutine(file.stop())
        self.assertNoResult(stopped)
        threads.finish()
        self.assertEqual(self.path.read_bytes(), b"one\n")
        threads.finish()
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\nthree\n")
        self.successResultOf(stopped)


class FullDiskTests(SynchronousTestCase):
    """A device that is always full."""

    def test_full(self) -> None:
        """The error is returned, with the bytes that were written before it."""
        written, error = append(Path("/dev/full"), b"line\n")
        assert error is not None
        self.assertEqual((written, error.errno), (0, 28))

    def test_torn(self) -> None:
        """A line that was written in part is written again, as a whole and on a line of its own."""
        path = Path(self.mktemp())
        clock = Clock()

        class FullThreads(ImmediateThreads):
            """A thread whose disk has room for 6 bytes more, and later for all."""

            room: int | None = 6

            def run(self, function, *arguments):  # type: ignore[no-untyped-def]
                target, data = arguments
                if self.room is None:
                    return super().run(function, target, data)
                room, self.room = self.room, None
                written = super().run(function, target, data[:room])
                return written.addCallback(lambda result: (result[0], OSError(28, os.strerror(28))))

        file = LineFile(path, FullThreads(), clock, 100, Drops("lines"))
        file.write(b"a long line\n")
        file.write(b"two\n")
        clock.advance(PAUSE)
        self.assertEqual(path.read_bytes(), b"a long\na long line\ntwo\n")
