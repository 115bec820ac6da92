"""Where a request belongs in a distributed trace (W3C Trace Context)."""

from __future__ import annotations

import re
from typing import Final

from imgsvc.web.request import StreamingRequest

_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(request: StreamingRequest) -> str:
    """The `traceparent` of a request, as it was sent; empty if it has none that is valid, or several.

    Versions above 00 may have further fields, which nobody knows yet: they count as not valid.
    """
    values = request.requestHeaders.getRawHeaders(b"traceparent", [])
    return values[0].decode() if len(values) == 1 and _TRACEPARENT.fullmatch(values[0]) else ""
