"""Values of the domain as the JSON of the Image API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imgsvc.web.large import encode
from imgsvc.web.request import StreamingRequest

LONGEST_ACCEPT: Final = 1 << 10
"""Characters of an Accept header that is read: to read one that fills a whole head takes as long as fifty requests."""


def answer_json(request: StreamingRequest, document: object, status: int = 200) -> bytes:
    """Set the headers of a JSON answer; gives its body."""
    body = encode(document).encode()
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def answer_nothing(request: StreamingRequest, status: int = 204) -> bytes:
    """Set the headers of an answer without a body."""
    request.setResponseCode(status)
    if status not in (204, 304):
        request.setHeader(b"content-length", b"0")
    return b""


def timestamp(moment: datetime) -> str:
    """UTC without a fraction, as `2026-11-24T08:00:00Z`."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def preferred_type(accept: str | None, offered: Sequence[str]) -> str | None:
    """Which of the offered types an Accept header asks for most, the first of equals; None: none of them."""
    if not accept or len(accept) > LONGEST_ACCEPT:
        return None
    best: str | None = parse_accept_header(accept, MIMEAccept).best_match(offered)
    return best
