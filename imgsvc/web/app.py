"""Mounts the route groups on Klein, and does for every request what is the same for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, cast
from urllib.parse import unquote

import txaio
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from imgsvc.errors import HeaderTooLarge, ImgsvcError, Invalid, RangeNotSatisfiable, UnsupportedType
from imgsvc.interfaces import IIdentity
from imgsvc.web.bodies import check_encoding
from imgsvc.web.cors import Cors
from imgsvc.web.errors import error_body, status_of
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.large import SMALL, LargeAnswer, LargeAnswers
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route, RouteGroup
from imgsvc.web.versions import versions_document

log = txaio.make_logger()

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})
REQUEST_ID = b"x-openstack-request-id"
LONGEST_REQUEST_ID = 64
"""Characters of the client's own id, without the prefix that it may lack."""
MEDIA_TYPE = b"application/vnd.openstack.images-v2"
"""An Accept that begins so chooses the version, and the path does not name it."""
ABOUT_DATA = (
    *(b"accept-ranges", b"content-disposition", b"content-md5", b"content-range"),
    *(b"etag", b"last-modified"),
)
"""Headers that a route may have set before it failed, and that are not true of an error."""
OUTSIDE = frozenset({b"versions", b"healthcheck"})
"""First segments of paths that belong to no version."""


class ImageApi(Resource):
    """The root of the HTTP interface.

    groups: the parts of the API. versions: the ids of those that are listed. address: what links to this server begin
    with. answers: sends the large ones. routes: all that were mounted.
    """

    isLeaf = True

    def __init__(
        self,
        identity: IIdentity,
        groups: Iterable[RouteGroup],
        versions: Sequence[str],
        address: PublicAddress,
        cors: Cors,
        answers: LargeAnswers,
    ) -> None:
        super().__init__()
        self.routes: list[Route] = []
        self._identity = identity
        self._version_ids = versions
        self._aliases = frozenset(version.encode() for version in versions)
        self._address = address
        self._cors = cors
        self._answers = answers
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # it would answer with redirects
        self._klein.url_map.strict_slashes = True
        self._mount(Route("GET", "/versions", self._versions, open=True))
        for group in groups:
            for route in group.routes():
                self._mount(route)
        self._klein.handle_errors(Exception)(cast("Any", self._failed))
        self._resource = self._klein.resource()

    def render(self, request: StreamingRequest) -> Any:
        """See IResource. HEAD is answered as GET is, and Twisted sends no body with it."""
        body = self._rendered(request)
        return b"" if isinstance(body, bytes) and request.method == b"HEAD" else body

    def _rendered(self, request: StreamingRequest) -> Any:
        segments = request.postpath or [b""]
        if segments[0] != b"v2" and segments[0] not in OUTSIDE:
            if segments[0] in self._aliases:
                segments[0] = b"v2"
            elif (request.getHeader(b"accept") or b"").startswith(MEDIA_TYPE):
                segments.insert(0, b"v2")
        if b"%" in request.path:  # what is encoded in a segment is no part of the path's structure
            segments[:] = [segment.replace(b"%", b"%25").replace(b"/", b"%2F") for segment in segments]
        if segments[0] == b"v2":
            self._give_id(request, request.getHeader(REQUEST_ID))
        preflight = self._cors.apply(request)
        if preflight is not None:
            return preflight
        if not _is_utf8(request.path):
            error = Invalid("The path is not UTF-8.")
            return self._answer_error(request, error, Failure(error))
        if segments[0] != b"v2" and segments[0] not in OUTSIDE:
            return self._list_versions(request, 300)
        return self._resource.render(request)

    def _give_id(self, request: StreamingRequest, given: bytes | None) -> None:
        request.request_id = _request_id(given)
        request.setHeader(REQUEST_ID, request.request_id.encode("latin-1"))

    def _check_id(self, request: StreamingRequest) -> None:
        if len(request.request_id) > LONGEST_REQUEST_ID < len(request.getHeader(REQUEST_ID) or b""):
            self._give_id(request, None)
            raise HeaderTooLarge(f"X-Openstack-Request-ID is longer than {LONGEST_REQUEST_ID} characters.")

    def _check_encoding(self, request: StreamingRequest) -> None:
        try:
            check_encoding(request.requestHeaders)
        except UnsupportedType:
            request.setHeader(b"accept-encoding", b"identity")  # RFC 9110 section 15.5.16
            raise

    def _mount(self, route: Route) -> None:
        self.routes.append(route)
        identify = self._identity.identify

        async def handle(request: StreamingRequest, **arguments: str) -> bytes | None:
            self._check_id(request)
            if not route.open:
                caller = identify(request.requestHeaders, request.client)
                request.caller = await caller if isinstance(caller, Deferred) else caller
            if not route.takes_body and request.body.announced:
                raise Invalid(f"{route.method} {route.path} takes no body.")
            if route.takes_body:
                self._check_encoding(request)
            if b"%" in request.path:
                arguments = {name: unquote(value) for name, value in arguments.items()}
            try:
                answer = await route.handler(request, **arguments)
                if isinstance(answer, LargeAnswer):
                    await self._answers.send(request, answer)
                    return None
                if answer is not None and len(answer) > SMALL:
                    await self._answers.send_bytes(request, answer)
                    return None
                return answer
            except ImgsvcError as error:
                if request.channel is not None:
                    raise
                log.info("{request}: {error}, and nobody to tell", request=request.request_id, error=str(error))
                raise CancelledError from error  # to Klein the end of a request that nobody waits for any more

        # Werkzeug takes HEAD wherever it takes GET.
        self._klein.route(route.path, methods=[route.method], endpoint=f"{route.method} {route.path}")(handle)

    # --- routes that belong to no group

    async def _versions(self, request: StreamingRequest) -> bytes:
        return self._list_versions(request, 200)

    def _list_versions(self, request: StreamingRequest, status: int) -> bytes:
        return answer_json(request, versions_document(self._version_ids, self._address.of(request)), status)

    # --- errors

    def _failed(self, request: StreamingRequest, failure: Failure) -> bytes | Deferred[bytes]:
        """Called by Klein with whatever a route raised."""
        return Deferred.fromCoroutine(self._answer_failure(request, failure))

    async def _answer_failure(self, request: StreamingRequest, failure: Failure) -> bytes:
        error: BaseException | None = failure.value
        if isinstance(error, HTTPException) and error.code in (404, 405):
            first = ((request.prepath or []) + (request.postpath or []))[0]
            if first == b"versions":
                return self._list_versions(request, 200)
            try:
                if first == b"v2":
                    self._check_id(request)
                    await _maybe(self._identity.identify(request.requestHeaders, request.client))
            except ImgsvcError as refusal:
                error = refusal
        return self._answer_error(request, error, failure)

    def _answer_error(self, request: StreamingRequest, error: BaseException | None, failure: Failure) -> bytes:
        if request.startedWriting:  # and cut off: there is nothing more to say
            tell = log.info if isinstance(error, ConnectionError) else log.error  # clients may go when they like
            tell("{request}: broken off: {error}", request=request.request_id or request.path, error=str(error))
            return b""
        for name in ABOUT_DATA:
            request.responseHeaders.removeHeader(name)
        if isinstance(error, RangeNotSatisfiable):
            request.setHeader(b"content-range", b"bytes */%d" % error.size)
        if isinstance(error, ImgsvcError):
            status, message = status_of(error), str(error)
        elif isinstance(error, HTTPException):
            status, message = error.code or 500, f"{request.path.decode('latin-1')} is not here."
            if isinstance(error, MethodNotAllowed):
                allowed = ", ".join(sorted(error.valid_methods or ()))  # with HEAD wherever GET is
                request.setHeader("allow", allowed)
                message = f"{request.path.decode('latin-1')} takes {allowed}."
            elif request.method not in METHODS:
                status, message = 501, f"There is no method {request.method.decode('latin-1')}."
        elif isinstance(error, UnicodeDecodeError):
            status, message = 400, "The request has bytes that are not UTF-8."
        else:
            status, message = 500, "The server failed; its log says why."
        if status == 500:
            log.failure("{request} failed", failure=failure, request=request.request_id or request.path)
        if status == 401 and self._identity.challenge:
            request.setHeader(b"www-authenticate", self._identity.challenge.encode())
        accept = request.getHeader(b"accept")
        body, content_type = error_body(None if accept is None else accept.decode("latin-1").strip(), status, message)
        request.setResponseCode(status)
        request.setHeader(b"content-type", content_type.encode())
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


async def _maybe(result: Any) -> Any:
    return await result if isinstance(result, Awaitable) else result


def _is_utf8(path: bytes) -> bool:
    """Whether a path, still percent-encoded, is text."""
    try:
        unquote(path.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _request_id(given: bytes | None) -> str:
    """The id of a request: the client's own, or a new one; always with the prefix `req-`."""
    if not given:
        return f"req-{uuid.uuid4()}"
    text = given.decode("latin-1")
    return text if text.startswith("req-") else f"req-{text}"
