"""A JSON service on a real port. A test chooses its responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

Behaviour = Callable[[Request], bytes | int]


@define
class Asked:
    """A received request. headers: the last value of each, by lower-case name."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class _Channel(HTTPChannel):
    """Tells the site when it begins and ends."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.site.opened += 1
        self.site.open[self] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.site.open.pop(self).callback(None)


class JsonWebsite(Site):
    """Answers each request with the next of `behaviours`, and further ones with the last.

    asked: the requests so far. opened: the number of connections so far. open: the open connections, with Deferreds
    that fire when they end.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        root = Resource()
        root.isLeaf = True
        root.render = self._answer  # type: ignore[method-assign]
        super().__init__(root)
        self.noisy = False
        self.protocol = _Channel
        self.behaviours = list(behaviours)
        self.asked: list[Asked] = []
        self.opened = 0
        self.open: dict[Any, Deferred[None]] = {}
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._port: Any = reactor.listenTCP(0, self, interface="127.0.0.1")  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        """The URL of the site."""
        return f"http://127.0.0.1:{self._port.getHost().port}"

    def has_asked(self, count: int) -> Deferred[None]:
        """Fires when so many requests have come."""
        done: Deferred[None] = Deferred()
        self._waiting.append((count, done))
        self._tell()
        return done

    def idle(self) -> Deferred[Any]:
        """Fires when all connections that are open now have ended."""
        return DeferredList(list(self.open.values()))

    def close(self) -> Deferred[Any]:
        """Stop the site, and close all its connections. Works any number of times."""
        ended = self.idle()
        for channel in list(self.open):
            channel.transport.abortConnection()
        stopped: Deferred[Any] = maybeDeferred(self._port.stopListening)
        return DeferredList([ended, stopped])

    def _answer(self, request: Request) -> bytes | int:
        headers = {
            name.decode().lower(): values[-1].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        content: Any = request.content
        self.asked.append(Asked(request.method.decode(), request.uri.decode(), headers, content.read()))
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        answer = behaviour(request)
        self._tell()
        return answer

    def _tell(self) -> None:
        due = [done for count, done in self._waiting if count <= len(self.asked)]
        self._waiting = [each for each in self._waiting if each[1] not in due]
        for done in due:
            done.callback(None)


def document(value: object, status: int = 200, **headers: str) -> Behaviour:
    """Answers with JSON. headers: with _ for -."""

    def answer(request: Request) -> bytes:
        request.setResponseCode(status)
        for name, text in headers.items():
            request.setHeader(name.replace("_", "-"), text)
        return json.dumps(value).encode()

    return answer


def silence(request: Request) -> int:
    """Never responds."""
    return NOT_DONE_YET


def half(request: Request) -> int:
    """Responds, and stops within the body."""
    request.write(b'{"half":')
    return NOT_DONE_YET


def nonsense(request: Request) -> bytes:
    """A body that is not JSON."""
    return b"<html>It works!</html>"


def cut(request: Request) -> int:
    """Closes the connection instead of responding."""
    channel: Any = request.channel
    channel.transport.abortConnection()
    return NOT_DONE_YET
