"""The line that shows how far a transfer is."""

from __future__ import annotations

from io import StringIO

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.client.progress import INTERVAL, ProgressLine, format_size, format_time


class TerminalOutput(StringIO):
    def isatty(self) -> bool:
        return True


class FormatTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes have two or three digits and a unit."""
        for size, text in ((0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (3e15, "3000 TB")):
            self.assertEqual(format_size(size), text)

    def test_times(self) -> None:
        """Times are read as a clock is."""
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
        """Share, bytes, rate and time left stand on one line."""
        self.line("upload", 0, 400_000_000)
        self.clock.advance(2)
        self.line("upload", 100_000_000, 400_000_000)
        self.line.end()
        self.assertEqual(self.shown()[0], "Uploading    0 %  0 B of 400 MB")
        self.assertEqual(self.shown()[-1], "Uploading   25 %  100 MB of 400 MB  50.0 MB/s  0:06 left")
        self.assertTrue(self.stream.getvalue().endswith("\n"))

    def test_seldom(self) -> None:
        """Many steps are one line; the last of them is shown also if no other follows."""
        for done in range(100):
            self.line("download", done, 1000)
        self.assertEqual(len(self.shown()), 1)
        self.clock.advance(INTERVAL)
        self.assertIn("99 B of 1.0 kB", self.shown()[-1])
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.shown()), 2)

    def test_continued(self) -> None:
        """What an earlier transfer brought does not count for the rate."""
        self.line("download", 500_000_000, None)
        self.clock.advance(1)
        self.line("download", 510_000_000, None)
        self.line.end()
        self.assertEqual(self.shown()[-1], "Downloading  510 MB  10.0 MB/s")

    def test_stages(self) -> None:
        """Each stage has its line and its own rate."""
        self.line("download", 10, 10)
        self.line("verify", 5, 10)
        self.line.end()
        self.line.end()
        self.assertEqual(
            [text.split()[0] for text in self.shown()], ["Downloading", "Downloading", "Verifying", "Verifying"]
        )
        self.assertEqual(self.stream.getvalue().count("\n"), 2)

    def test_no_terminal(self) -> None:
        """What is no terminal stays empty."""
        stream = StringIO()
        line = ProgressLine(stream, self.clock)
        line("upload", 1, 2)
        line.end()
        self.assertEqual(stream.getvalue(), "")
