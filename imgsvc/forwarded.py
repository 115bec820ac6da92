"""The headers in which a proxy says what its client asked for: RFC 7239, and the older `X-Forwarded-*`."""

from __future__ import annotations

from twisted.web.http_headers import Headers

__all__ = ["last_value", "parameters"]


def last_value(headers: Headers, name: str) -> str:
    """The last value of a header that may be a list; empty if there is none.

    A proxy that forwards to another one appends its value to a list, or replaces the former value. So the last value is
    that of the nearest proxy. Values before it may come from the client.
    """
    lines = headers.getRawHeaders(name.encode()) or [b""]
    return lines[-1].decode("latin-1").rpartition(",")[2].strip()


def parameters(element: str) -> dict[str, str]:
    """The parameters of one element of `Forwarded` (RFC 7239, section 4)."""
    pairs = (pair.partition("=") for pair in element.split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
