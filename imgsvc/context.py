"""The request that the running code works for.

A coroutine that calls `begin` keeps its request, and so do the coroutines and calls in threads that it starts.
Callbacks of timers, sockets and Deferreds do not. A function that is called there, and may log, is `bound` to the
request first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from attrs import evolve
from twisted.internet.interfaces import IReactorTime

if TYPE_CHECKING:  # the parent of workers uses this module for its log, and needs no model of images
    from imgsvc.model import RequestContext

P = ParamSpec("P")
T = TypeVar("T")

_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current_request() -> RequestContext | None:
    """The current request; None for the server's own work."""
    return _request.get()


def begin(request: RequestContext) -> None:
    """Set the current request for the rest of the calling coroutine."""
    _request.set(request)


@contextmanager
def working_for(request: RequestContext | None) -> Iterator[None]:
    """Set the current request, or none, within the block. The block must not wait for anything."""
    before = _request.set(request)
    try:
        yield
    finally:
        _request.reset(before)


def bound(function: Callable[P, T]) -> Callable[P, T]:
    """A function that calls `function` with the request that is current now, wherever it is called."""
    request = _request.get()
    if request is None:
        return function

    def call(*arguments: P.args, **named: P.kwargs) -> T:
        with working_for(request):
            return function(*arguments, **named)

    return call


def lift_deadline() -> None:
    """Let the rest of the calling coroutine work without the deadline of its request.

    To be called before the data of an image is moved: that may take long, and has time-outs of its own.
    """
    request = _request.get()
    if request is not None:
        _request.set(evolve(request, deadline=None))


def seconds_left(clock: IReactorTime) -> float | None:
    """Seconds until the deadline of the current request, 0 after it; None if there is no deadline.

    clock: the reactor, whose clock the deadline belongs to.
    """
    request = _request.get()
    if request is None or request.deadline is None:
        return None
    return max(request.deadline - clock.seconds(), 0.0)


def headers_for_services() -> dict[str, str]:
    """Headers with the ids of the current request, for requests to trusted services.

    By name; empty if there is none. An id that is not printable ASCII is left out: a service may refuse the request
    for it (RFC 9110, section 5.5).
    """
    request = _request.get()
    if request is None:
        return {}
    headers = {"X-Openstack-Request-Id": request.request_id, "traceparent": request.traceparent}
    return {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}
