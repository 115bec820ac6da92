"""Conditional requests: whether the client has the bytes already (RFC 9110, section 13)."""

from __future__ import annotations

import re
from typing import Final

from twisted.web.http_headers import Headers
from werkzeug.http import parse_date

from imgsvc.errors import PreconditionFailed

# Not by Werkzeug's parser: it takes tags without quotes, which match nothing (RFC 9110, section 8.8.3).
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


def joined(headers: Headers, name: str) -> str | None:
    """A header whose list may be spread over several lines (RFC 9110, section 5.3); None if there is no such header."""
    lines = headers.getRawHeaders(name)
    return None if lines is None else ", ".join(lines)


def has_current(headers: Headers, etag: str | None, modified: int) -> bool:
    """Whether the client has the current bytes, so that the status is 304.

    etag: the strong entity tag of the bytes, with its quotes; None: there is none. modified: time of the last change,
    in POSIX seconds. A header with a date counts only if the corresponding header with tags is missing.
    Raises PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
    """
    wanted, known = joined(headers, "if-match"), joined(headers, "if-none-match")
    if wanted is not None:
        if wanted.strip() != "*" and etag not in _TAG.findall(wanted):
            raise PreconditionFailed("The ETag of the image is not in If-Match.")
    elif (unmodified_since := _seconds(headers, "if-unmodified-since")) is not None and modified > unmodified_since:
        raise PreconditionFailed("The image has been changed since the time in If-Unmodified-Since.")
    if known is not None:
        return known.strip() == "*" or etag in (tag.removeprefix("W/") for tag in _TAG.findall(known))
    modified_since = _seconds(headers, "if-modified-since")
    return modified_since is not None and modified <= modified_since


def _seconds(headers: Headers, name: str) -> float | None:
    """The date in a header, in POSIX seconds; None if there is no valid date."""
    lines = headers.getRawHeaders(name)
    try:
        date = parse_date(lines[0]) if lines else None
        return None if date is None else date.timestamp()
    except OverflowError:  # a year with too many digits
        return None
