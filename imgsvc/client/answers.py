"""Reads headers and error messages of answers."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from twisted.web.iweb import IResponse

from imgsvc.client.errors import BadResponse

MESSAGE_LIMIT: Final = 500
"""Characters of an error message that are kept."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)$")


def header(response: IResponse, name: str) -> str | None:
    """Get the last value of a header, without blanks around it; None if the header is missing."""
    values = response.headers.getRawHeaders(name)
    return str(values[-1]).strip() if values else None


def printable(text: str) -> str:
    """Put a text on one line, without characters that control a terminal."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def error_message(content_type: str, body: bytes) -> str:
    """Get the message of an error from HTML, JSON or plain text (Image API contract, "Error bodies")."""
    text = body.decode("utf-8", "replace")
    if "json" in content_type:
        text = _json_message(text)
    elif "html" not in content_type:
        # Plain text begins with the status line, which the caller knows.
        text = re.sub(r"\A\s*\d{3} [^\n]*\n", "", text)
    message = printable(_without_markup(text))
    return message if len(message) <= MESSAGE_LIMIT else message[:MESSAGE_LIMIT] + "..."


def _json_message(text: str) -> str:
    try:
        document: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(document, dict):
        for candidate in (document, *document.values()):
            if isinstance(candidate, dict) and isinstance(candidate.get("message"), str):
                return str(candidate["message"])
    return text


def _without_markup(text: str) -> str:
    text = re.sub(r"(?is)<(head|title|h1|script|style)\b.*?</\1\s*>", " ", text)
    return html.unescape(re.sub(r"</?[A-Za-z!][^>]*>", " ", text))


def content_range(response: IResponse) -> tuple[int, int, int | None]:
    """Get the first offset, the number of bytes, and the whole size (or None) of an answer 206. Raises BadResponse."""
    value = header(response, "content-range")
    match = _CONTENT_RANGE.match(value or "")
    if match is None or int(match[2]) < int(match[1]):
        raise BadResponse(f"The server sent a part of the image, but did not say which: Content-Range {value!r}.")
    return int(match[1]), int(match[2]) - int(match[1]) + 1, None if match[3] == "*" else int(match[3])


def strong_etag(response: IResponse) -> str | None:
    """Get the entity tag, if If-Range may have it (RFC 9110, section 13.1.5); else None."""
    value = header(response, "etag")
    return value if value and value.startswith('"') else None


def retry_after(response: IResponse) -> float | None:
    """Get the seconds after which the server asks to try again (RFC 9110, section 10.2.3); None if it does not ask."""
    value = header(response, "retry-after")
    if value is None:
        return None
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
