"""Bodies of requests: how they may be encoded, and what JSON they hold."""

from __future__ import annotations

import json
from typing import Any

from twisted.web.http_headers import Headers

from imgsvc.errors import Invalid, UnsupportedType
from imgsvc.web.body import RequestBody, read_all
from imgsvc.web.conditions import joined

LARGEST_JSON = 1 << 20
"""Bytes of a JSON body."""


def check_encoding(headers: Headers) -> None:
    """Raises UnsupportedType for a body that the client has compressed or the like: it is taken as it comes."""
    for coding in (joined(headers, "content-encoding") or "").split(","):
        if coding.strip().lower() not in ("", "identity"):
            raise UnsupportedType(f"A body has no Content-Encoding but identity here, not {coding.strip()}.")


async def read_json(body: RequestBody) -> Any:
    """The object or array that a body holds, whatever its Content-Type says.

    Raises Invalid for anything else, BodyTooLarge, BodyCut.
    """
    data = await read_all(body, LARGEST_JSON)
    if not data:
        raise Invalid("The request has no body.")
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
        if b"\\u" in data:  # escapes can write what UTF-8 cannot
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The body is not JSON: {_reason(error)}.") from error
    if not isinstance(document, dict | list):
        raise Invalid("The body must be a JSON object or array.")
    return document


async def read_json_object(body: RequestBody) -> dict[str, Any]:
    """As read_json, for routes that take an object only."""
    document = await read_json(body)
    if not isinstance(document, dict):
        raise Invalid("The body must be a JSON object.")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
