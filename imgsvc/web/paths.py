"""What the path of a request names: which version of the API, and which segments below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from imgsvc.web.request import StreamingRequest

V2: Final = b"v2"
"""First segment of all paths of the API, after `Versions.resolve`."""
VERSIONS: Final = b"versions"
OUTSIDE: Final = frozenset({VERSIONS, b"healthcheck"})
"""First segments of paths that belong to no version."""
MEDIA_TYPE: Final = b"application/vnd.openstack.images-v2"
"""An Accept that begins so chooses the version, and the path does not name it."""


class Versions:
    """Reads the version of the API from the paths of requests."""

    def __init__(self, ids: Iterable[str]) -> None:
        """ids: the versions that the server lists, as `v2.15`. Each may stand in a path in place of `v2`."""
        self._aliases = frozenset(version.encode() for version in ids)

    def resolve(self, request: StreamingRequest) -> bytes:
        """Rewrite the segments of the path (`request.postpath`) as the routes have them.

        The version is `v2` then, and what was percent-encoded within a segment still is. Returns the first segment: V2,
        one of OUTSIDE, or else what belongs to no version.
        """
        segments = request.postpath or [b""]
        if segments[0] != V2 and segments[0] not in OUTSIDE:
            if segments[0] in self._aliases:
                segments[0] = V2
            elif (request.getHeader(b"accept") or b"").startswith(MEDIA_TYPE):
                segments.insert(0, V2)
        if b"%" in request.path:  # a slash within a segment does not part it
            segments[:] = [segment.replace(b"%", b"%25").replace(b"/", b"%2F") for segment in segments]
        return segments[0]


def first_segment(request: StreamingRequest) -> bytes:
    """The first segment of a resolved path, whether or not its resource was found."""
    return ((request.prepath or []) + (request.postpath or []))[0]


def decoded(request: StreamingRequest, arguments: dict[str, str]) -> dict[str, str]:
    """The arguments that a route has of the segments, without the percent-encoding that `Versions.resolve` kept."""
    if b"%" not in request.path:
        return arguments
    return {name: unquote(value) for name, value in arguments.items()}


def is_utf8(path: bytes) -> bool:
    """Whether a path, still percent-encoded, is text."""
    try:
        unquote(path.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        return False
    return True
