"""Values of the domain as the JSON of the Image API."""

from __future__ import annotations

import json
from datetime import datetime

from imgsvc.web.site import StreamingRequest

_encode = json.JSONEncoder(ensure_ascii=False).encode


def answer_json(request: StreamingRequest, document: object, status: int = 200) -> bytes:
    """Set the headers of a JSON answer; gives its body."""
    body = _encode(document).encode()
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
