"""The id of a request, `X-Openstack-Request-Id`, which is in the log and in the response."""

from __future__ import annotations

import uuid
from typing import Final

from imgsvc.errors import HeaderTooLarge
from imgsvc.web.request import StreamingRequest

REQUEST_ID: Final = b"x-openstack-request-id"
LONGEST_REQUEST_ID: Final = 64
"""Characters of an id that the client has chosen, as it was sent."""
PREFIX: Final = "req-"


def give_request_id(request: StreamingRequest) -> None:
    """Give a request the id that its client has chosen, or a new one, and set the header of the response."""
    _set(request, request.getHeader(REQUEST_ID))


def check_request_id(request: StreamingRequest) -> None:
    """Check the length of the client's id. Raises HeaderTooLarge: it is too long. The request gets a new id then."""
    if len(request.request_id) > LONGEST_REQUEST_ID < len(request.getHeader(REQUEST_ID) or b""):
        _set(request, None)
        raise HeaderTooLarge(f"X-Openstack-Request-ID is longer than {LONGEST_REQUEST_ID} characters.")


def _set(request: StreamingRequest, given: bytes | None) -> None:
    request.request_id = _request_id(given)
    request.setHeader(REQUEST_ID, request.request_id.encode("latin-1"))


def _request_id(given: bytes | None) -> str:
    """The client's id, or a new one. It always has the prefix."""
    if not given:
        return f"{PREFIX}{uuid.uuid4()}"
    text = given.decode("latin-1")
    return text if text.startswith(PREFIX) else f"{PREFIX}{text}"
