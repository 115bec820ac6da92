"""Which request the running code works for.

A coroutine that `begin` is called in keeps its request, and so do the coroutines and calls in threads that it begins.
Callbacks of timers, of sockets and of Deferreds do not: what is called there, and may log, is `bound` to the request
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from imgsvc.model import RequestContext

P = ParamSpec("P")
T = TypeVar("T")

_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current_request() -> RequestContext | None:
    """The request that is worked for; None for what the server does by itself."""
    return _request.get()


def begin(request: RequestContext) -> None:
    """Work for this request from here on, to the end of the coroutine that calls."""
    _request.set(request)


@contextmanager
def working_for(request: RequestContext | None) -> Iterator[None]:
    """Work for a request, or for none, within the block, which must not wait for anything."""
    before = _request.set(request)
    try:
        yield
    finally:
        _request.reset(before)


def bound(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, which works for the request that is worked for now, whoever calls it."""
    request = _request.get()
    if request is None:
        return function

    def call(*arguments: P.args, **named: P.kwargs) -> T:
        with working_for(request):
            return function(*arguments, **named)

    return call


def headers_for_services() -> dict[str, str]:
    """What a request to a service that we trust carries of the request that is worked for, by name of header."""
    request = _request.get()
    if request is None:
        return {}
    headers = {"X-Openstack-Request-Id": request.request_id, "traceparent": request.traceparent}
    return {name: value for name, value in headers.items() if value}
