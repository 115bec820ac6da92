"""Cross-origin requests: what pages of other origins may do through a browser (Fetch standard, "CORS protocol")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from imgsvc.errors import ConfigurationError
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest

METHODS: Final = b"GET, PUT, POST, DELETE, PATCH"
REQUEST_HEADERS: Final = b", ".join(
    [
        *(b"Accept", b"Accept-Encoding", b"Content-Type", b"Content-MD5", b"Content-Digest", b"Repr-Digest"),
        *(b"Range", b"If-Range", b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since"),
        *(b"OpenStack-API-Version", b"X-Auth-Token", b"X-Image-Cache-Clear-Target", b"X-Image-Meta-Checksum"),
        *(b"X-Image-Meta-Store", b"X-OpenStack-Append", b"X-OpenStack-Image-Size", b"X-OpenStack-Request-ID"),
        b"X-Storage-Token",
    ]
)
"""What a page may send. Not the headers that a proxy sets to say who the caller is."""
EXPOSED_HEADERS: Final = b", ".join(
    [
        *(b"Accept-Patch", b"Accept-Ranges", b"Content-Disposition", b"Content-Length", b"Content-MD5"),
        *(b"Content-Range", b"ETag", b"Location"),
        *(b"OpenStack-image-import-methods", b"OpenStack-image-store-ids", b"X-OpenStack-Request-ID"),
    ]
)
"""What a page may read, beside what it may of every answer."""
MAX_AGE: Final = b"3600"
"""Seconds for which a browser may remember the answer to a preflight."""


class Cors:
    """Tells browsers that pages of some origins may use the API.

    Pages of listed origins may use it with credentials. `*` stands for all other origins, and without: the Fetch
    standard does not let the two go together. Tokens in `X-Auth-Token` are no credentials in its sense.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        """origins: as `https://dashboard.example`, or `*`. Raises ConfigurationError."""
        listed = frozenset(origins)
        for origin in sorted(listed - {"*"}):
            scheme, separator, host = origin.partition("://")
            if not (scheme and separator and host) or "/" in host:
                raise ConfigurationError(
                    f"server.cors_origins = {origin!r}: must be '*' or scheme and host, as 'https://dashboard.example'"
                )
        self._on = bool(listed)
        self._any = "*" in listed
        self._listed = frozenset(origin.lower().encode() for origin in listed - {"*"})

    def apply(self, request: StreamingRequest) -> bytes | None:
        """Set the headers that this request's answer needs, whatever it will be.

        Gives the answer itself to OPTIONS, on every path and without a token, as oslo.middleware does; else None.
        """
        if not self._on:
            return None
        headers = request.responseHeaders
        if self._listed:
            headers.addRawHeader(b"vary", b"Origin")
        origin = request.getHeader(b"origin") or b""
        allowed = True
        if origin.lower() in self._listed:
            headers.setRawHeaders(b"access-control-allow-origin", [origin])
            headers.setRawHeaders(b"access-control-allow-credentials", [b"true"])
        elif origin and self._any:
            headers.setRawHeaders(b"access-control-allow-origin", [b"*"])
        else:
            allowed = False
        if request.method != b"OPTIONS":
            if allowed:
                headers.setRawHeaders(b"access-control-expose-headers", [EXPOSED_HEADERS])
            return None
        if allowed:
            headers.setRawHeaders(b"access-control-allow-methods", [METHODS])
            headers.setRawHeaders(b"access-control-allow-headers", [REQUEST_HEADERS])
            headers.setRawHeaders(b"access-control-max-age", [MAX_AGE])
        headers.setRawHeaders(b"content-length", [b"0"])
        return answer_nothing(request, 200)
