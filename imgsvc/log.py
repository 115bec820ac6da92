"""Writes the log: one line for each event, as text or as JSON.

`twistd --logger imgsvc.log.text` or `--logger imgsvc.log.json_lines` writes to standard output. txaio drops events
below `info` before they are made; `set_level` changes that level.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Literal, TextIO

import txaio
from attrs import frozen
from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, LogLevel, PredicateResult, formatEvent
from zope.interface import implementer

from imgsvc.context import current_request
from imgsvc.logger import make_logger
from imgsvc.words import word

_log = make_logger()

Format = Literal["text", "json"]


@frozen
class LogOutput:
    """The target and the format of the log.

    prefix: put before every message. path: of the file that `stream` writes to; empty: it is no file.
    """

    format: Format
    stream: TextIO
    prefix: str = ""
    path: str = ""

    def reopen(self) -> None:
        """Open the file at the path again, for log rotation. If that fails, the old file stays in use, and has the
        error.
        """
        if not self.path:
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            _log.error("the log file {path} cannot be opened again: {why}", path=self.path, why=error.strerror)
            return
        os.dup2(descriptor, self.stream.fileno(), inheritable=False)
        os.close(descriptor)


def make_observer(output: LogOutput) -> ILogObserver:
    """An observer that writes each event at once, except Twisted's messages about its own work."""
    make = JsonObserver if output.format == "json" else TextObserver
    observer: ILogObserver = make(output.stream, output.prefix)
    return FilteringLogObserver(observer, [_without_chatter])  # type: ignore[list-item]  # a function is a predicate


def _without_chatter(event: LogEvent) -> Any:
    """Drop the messages of `twisted.python.log`, such as for each opened port, and of Twisted's HTTP client, such as
    for each connection, unless they are errors.
    """
    chatty = _namespace(event).startswith(("log_legacy", "twisted.web.client.", "twisted.web._newclient."))
    return PredicateResult.no if chatty and event.get("log_level") is LogLevel.info else PredicateResult.maybe


def text() -> ILogObserver:
    """For `twistd --logger`: text on standard output."""
    return make_observer(LogOutput("text", sys.stdout))


def json_lines() -> ILogObserver:
    """For `twistd --logger`: JSON on standard output."""
    return make_observer(LogOutput("json", sys.stdout))


def set_level(level: str) -> None:
    """The lowest level that is logged: critical, error, warn, info, debug or trace."""
    txaio.set_global_log_level(level)


_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPED |= {code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))}
_ESCAPED |= {ord("\t"): "\t", ord("\r"): "\\r", ord("\n"): "\n\t"}
"""Escapes of characters that could forge an entry, reverse the direction of its text, or control the terminal that
shows it.
"""


@implementer(ILogObserver)
class TextObserver:
    """Writes `TIME LEVEL NAMESPACE [REQUEST] MESSAGE`. Further lines of a message or a traceback begin with a tab."""

    def __init__(self, stream: TextIO, prefix: str = "") -> None:
        self._stream = stream
        self._prefix = prefix
        self._clock = _Timestamps()

    def __call__(self, event: LogEvent) -> None:
        request_id = _id_of_request(event, "request_id")
        request = f" [{word(request_id)}]" if request_id else ""
        message = "\n".join(filter(None, (_message(event), _traceback(event)))).rstrip()
        line = f"{self._clock.text(event)} {_level(event)} {_namespace(event)}{request} {self._prefix}{message}"
        self._stream.write(line.translate(_ESCAPED) + "\n")
        self._stream.flush()


@implementer(ILogObserver)
class JsonObserver:
    """Writes one JSON object in each line: time (ISO 8601, UTC), level, namespace, message.

    It also has request_id, trace_id (of a W3C Trace Context) and traceback, if there are any, and the values that the
    event has in `json_fields`, a mapping of names to JSON values.
    """

    def __init__(self, stream: TextIO, prefix: str = "") -> None:
        self._stream = stream
        self._prefix = prefix
        self._clock = _Timestamps()
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def __call__(self, event: LogEvent) -> None:
        entry: dict[str, Any] = {
            "time": self._clock.text(event),
            "level": _level(event),
            "namespace": _namespace(event),
            "message": self._prefix + _message(event),
        }
        request_id = _id_of_request(event, "request_id")
        if request_id:
            entry["request_id"] = request_id
        trace_id = _id_of_request(event, "trace_id")
        if trace_id:
            entry["trace_id"] = trace_id
        if "log_failure" in event:
            entry["traceback"] = _traceback(event)
        for name, value in event.get("json_fields", {}).items():
            entry.setdefault(name, value)
        self._stream.write(self._encode(entry) + "\n")
        self._stream.flush()


class _Timestamps:
    """Formats the times of events. Formats the date and time once per second, because that is slow."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def text(self, event: LogEvent) -> str:
        moment: float = event.get("log_time") or time.time()
        second = int(moment)
        if second != self._second:
            self._second, self._prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((moment - second) * 1000):03d}Z"


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return level.name if level is not None else "info"


def _namespace(event: LogEvent) -> str:
    return str(event.get("log_namespace") or "-")


def _id_of_request(event: LogEvent, name: Literal["request_id", "trace_id"]) -> str:
    """The id in the event, else that of the current request; empty if there is none."""
    return str(event.get(name) or getattr(current_request(), name, ""))


def _message(event: LogEvent) -> str:
    """The message. `formatEvent` can format every event; simple formats are faster without it."""
    format = event.get("log_format")
    if type(format) is str and "()" not in format and "log_flattened" not in event:
        try:
            return format.format_map(event)
        except Exception:
            return formatEvent(event)  # a message that says what could not be formatted, and why
    return formatEvent(event)


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return failure.getTraceback().rstrip() if failure is not None else ""
