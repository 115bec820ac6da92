"""The line that shows the progress of a transfer."""

from __future__ import annotations

from io import StringIO

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.client.command.progress import INTERVAL, ProgressLine, format_size, format_time


class TerminalOutput(StringIO):
    def isatty(self) -> bool:
        return True


class FormatTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes have two or three digits and a unit."""
        for size, text in ((0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (3e15, "3000 TB")):
            self.assertEqual(format_size(size), text)

    def test_times(self) -> None:
        """Times have the form of a clock."""
        for seconds, text in ((0.4, "0:00"), (61, "1:01"), (3723, "1:02:03")):
            self.assertEqual(format_time(seconds), text)


class ProgressLineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stream = TerminalOutput()
        self.line = ProgressLine(self.stream, self.clock)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def shown(self) -> list[str]:
        return [text.rstrip() for text in self.stream.getvalue().split("\r")[1:]]

    def test_line(self) -> None:
        """Percentage, bytes, rate and remaining time are on one line."""
        self.line("upload", 0, 400_000_000)
        self.clock.advance(2)
        self.line("upload", 100_000_000, 400_000_000)
        self.line.end()
        self.assertEqual(self.shown()[0], "Uploading    0 %  [                   ]  0 B of 400 MB")
        bar = "[####               ]"
        self.assertEqual(self.shown()[-1], f"Uploading   25 %  {bar}  100 MB of 400 MB  50.0 MB/s  0:06 left")
        self.assertTrue(self.stream.getvalue().endswith("\n"))

    def test_seldom(self) -> None:
        """Many steps in a short time update the line once. The last step is shown even if no other follows."""
        for done in range(100):
            self.line("download", done, 1000)
        self.assertEqual(len(self.shown()), 1)
        self.clock.advance(INTERVAL)
        self.assertIn("99 B of 1.0 kB", self.shown()[-1])
        lines = len(self.shown())
        self.line("download", 99, 1000)
        self.assertEqual(len(self.shown()), lines)
        self.line.end()

    def test_continued(self) -> None:
        """Bytes of an earlier transfer do not count for the rate."""
        self.line("download", 500_000_000, None)
        self.clock.advance(1)
        self.line("download", 510_000_000, None)
        self.line.end()
        self.assertEqual(self.shown()[-1], "Downloading  510 MB  10.0 MB/s")

    def test_current_rate(self) -> None:
        """The rate is that of the last seconds: it falls when nothing moves, and forgets a fast beginning."""
        self.line("upload", 0, 1_000_000_000)
        self.clock.advance(1)
        self.line("upload", 500_000_000, 1_000_000_000)
        self.clock.pump([INTERVAL] * 10)
        stalled = self.shown()[-1]
        self.assertIn("MB/s", stalled)
        self.clock.pump([INTERVAL] * 40)
        self.assertNotEqual(self.shown()[-1], stalled)
        for done in range(502_000_000, 561_000_000, 2_000_000):
            self.line("upload", done, 1_000_000_000)
            self.clock.advance(INTERVAL)
        self.assertIn("  10.0 MB/s  0:44 left", self.shown()[-1])
        self.line.end()

    def test_verified(self) -> None:
        """Verified bytes are shown in the same line and bar, and alone when all has arrived."""
        self.line("download", 800, 1000)
        self.line("verify", 400, 1000)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.shown()[-1].split("]")[0], "Downloading   80 %  [#######--------    ")
        self.line("download", 1000, 1000)
        self.line("verify", 500, 1000)
        self.line.end()
        self.line.end()
        self.assertTrue(self.shown()[-1].startswith("Verifying   50 %  [#########----------]  500 B of 1.0 kB"))
        self.assertEqual(self.stream.getvalue().count("\n"), 1)

    def test_alone(self) -> None:
        """An existing file is only verified. What follows has a line of its own."""
        self.line("verify", 500, 1000)
        self.line.end()
        self.line("download", 10, 1000)
        self.line.end()
        self.assertIn("Verifying   50 %", self.shown()[0])
        self.assertIn("Downloading    1 %", self.shown()[-1])
        self.assertEqual(self.stream.getvalue().count("\n"), 2)

    def test_again(self) -> None:
        """A repeated upload begins at 0, with a new rate."""
        self.line("upload", 900, 1000)
        self.clock.advance(1)
        self.line("upload", 0, 1000)
        self.clock.advance(INTERVAL)
        self.line.end()
        self.assertTrue(self.shown()[-1].startswith("Uploading    0 %"))
        self.assertNotIn("-", self.shown()[-1])

    def test_narrow(self) -> None:
        """A line is never longer than the terminal."""
        for columns in (20, 40, 69, 80, 200):
            stream = TerminalOutput()
            line = ProgressLine(stream, self.clock, lambda columns=columns: columns)
            line("upload", 123_456_789, 987_654_321)
            self.clock.advance(INTERVAL)
            line("upload", 223_456_789, 987_654_321)
            line.end()
            lines = stream.getvalue().replace("\n", "\r").split("\r")
            self.assertLess(max(map(len, lines)), columns)
            self.assertEqual("[" in stream.getvalue(), columns >= 69)

    def test_no_terminal(self) -> None:
        """Nothing is written if standard error is not a terminal."""
        stream = StringIO()
        line = ProgressLine(stream, self.clock)
        line("upload", 1, 2)
        line.end()
        self.assertEqual(stream.getvalue(), "")
