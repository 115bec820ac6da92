"""What a route is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Concatenate, Protocol

from attrs import frozen

from imgsvc.model import RequestContext
from imgsvc.web.large import LargeAnswer
from imgsvc.web.openapi.notation import Operation
from imgsvc.web.request import StreamingRequest

Answer = bytes | LargeAnswer | None
"""The body of an answer, or a large one, or None if the handler has written it."""

Handler = Callable[Concatenate[StreamingRequest, RequestContext, ...], Awaitable[Answer]]
"""Answers a request. What follows is the parts of the path that vary, str, by their names in the rule."""

OpenHandler = Callable[[StreamingRequest], Awaitable[Answer]]

Describe = Callable[[], Operation]
"""Makes the description of one route, when somebody asks for the description of the API."""


@frozen
class Route:
    """One path and method of the API. Who makes a request is found out before the handler is called.

    path: werkzeug's rule, below the root. describe: makes what the description of the API says of it. takes_body:
    whether the request may have one.
    """

    method: str
    path: str
    handler: Handler
    describe: Describe
    takes_body: bool = False


@frozen
class OpenRoute:
    """One path and method for everybody: nobody is asked who it is. No part of the path varies, there is no body."""

    method: str
    path: str
    handler: OpenHandler
    describe: Describe
    takes_body: ClassVar[bool] = False


class RouteGroup(Protocol):
    """Routes that belong together. part: of the API that they belong to, one of openapi.document.PARTS."""

    part: ClassVar[str]

    def routes(self) -> Sequence[Route | OpenRoute]:
        """Its routes."""
