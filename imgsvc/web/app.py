"""Mounts the route groups on Klein, and does the work that all requests have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, cast

from attrs import evolve
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException

from imgsvc.context import begin
from imgsvc.errors import ImgsvcError, Invalid
from imgsvc.event_model import RequestFailed
from imgsvc.interfaces import IEvents
from imgsvc.logger import make_logger
from imgsvc.model import Caller, RequestContext
from imgsvc.web.bodies import require_identity_encoding
from imgsvc.web.callers import Callers
from imgsvc.web.cors import Cors
from imgsvc.web.errors import status_of
from imgsvc.web.failures import FailureResponses
from imgsvc.web.large import SMALL, LargeResponse, LargeResponses
from imgsvc.web.paths import OUTSIDE, V2, VERSIONS, Versions, decoded, first_segment, is_utf8
from imgsvc.web.request import StreamingRequest
from imgsvc.web.request_ids import check_request_id, give_request_id
from imgsvc.web.routes import HandlerResult, OpenRoute, Route, RouteGroup
from imgsvc.web.tracing import traceparent_of
from imgsvc.web.versions import VersionRoutes

log = make_logger()

NOBODY: Final = Caller()


class ImageApi(Resource):
    """The root of the HTTP interface.

    A request passes in this order: the version in its path, its id, CORS, the route, the caller, the handler.
    groups, routes: all that are mounted.
    """

    isLeaf = True

    def __init__(
        self,
        callers: Callers,
        groups: Iterable[RouteGroup],
        versions: VersionRoutes,
        cors: Cors,
        answers: LargeResponses,
        clock: IReactorTime,
        service_timeout: float,
        events: IEvents,
    ) -> None:
        """groups: the parts of the API. versions: the group that also answers paths outside all versions.

        answers: sends large responses. service_timeout: seconds for which a request may wait for trusted services,
        from its beginning; see RequestContext.deadline. events: learn which requests fail.
        """
        super().__init__()
        self.groups = list(groups)
        self.routes: list[Route | OpenRoute] = []
        self._callers = callers
        self._versions = versions
        self._paths = Versions(versions.ids)
        self._cors = cors
        self._answers = answers
        self._clock = clock
        self._service_timeout = service_timeout
        self._events = events
        self._failures = FailureResponses(callers)
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # otherwise Werkzeug answers with redirects
        self._klein.url_map.strict_slashes = True
        for group in self.groups:
            for route in group.routes():
                self.routes.append(route)
                self._mount(route)
        self._klein.handle_errors(Exception)(cast("Any", self._failed))
        self._resource = self._klein.resource()

    def render(self, request: StreamingRequest) -> object:
        """See IResource. Returns the body, or NOT_DONE_YET. HEAD is answered as GET; Twisted leaves out the body."""
        body = self._rendered(request)
        return b"" if isinstance(body, bytes) and request.method == b"HEAD" else body

    def _rendered(self, request: StreamingRequest) -> object:
        first = self._paths.resolve(request)
        if first == V2:
            give_request_id(request)
        preflight = self._cors.apply(request)
        if preflight is not None:
            return preflight
        if not is_utf8(request.path):
            return self._failures.answer(request, Failure(Invalid("The path is not UTF-8.")))
        if first != V2 and first not in OUTSIDE:
            return self._versions.answer(request, 300)
        return self._resource.render(request)

    def _mount(self, route: Route | OpenRoute) -> None:
        async def handle(request: StreamingRequest, **arguments: str) -> bytes | None:
            try:
                return await handled(request, **arguments)
            except CancelledError:  # nobody gets a response
                raise
            except Exception as error:
                self._publish_failure(request, error, arguments.get("image_id"))
                raise

        async def handled(request: StreamingRequest, **arguments: str) -> bytes | None:
            check_request_id(request)
            context = self._context_of(request)
            begin(context)
            handler = await self._handler(route, request, context)
            if route.takes_body:
                require_identity_encoding(request)
            elif request.body.announced:
                raise Invalid(f"{route.method} {route.path} takes no body.")
            try:
                return await self._sent(request, await handler(**decoded(request, arguments)))
            except ImgsvcError as error:
                if request.channel is not None:
                    raise
                log.info("{error} (the client has gone)", error=str(error))
                raise CancelledError from error  # Klein ends a cancelled request without a response

        # Werkzeug accepts HEAD wherever it accepts GET.
        self._klein.route(route.path, methods=[route.method], endpoint=f"{route.method} {route.path}")(handle)

    def _publish_failure(self, request: StreamingRequest, error: Exception, image_id: str | None) -> None:
        if request.startedWriting:  # the client has another status, and the operation tells of broken data
            return
        if isinstance(error, ImgsvcError):
            status, reason = status_of(error), str(error)
        else:
            status, reason = 500, type(error).__name__
        method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
        self._events.publish(RequestFailed(method, path, image_id, status, reason))

    def _context_of(self, request: StreamingRequest) -> RequestContext:
        """The context of the work for a request that begins now, and whose caller is not known yet."""
        peer = getattr(request.client, "host", "")
        deadline = self._clock.seconds() + self._service_timeout
        return RequestContext(request.request_id, NOBODY, peer, traceparent_of(request), deadline)

    async def _handler(
        self, route: Route | OpenRoute, request: StreamingRequest, context: RequestContext
    ) -> Callable[..., Awaitable[HandlerResult]]:
        """The route's handler, bound to all its arguments except the parts of the path."""
        if isinstance(route, OpenRoute):
            return partial(route.handler, request)
        request.caller = caller = await self._callers.caller_of(request)
        context = evolve(context, caller=caller)
        begin(context)
        return partial(route.handler, request, context)

    async def _sent(self, request: StreamingRequest, result: HandlerResult) -> bytes | None:
        """The bytes that Klein writes; None if the response was sent here."""
        if isinstance(result, LargeResponse):
            await self._answers.send(request, result)
            return None
        if result is not None and len(result) > SMALL:
            await self._answers.send_bytes(request, result)
            return None
        return result

    def _failed(self, request: StreamingRequest, failure: Failure) -> bytes | Deferred[bytes]:
        """Called by Klein with the failure of a route, and when there is no route."""
        if isinstance(failure.value, HTTPException) and failure.value.code in (404, 405):
            return Deferred.fromCoroutine(self._answer_without_route(request, failure))
        return self._failures.answer(request, failure)

    async def _answer_without_route(self, request: StreamingRequest, failure: Failure) -> bytes:
        """The response if there is no route. Only callers who may use the API learn which routes it has."""
        first = first_segment(request)
        if first == VERSIONS:
            return self._versions.answer(request, 200)
        try:
            if first == V2:
                check_request_id(request)
                await self._callers.caller_of(request)
        except ImgsvcError:
            failure = Failure()
        return self._failures.answer(request, failure)
