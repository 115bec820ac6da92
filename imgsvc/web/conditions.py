"""What a request says of the bytes that its client has already (RFC 9110 section 13)."""

from __future__ import annotations

import re
from typing import Final

from twisted.web.http_headers import Headers
from werkzeug.http import parse_date

from imgsvc.errors import PreconditionFailed

_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


def joined(headers: Headers, name: str) -> str | None:
    """A header whose list may be spread over several lines (RFC 9110 section 5.3); None if there is none."""
    lines = headers.getRawHeaders(name)
    return None if lines is None else ", ".join(lines)


def has_current(headers: Headers, etag: str | None, modified: int) -> bool:
    """Whether the client has the bytes, so that 304 tells it all.

    etag: the strong one of what there is, in its quotes; None: there is none. modified: POSIX seconds. A date counts
    only where its header for tags is missing. Raises PreconditionFailed if the client does not want what there is.
    """
    wanted, known = joined(headers, "if-match"), joined(headers, "if-none-match")
    if wanted is not None:
        if wanted.strip() != "*" and etag not in _TAG.findall(wanted):
            raise PreconditionFailed("The image is none of those that If-Match names.")
    elif (unmodified_since := _seconds(headers, "if-unmodified-since")) is not None and modified > unmodified_since:
        raise PreconditionFailed("The image has been changed since the time that If-Unmodified-Since gives.")
    if known is not None:
        return known.strip() == "*" or etag in (tag.removeprefix("W/") for tag in _TAG.findall(known))
    modified_since = _seconds(headers, "if-modified-since")
    return modified_since is not None and modified <= modified_since


def _seconds(headers: Headers, name: str) -> float | None:
    """A header with a date, in POSIX seconds; None if there is none that can be read."""
    lines = headers.getRawHeaders(name)
    try:
        date = parse_date(lines[0]) if lines else None
        return None if date is None else date.timestamp()
    except OverflowError:  # a year of many digits
        return None
