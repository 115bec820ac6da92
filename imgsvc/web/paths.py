"""Parses the path of a request: the version of the API, and the segments below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from imgsvc.web.request import StreamingRequest

V2: Final = b"v2"
"""The first segment of all paths of the API, after `Versions.resolve`."""
VERSIONS: Final = b"versions"
OUTSIDE: Final = frozenset({VERSIONS, b"healthcheck"})
"""The first segments of paths outside all versions."""
MEDIA_TYPE: Final = b"application/vnd.openstack.images-v2"
"""An Accept header that begins so selects the version. The path has no version then."""


class Versions:
    """Reads the version of the API from the paths of requests."""

    def __init__(self, ids: Iterable[str]) -> None:
        """ids: the versions that the server lists, such as `v2.15`. A path may have each of them instead of `v2`."""
        self._aliases = frozenset(version.encode() for version in ids)

    def resolve(self, request: StreamingRequest) -> bytes:
        """Rewrite the segments of the path (`request.postpath`) for the routes.

        The version becomes `v2`. Percent-encoding within a segment is kept. Returns the first segment: V2, one of
        OUTSIDE, or any other, which is an unknown path.
        """
        segments = request.postpath or [b""]
        if segments[0] != V2 and segments[0] not in OUTSIDE:
            if segments[0] in self._aliases:
                segments[0] = V2
            elif (request.getHeader(b"accept") or b"").startswith(MEDIA_TYPE):
                segments.insert(0, V2)
        if b"%" in request.path:  # an encoded slash does not separate segments
            segments[:] = [segment.replace(b"%", b"%25").replace(b"/", b"%2F") for segment in segments]
        return segments[0]


def first_segment(request: StreamingRequest) -> bytes:
    """The first segment of a resolved path, whether or not there is a resource."""
    return ((request.prepath or []) + (request.postpath or []))[0]


def decoded(request: StreamingRequest, arguments: dict[str, str]) -> dict[str, str]:
    """The arguments of a route, without the percent-encoding that `Versions.resolve` has kept."""
    if b"%" not in request.path:
        return arguments
    return {name: unquote(value) for name, value in arguments.items()}


def is_utf8(path: bytes) -> bool:
    """Whether a percent-encoded path is UTF-8."""
    try:
        unquote(path.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        return False
    return True
