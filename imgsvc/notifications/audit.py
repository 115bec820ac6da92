"""The audit: one line of JSON for each event, that says who did what to which image, and with which result."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from imgsvc.config import Audit as AuditOptions
from imgsvc.errors import ConfigurationError
from imgsvc.event_model import Event
from imgsvc.interfaces import IEvents, IThreads
from imgsvc.logger import make_logger
from imgsvc.notifications.actors import actor_of
from imgsvc.notifications.audit_records import Record, record_of
from imgsvc.notifications.drops import Drops
from imgsvc.notifications.line_file import LineFile, append

__all__ = ["Audit", "make_audit"]

log = make_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class Audit:
    """Writes the records of events.

    write: takes a record. end: writes what waits, and fires then. check: raises ConfigurationError if nothing can be
    written.
    """

    write: Callable[[Record], None]
    end: Callable[[], Deferred[None]]
    check: Callable[[], None]
    now: Callable[[], datetime] = _now

    def heard(self, event: Event) -> None:
        """Write the record of an event, if the audit has such events."""
        time = self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        record = record_of(event, actor_of(event), time)
        if record is not None:
            self.write(record)

    def start(self) -> None:
        """To be called when the data folder exists. Raises ConfigurationError: the file cannot be written."""
        self.check()

    def stop(self) -> Deferred[None]:
        """Write what waits. Fires when all is written, or cannot be written."""
        return self.end()


def make_audit(
    options: AuditOptions,
    data_folder: Path,
    events: IEvents,
    make_threads: Callable[[str, int], IThreads],
    clock: IReactorTime,
) -> Audit | None:
    """The audit of the configuration, which follows the events from now on; None if there is none.

    data_folder: relative paths start from it. make_threads: makes a thread pool of a name and a size.
    """
    if options.output == "none":
        return None
    if options.output == "log":
        audit = Audit(_log, lambda: succeed(None), lambda: None)
    else:
        path = data_folder / options.file
        file = LineFile(path, make_threads("audit", 1), clock, options.queue, Drops("lines of the audit"))
        audit = Audit(
            lambda record: file.write(_line(record)), lambda: Deferred.fromCoroutine(file.stop()), lambda: _check(path)
        )
    events.subscribe(Event, audit.heard)
    return audit


def _check(path: Path) -> None:
    _, error = append(path, b"")
    if error is not None:
        raise ConfigurationError(f"audit.file: {path} cannot be written: {error.strerror}")


def _text(record: Record) -> str:
    return json.dumps(record, separators=(",", ":"))


def _line(record: Record) -> bytes:
    return _text(record).encode() + b"\n"


def _log(record: Record) -> None:
    log.info("{record}", record=_text(record), json_fields={"audit": record})
