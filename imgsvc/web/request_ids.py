"""The id of a request, `X-Openstack-Request-Id`: it names the request in the log and in the answer."""

from __future__ import annotations

import uuid
from typing import Final

from imgsvc.errors import HeaderTooLarge
from imgsvc.web.request import StreamingRequest

REQUEST_ID: Final = b"x-openstack-request-id"
LONGEST_REQUEST_ID: Final = 64
"""Characters of the client's own id, without the prefix that it may lack."""
PREFIX: Final = "req-"


def give_request_id(request: StreamingRequest) -> None:
    """Give a request the id that its client has chosen, or a new one, and tell it in the answer."""
    _set(request, request.getHeader(REQUEST_ID))


def check_request_id(request: StreamingRequest) -> None:
    """Raise HeaderTooLarge if the client's own id is too long; the request gets a new one then."""
    if len(request.request_id) > LONGEST_REQUEST_ID < len(request.getHeader(REQUEST_ID) or b""):
        _set(request, None)
        raise HeaderTooLarge(f"X-Openstack-Request-ID is longer than {LONGEST_REQUEST_ID} characters.")


def _set(request: StreamingRequest, given: bytes | None) -> None:
    request.request_id = _request_id(given)
    request.setHeader(REQUEST_ID, request.request_id.encode("latin-1"))


def _request_id(given: bytes | None) -> str:
    """The client's own id, or a new one; always with the prefix."""
    if not given:
        return f"{PREFIX}{uuid.uuid4()}"
    text = given.decode("latin-1")
    return text if text.startswith(PREFIX) else f"{PREFIX}{text}"
