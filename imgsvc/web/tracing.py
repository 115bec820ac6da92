"""The position of a request in a distributed trace (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import Final

from imgsvc.web.request import StreamingRequest

_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(request: StreamingRequest) -> str:
    """The `traceparent` of a request, as sent; empty if it has no valid one, or several.

    A value with further fields, which versions above 00 may have, counts as invalid.
    """
    values = request.requestHeaders.getRawHeaders(b"traceparent", [])
    return values[0].decode() if len(values) == 1 and _TRACEPARENT.fullmatch(values[0]) else ""
