"""Parts of responses that many routes need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imgsvc.web.large import encode
from imgsvc.web.request import StreamingRequest

LONGEST_ACCEPT: Final = 1 << 10
"""Characters of an Accept header, at most. A longer one is ignored: parsing one of 16 KiB takes as long as 50 requests.
"""


def answer_json(request: StreamingRequest, document: object, status: int = 200) -> bytes:
    """Set status and headers of a JSON response, and return its body."""
    body = encode(document).encode()
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def answer_nothing(request: StreamingRequest, status: int = 204) -> bytes:
    """Set status and headers of a response without a body."""
    request.setResponseCode(status)
    if status not in (204, 304):
        request.setHeader(b"content-length", b"0")
    return b""


def timestamp(moment: datetime) -> str:
    """A time in UTC without fractions of a second, such as `2026-11-24T08:00:00Z`."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def preferred_type(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type that an Accept header prefers, the first one of equals; None if it accepts none."""
    if not accept or len(accept) > LONGEST_ACCEPT:
        return None
    best: str | None = parse_accept_header(accept, MIMEAccept).best_match(offered)
    return best
