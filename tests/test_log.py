"""Tests of imgsvc.log."""

from __future__ import annotations

import json
import sys
from io import StringIO

import txaio
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc import log
from imgsvc.log import Format, LogOutput, make_observer


class ObserverTests(SynchronousTestCase):
    """Each event becomes one entry."""

    def setUp(self) -> None:
        self.stream = StringIO()

    def logger(self, format: Format) -> Logger:
        return Logger(namespace="imgsvc.test", observer=make_observer(LogOutput(format, self.stream)))

    def write(self, format: Format, **event: object) -> str:
        entry: LogEvent = {"log_level": LogLevel.warn, "log_namespace": "imgsvc.test", "log_time": 1764000000.0625}
        make_observer(LogOutput(format, self.stream))({**entry, **event})
        return self.stream.getvalue()

    def entry(self, **event: object) -> dict[str, str]:
        text = self.write("json", **event)
        self.assertEqual(text.count("\n"), 1)
        entry: dict[str, str] = json.loads(text)
        return entry

    def test_interface(self) -> None:
        """Both classes provide ILogObserver, and so do the results of the factories for twistd."""
        for observer in (make_observer(LogOutput("text", self.stream)), make_observer(LogOutput("json", self.stream))):
            verifyObject(ILogObserver, observer)
        self.patch(sys, "stdout", self.stream)
        log.text()({"log_format": "a", "log_time": 0.5})
        log.json_lines()({"log_format": "b", "log_time": 0.5})
        self.assertEqual(
            self.stream.getvalue(),
            "1970-01-01T00:00:00.500Z info - a\n"
            '{"time":"1970-01-01T00:00:00.500Z","level":"info","namespace":"-","message":"b"}\n',
        )

    def test_legacy(self) -> None:
        """Twisted's messages about opened ports are dropped, its errors are not."""
        for level in (LogLevel.info, LogLevel.critical):
            self.write("text", log_namespace="log_legacy", log_level=level, log_format="Site starting")
        self.assertEqual(self.stream.getvalue(), "2025-11-24T16:00:00.062Z critical log_legacy Site starting\n")

    def test_client(self) -> None:
        """Twisted's HTTP client logs errors, but not every connection."""
        for level in (LogLevel.info, LogLevel.critical):
            self.write("text", log_namespace="twisted.web.client._X", log_level=level, log_format="Starting")
        self.assertEqual(self.stream.getvalue(), "2025-11-24T16:00:00.062Z critical twisted.web.client._X Starting\n")

    def test_json(self) -> None:
        """An entry has time, level, namespace and the formatted message, and no empty fields."""
        self.assertEqual(
            self.entry(log_format="{size:.1f} of {name}", size=2, name="ü\n\u2028"),
            {
                "time": "2025-11-24T16:00:00.062Z",
                "level": "warn",
                "namespace": "imgsvc.test",
                "message": "2.0 of ü\n\u2028",
            },
        )

    def test_request(self) -> None:
        """An entry has the id of the request if there is one."""
        self.assertEqual(self.entry(log_format="", request_id="req-1")["request_id"], "req-1")

    def test_text(self) -> None:
        """A line of text has the same parts."""
        self.assertEqual(
            self.write("text", log_format="{name}", name="ü", request_id="req-1"),
            "2025-11-24T16:00:00.062Z warn imgsvc.test [req-1] ü\n",
        )

    def test_text_forges_no_line(self) -> None:
        """A value with line breaks cannot look like an entry of its own."""
        self.assertTrue(self.write("text", log_format="{name}", name="a\r\nb\n").endswith(" a\\r\n\tb\n"))

    def test_text_controls_no_terminal(self) -> None:
        """Control characters in a value are written as their names."""
        line = self.write("text", log_format="{name}", name="a\x1b[2J\x07\x9b\t\u2028\u202eü", request_id="req-\x1bc")
        self.assertTrue(line.endswith(" [req-\\x1bc] a\\x1b[2J\\x07\\x9b\t\\u2028\\u202eü\n"), line)

    def test_failure(self) -> None:
        """A traceback is in its own field, or in more lines."""
        failure = Failure(ValueError("no good"))
        self.assertIn(
            "ValueError: no good", self.entry(log_format="it {what}", what="broke", log_failure=failure)["traceback"]
        )
        self.stream = StringIO()
        first, *others = self.write("text", log_format="it broke", log_failure=failure).splitlines()
        self.assertTrue(first.endswith("imgsvc.test it broke"))
        self.assertTrue(all(line.startswith("\t") for line in others))
        self.assertIn("no good", others[-1])

    def test_unformattable(self) -> None:
        """An event whose message cannot be formatted is logged too."""

        class Broken:
            def __str__(self) -> str:
                raise ValueError("broken")

        for event in ({"log_format": "{absent}"}, {"log_format": "{value}", "value": Broken()}, {"log_format": "{"}):
            self.stream = StringIO()
            self.assertIn("Unable to format event", self.entry(**event)["message"])

    def test_called_values(self) -> None:
        """Twisted's old way to call a value in a format works, and so do events without a format."""
        self.assertEqual(self.entry(log_format="{value()}", value=lambda: 3)["message"], "3")
        self.stream = StringIO()
        self.assertEqual(self.entry()["message"], "")

    def test_from_logger(self) -> None:
        """Events of a logger are written."""
        self.logger("json").error("{count} lost", count=3)
        entry = json.loads(self.stream.getvalue())
        self.assertEqual((entry["level"], entry["message"]), ("error", "3 lost"))
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class LevelTests(SynchronousTestCase):
    """Events below the level are dropped."""

    def test_level(self) -> None:
        """Debug events are dropped until the level changes, also for existing loggers."""
        events: list[LogEvent] = []
        logger = txaio.make_logger(observer=events.append)
        logger.debug("a")
        logger.info("b")
        self.addCleanup(log.set_level, "info")
        log.set_level("debug")
        logger.debug("c")
        self.assertEqual([event["log_format"] for event in events], ["b", "c"])
