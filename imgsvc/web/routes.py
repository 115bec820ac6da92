"""The types of routes and their handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Concatenate, Protocol

from attrs import frozen

from imgsvc.model import RequestContext
from imgsvc.web.large import LargeResponse
from imgsvc.web.openapi.notation import Operation
from imgsvc.web.request import StreamingRequest

HandlerResult = bytes | LargeResponse | None
"""The body of a response, or a large response, or None if the handler has written the response."""

Handler = Callable[Concatenate[StreamingRequest, RequestContext, ...], Awaitable[HandlerResult]]
"""Answers a request. The variable parts of the path are further arguments: str, named as in the rule."""

OpenHandler = Callable[[StreamingRequest], Awaitable[HandlerResult]]

Describe = Callable[[], Operation]
"""Makes the description of one route. It is called when a client asks for the description of the API."""


@frozen
class Route:
    """One path and method of the API. The caller is identified before the handler is called.

    path: rule of Werkzeug, below the root. describe: makes its part of the description of the API. takes_body: whether
    the request may have a body.
    """

    method: str
    path: str
    handler: Handler
    describe: Describe
    takes_body: bool = False


@frozen
class OpenRoute:
    """One path and method that needs no identity. The path has no variable parts, and the request has no body."""

    method: str
    path: str
    handler: OpenHandler
    describe: Describe
    takes_body: ClassVar[bool] = False


class RouteGroup(Protocol):
    """Routes that belong together. part: the part of the API, one of openapi.document.PARTS."""

    part: ClassVar[str]

    def routes(self) -> Sequence[Route | OpenRoute]:
        """The routes of the group."""
