"""Cross-origin requests: what browsers let pages of other origins do (Fetch standard, "CORS protocol")."""

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
"""Headers that a page may send. The headers in which a proxy names the caller are not among them."""
EXPOSED_HEADERS: Final = b", ".join(
    [
        *(b"Accept-Patch", b"Accept-Ranges", b"Content-Disposition", b"Content-Length", b"Content-MD5"),
        *(b"Content-Range", b"ETag", b"Location"),
        *(b"OpenStack-image-import-methods", b"OpenStack-image-store-ids", b"X-OpenStack-Request-ID"),
    ]
)
"""Headers that a page may read, in addition to those that it may read of every response."""
MAX_AGE: Final = b"3600"
"""Seconds for which a browser may cache the response to a preflight."""


class Cors:
    """Tells browsers which origins may use the API.

    Pages of listed origins may use it with credentials. `*` allows all other origins without credentials, because the
    Fetch standard forbids the combination. Tokens in `X-Auth-Token` are not credentials in the sense of that standard.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        """origins: such as `https://dashboard.example`, or `*`. Raises ConfigurationError: one is not an origin."""
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
        """Set the CORS headers of the response.

        Returns the response to OPTIONS, on every path and without a token, as oslo.middleware does; None for other
        methods.
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
