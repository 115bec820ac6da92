"""Checks of a request's head that HTTP demands and twisted.web lacks (RFC 9112, sections 3.2, 5.2, 6.1, 6.3)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from attrs import frozen
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers

LONGEST_LENGTH = 19
"""Digits of a Content-Length, at most."""

_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?", re.ASCII)
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


@frozen
class Refusal:
    """The reason why a request is not read any further. code: the HTTP status. text: for the client."""

    code: int
    text: bytes

    @property
    def answer(self) -> bytes:
        """The whole response, in bytes. The connection ends after it."""
        return (
            b"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s"
            % (self.code, HTTPStatus(self.code).phrase.encode(), datetimeToString(), len(self.text), self.text)
        )


HEAD_TOO_LARGE: Final = Refusal(431, b"The headers are too large.")
LINE_TOO_LONG: Final = Refusal(414, b"The request line is too long.")
FOLDED: Final = Refusal(400, b"A line of the head begins with a blank.")
NOT_HTTP: Final = Refusal(
    400, b"The head of the request is not HTTP/1.1. Non-ASCII characters of the target must be percent-encoded."
)
TOO_MANY: Final = Refusal(503, b"The server has too many connections. Try again.")


def begins_head(data: bytes) -> bool:
    """Whether these can be the first bytes of a request. Those of a TLS handshake, for example, cannot."""
    return not data or data[0] in b"\r\n" or 0x20 < data[0] < 0x7F


def check_header(line: bytes) -> Refusal | None:
    """Check one header line. Returns why it is refused, or None."""
    name, _, value = line.partition(b":")
    name, value = name.lower(), value.strip(b" \t")
    if name == b"content-length" and len(value) > LONGEST_LENGTH:
        return Refusal(400, b"The Content-Length is not a size.")
    if name == b"transfer-encoding" and value.lower() != b"chunked":
        return Refusal(501, b"The only supported transfer encoding is chunked.")
    return None


def check_headers(headers: Headers, version: bytes) -> Refusal | None:
    """Check the headers of a request of this HTTP version. Returns why they are refused, or None."""
    hosts = headers.getRawHeaders(b"host", [])
    if len(hosts) > 1 or (not hosts and version != b"HTTP/1.0"):
        return Refusal(400, b"A request must have exactly one Host header.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        return Refusal(400, b"The Host header is not the name of a host.")
    if version == b"HTTP/1.0" and headers.hasHeader(b"transfer-encoding"):
        return Refusal(400, b"HTTP/1.0 has no transfer encodings.")
    return None


def unify_connection(headers: Headers) -> None:
    """Rewrite the list in `Connection` for twisted.web, which expects one line with blanks instead of commas."""
    lines = headers.getRawHeaders(b"connection")
    if lines is not None:
        headers.setRawHeaders(b"connection", [b" ".join(lines).replace(b",", b" ")])


def check_path(method: bytes, path: bytes) -> Refusal | None:
    """Check the target of a request. Returns why it is refused, or None."""
    if not path.startswith(b"/") and (method, path) != (b"OPTIONS", b"*"):
        return Refusal(400, b"The target of the request is not a path.")
    return None


def origin_form(target: bytes) -> bytes:
    """The target of a request without scheme and authority, which a client may put before the path."""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    path = target[absolute.end() :]
    return path if path.startswith(b"/") else b"/" + path


def arguments(target: bytes) -> dict[bytes, list[bytes]]:
    """Parse the query of a target by the rules of HTML forms: `;` does not separate parameters, and `x` means `x=`."""
    found: dict[bytes, list[bytes]] = {}
    query = target.partition(b"?")[2].decode("latin-1")
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        found.setdefault(name.encode("latin-1"), []).append(value.encode("latin-1"))
    return found
