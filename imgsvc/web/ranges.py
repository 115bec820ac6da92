"""The bytes that a download asks for (RFC 9110, section 14; Image API, "Download binary image data")."""

from __future__ import annotations

import re
from typing import Final

from imgsvc.errors import Invalid, RangeNotSatisfiable
from imgsvc.model import Span

# Not by Werkzeug's parsers: they refuse `bytes=-0`, and take a Content-Range that ends beyond its own length. Blanks
# are matched possessively, because backtracking over thousands of them would take seconds.
_RANGE: Final = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,99})\s*+-\s*+(\d{0,99})\s*+", re.IGNORECASE | re.ASCII)
_CONTENT_RANGE: Final = re.compile(
    r"\s*+bytes\s++(\d{1,99})\s*+-\s*+(\d{1,99})\s*+/\s*+(\d{1,99}|\*)\s*+", re.IGNORECASE | re.ASCII
)


def parse_range(header: str, size: int) -> Span:
    """The span that a Range header asks for, of an object of `size` bytes. An end beyond the size is clipped.

    Raises Invalid: there is more than one range. Raises RangeNotSatisfiable: the range is malformed, or contains no
    byte of the object.
    """
    if "," in header:
        raise Invalid("Only one range can be asked for in a request.")
    match = _RANGE.fullmatch(header)
    if match is None or match.group(1) == match.group(2) == "":
        forms = "bytes=FIRST-LAST, bytes=FIRST- and bytes=-LENGTH"
        raise RangeNotSatisfiable(f"The Range {header!r} is malformed: the forms are {forms}.", size)
    first, last = match.groups()
    if not first:
        length = int(last)
        # Glance reads `bytes=-0` as `0-`, and so do its clients' tests.
        start, stop = (max(0, size - length) if length else 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            raise RangeNotSatisfiable(f"The Range {header!r} ends before it begins.", size)
    return _span(header, start, stop, size)


def parse_content_range(header: str, size: int) -> Span:
    """The span that a Content-Range header asks for. The Image API still accepts this form, which is older than Range.

    size: of the object, in bytes. Raises RangeNotSatisfiable: it is malformed, or not within the object.
    """
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise RangeNotSatisfiable(f"The Content-Range {header!r} is malformed.", size)
    start, last, length = match.groups()
    if int(last) < int(start) or (length != "*" and int(last) >= int(length)) or (length == "*" and int(last) >= size):
        raise RangeNotSatisfiable(f"The Content-Range {header!r} is not within the image.", size)
    return _span(header, int(start), min(int(last) + 1, size), size)


def _span(header: str, start: int, stop: int, size: int) -> Span:
    if start >= size:
        raise RangeNotSatisfiable(f"The range {header!r} begins beyond the {size} bytes of the image.", size)
    return Span(start, stop - start)
