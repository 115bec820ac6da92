"""The response to a request that failed."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from imgsvc.errors import ImgsvcError, RangeNotSatisfiable
from imgsvc.logger import make_logger
from imgsvc.web.callers import Callers
from imgsvc.web.errors import error_body, status_of
from imgsvc.web.request import StreamingRequest

log = make_logger()

METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})
ABOUT_DATA: Final = (
    *(b"accept-ranges", b"content-disposition", b"content-md5", b"content-range"),
    *(b"etag", b"last-modified"),
)
"""Headers that a route may have set before it failed, and that would be wrong in an error."""


@frozen
class FailureResponses:
    """Answers failed requests. An unexpected error is logged, and the client gets a 500 without details."""

    callers: Callers

    def answer(self, request: StreamingRequest, failure: Failure) -> bytes:
        """Set status and headers of the response, and return its body."""
        if request.startedWriting:
            return _broken_off(request, failure.value)
        for name in ABOUT_DATA:
            request.responseHeaders.removeHeader(name)
        status, message = _status_and_message(request, failure.value)
        if status == 500:
            log.failure(
                "{method} {path} failed",
                failure=failure,
                method=request.method.decode("latin-1"),
                path=request.path.decode("latin-1"),
                request_id=request.request_id,
            )
        if status == 401:
            self.callers.challenge(request)
        accept = request.getHeader(b"accept")
        body, content_type = error_body(None if accept is None else accept.decode("latin-1").strip(), status, message)
        request.setResponseCode(status)
        request.setHeader(b"content-type", content_type.encode())
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


def _broken_off(request: StreamingRequest, error: BaseException | None) -> bytes:
    """Log the failure of a response that had begun. Nothing more can be sent."""
    tell = log.info if isinstance(error, ConnectionError) else log.error  # a client that closes its connection is not
    # an error
    tell(
        "{path}: broken off: {error}",
        path=request.path.decode("latin-1"),
        error=str(error),
        request_id=request.request_id,
    )
    return b""


def _status_and_message(request: StreamingRequest, error: BaseException | None) -> tuple[int, str]:
    """The status and the message for the client. Sets the headers that belong to them."""
    if isinstance(error, RangeNotSatisfiable):
        request.setHeader(b"content-range", b"bytes */%d" % error.size)
    if isinstance(error, ImgsvcError):
        if error.retry_after is not None:
            request.setHeader(b"retry-after", b"%d" % error.retry_after)  # RFC 9110, section 10.2.3
        return status_of(error), str(error)
    if isinstance(error, HTTPException):
        return _without_route(request, error)
    if isinstance(error, UnicodeDecodeError):
        return 400, "The request has bytes that are not UTF-8."
    return 500, "The server failed; its log says why."


def _without_route(request: StreamingRequest, error: HTTPException) -> tuple[int, str]:
    """The status and the message for a request for which Werkzeug has found no route."""
    path = request.path.decode("latin-1")
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))  # Werkzeug adds HEAD wherever GET is allowed
        request.setHeader("allow", allowed)
        return error.code, f"{path} accepts the methods {allowed}."
    if request.method not in METHODS:
        return 501, f"There is no method {request.method.decode('latin-1')}."
    return error.code or 500, f"There is no resource {path}."
