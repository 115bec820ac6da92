"""The HTTP server on connections in memory. Routes of the tests take the place of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from imgsvc.errors import BodyTooLarge, ImgsvcError
from imgsvc.web.body import read_all
from imgsvc.web.channel import LINGER_TIME
from imgsvc.web.crowd import CrowdLimits
from imgsvc.web.request import StreamingRequest
from imgsvc.web.site import StreamingSite
from tests.support.server import Answer, Connection

IDLE = 60.0
LARGEST = 50_000


@implementer(IConsumer)
class Keeper:
    """A consumer that keeps what it receives."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.data += data


class Route(Resource):
    """Hands each request to a function."""

    isLeaf = True

    def __init__(self, handle: Callable[[StreamingRequest], object]) -> None:
        super().__init__()
        self.handle = handle

    def render(self, request: Any) -> int:
        self.handle(request)
        return NOT_DONE_YET


def answer(request: StreamingRequest, text: bytes, status: int = 200) -> None:
    """Write a whole response."""
    request.setResponseCode(status)
    request.setHeader(b"content-length", b"%d" % len(text))
    request.write(text)
    request.finish()


def echo(request: StreamingRequest) -> None:
    """Answer with the body, or with the name of the error."""

    async def handle() -> None:
        try:
            text = await read_all(request.body, LARGEST)
        except ImgsvcError as error:
            answer(request, type(error).__name__.encode(), 413 if isinstance(error, BodyTooLarge) else 400)
        else:
            answer(request, request.uri + b" " + text)

    Deferred.fromCoroutine(handle())


def refuse(request: StreamingRequest) -> None:
    """Answer without reading the body."""
    answer(request, b"refused", 409)


def chunked(*chunks: bytes) -> bytes:
    """Frame the pieces as chunks, with the last chunk."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


def head(line: str = "PUT /x", *headers: str, version: str = "1.1") -> bytes:
    """The head of a request to a host."""
    return "\r\n".join([f"{line} HTTP/{version}", "Host: imgsvc-test", *headers, "", ""]).encode("latin-1")


class SiteTestCase(SynchronousTestCase):
    """A site with one route, which a test may replace."""

    idle_timeout = IDLE
    limits = CrowdLimits(1000)
    minimum_rate = 0

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: list[StreamingRequest] = []
        self.logged: list[StreamingRequest] = []
        self.route: Callable[[StreamingRequest], object] = echo
        self.site = StreamingSite(
            Route(self.begin),
            self.clock,
            self.idle_timeout,
            self.limits,
            self.minimum_rate,
            lambda request, duration: self.logged.append(request),
        )

    def begin(self, request: StreamingRequest) -> None:
        self.requests.append(request)
        self.route(request)

    def connect(self, peer: Any = None) -> Connection:
        rig: Any = self
        return Connection(rig, peer)

    def answers(self, *pieces: bytes) -> list[Answer]:
        """The responses on a connection that sends these pieces."""
        connection = self.connect()
        for piece in pieces:
            connection.send(piece)
        return connection.answers()

    def statuses(self, *pieces: bytes) -> list[int]:
        return [one.status for one in self.answers(*pieces)]

    def assert_refused(self, status: int, *pieces: bytes) -> None:
        """There is one response, with this status and a text. No route has run, and the connection is closed in an
        orderly way.
        """
        connection = self.connect()
        for piece in pieces:
            connection.send(piece)
        connection.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        (refusal,) = connection.answers()
        self.assertEqual((refusal.status, bool(refusal.body)), (status, True))
        self.assertEqual(refusal.headers["connection"], "close")
        self.assertIn("date", refusal.headers)
        self.assertEqual(self.requests, [])
        self.assertTrue(connection.transport.write_closed)
        self.clock.advance(LINGER_TIME)
        self.assertTrue(connection.transport.aborting)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
