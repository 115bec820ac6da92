"""Writes one line to the log for each request."""

from __future__ import annotations

from typing import Any, Final

from imgsvc.logger import make_logger
from imgsvc.model import trace_id_of
from imgsvc.web.request import StreamingRequest
from imgsvc.web.tracing import traceparent_of
from imgsvc.words import quoted, word

log = make_logger()

LONGEST: Final = {"user": 128, "project": 128, "method": 32, "uri": 1024, "range": 128, "user_agent": 256}
"""Characters of each text that a client sends. A longer text is cut, and ends in `...` then."""


def log_access(request: StreamingRequest, duration: float) -> None:
    """Log a request that was answered, or whose client went away first. duration: seconds, see StreamingSite."""
    fields = _fields(request, duration)
    log.info(
        "{line}",
        line=_line(fields),
        json_fields=fields,
        request_id=request.request_id,
        trace_id=trace_id_of(traceparent_of(request)),
    )


def _fields(request: StreamingRequest, duration: float) -> dict[str, Any]:
    """The fields that are logged of a request. A field without value is None.

    status: None if there was no response. bytes_in, bytes_out: of the bodies. cut: whether the connection ended first.
    """
    caller = request.caller
    texts = {
        "user": caller.user_id if caller is not None else None,
        "project": caller.project_id if caller is not None else None,
        "method": request.method.decode("latin-1"),
        "uri": request.uri.decode("latin-1"),
        "range": _header(request, b"range"),
        "user_agent": _header(request, b"user-agent"),
    }
    return {
        "client": getattr(request.client, "host", "unix"),
        **{name: _shortened(text, LONGEST[name]) for name, text in texts.items()},
        "status": request.code if request.startedWriting else None,
        "bytes_in": request.body.received,
        "bytes_out": request.sentLength,
        "duration": round(duration, 3),
        "cut": request.channel is None,
    }


def _line(fields: dict[str, Any]) -> str:
    """The fields as text: words with blanks between them, and `-` for None."""
    words = [word(fields[name]) for name in ("client", "user", "method", "uri", "status", "bytes_out", "bytes_in")]
    texts = [quoted(fields[name]) for name in ("range", "user_agent")]
    return " ".join([*words, f"{fields['duration']:.3f}", *texts, *(["cut"] if fields["cut"] else [])])


def _header(request: StreamingRequest, name: bytes) -> str | None:
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else b", ".join(lines).decode(errors="backslashreplace")


def _shortened(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else f"{text[:length]}..."
