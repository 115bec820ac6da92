"""What a route is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import frozen

from imgsvc.web.large import LargeAnswer

Handler = Callable[..., Awaitable[bytes | LargeAnswer | None]]


@frozen
class Route:
    """One path and method of the API.

    path: werkzeug's rule, below the root. handler: takes the request and the path's arguments; gives the body of the
    answer, or a LargeAnswer, or None if it has written that. takes_body: whether the request may have one. open: needs
    no identity.
    """

    method: str
    path: str
    handler: Handler
    takes_body: bool = False
    open: bool = False


class RouteGroup(Protocol):
    """One part of the API."""

    def routes(self) -> list[Route]:
        """Its routes."""
