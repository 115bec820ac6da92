"""The session of a client, and the errors that failed connections cause."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IAgent
from zope.interface import implementer

from imgsvc.client.errors import BadResponse, TransferInterrupted, Unreachable
from imgsvc.client.identity.grants import FixedAccess
from imgsvc.client.identity.login import Tls
from imgsvc.client.session import Session
from imgsvc.client.transport import Transport
from imgsvc.client.urls import check_endpoint


@implementer(IAgent)
class FailingAgent:
    """Every request fails in the same way."""

    def __init__(self, cause: Exception, kind: type[ResponseFailed] = ResponseNeverReceived) -> None:
        self._cause = cause
        self._kind = kind

    def request(self, *arguments: Any, **named: Any) -> Deferred[Any]:
        return fail(self._kind([Failure(self._cause)]))


@implementer(IAgent)
class DeafAgent:
    """Never responds. uris: the requested ones."""

    def __init__(self) -> None:
        self.uris: list[bytes] = []

    def request(self, method: bytes, uri: bytes, *arguments: Any, **named: Any) -> Deferred[Any]:
        self.uris.append(uri)
        return Deferred()


def session(endpoint: str, agent: IAgent) -> Session:
    """A session whose requests `agent` makes."""
    transport = Transport(Clock(), agent=agent, connections=1, stall_limit=60, tls=Tls())
    return Session(FixedAccess(endpoint, {}), transport, headers={})


class EndpointTests(SynchronousTestCase):
    def test_requests(self) -> None:
        """Requests go below the endpoint, which may have a version or an IPv6 address."""
        for endpoint, root in (
            ("http://images.example", b"http://images.example"),
            ("http://images.example:9292/", b"http://images.example:9292"),
            ("https://images.example/prefix/v2/", b"https://images.example/prefix"),
            ("http://images.example/v2.17", b"http://images.example"),
            ("http://images.example/v20", b"http://images.example/v20"),
            ("http://[::1]:9292/v2", b"http://[::1]:9292"),
            ("http://b\u00fccher.example", b"http://xn--bcher-kva.example"),
        ):
            agent = DeafAgent()
            Deferred.fromCoroutine(session(endpoint, agent).request("GET", "/v2/images?name=%C3%BC%2F"))
            self.assertEqual(agent.uris, [root + b"/v2/images?name=%C3%BC%2F"])

    def test_unusable(self) -> None:
        """An endpoint that cannot be used is refused, and so is one with a password, because it would be shown."""
        for endpoint in (
            *("", "images.example", "ftp://images.example", "http://", "http://images.example:99999"),
            *("http://no name", "http://\udcff", "http://images.example?x", "http://images.example/#x"),
            "http://user:secret@images.example",
        ):
            problem = self.assertRaises(ValueError, check_endpoint, endpoint)
            self.assertNotIn("secret", str(problem))


class ExplainTest(SynchronousTestCase):
    def request(self, cause: Exception) -> Deferred[Any]:
        return Deferred.fromCoroutine(session("http://127.0.0.1:1", FailingAgent(cause)).request("GET", "/v2/images"))

    def test_cancelled(self) -> None:
        """A request that is cancelled while it is sent is cancelled, whatever the error of its connection is."""
        self.failureResultOf(self.request(CancelledError()), CancelledError)

    def test_lost(self) -> None:
        """A request whose connection ended is interrupted."""
        self.failureResultOf(self.request(ConnectionDone()), TransferInterrupted)

    def test_nothing_said_yet(self) -> None:
        """Before its first response, the server may not be an Image API. So it counts as unreachable."""
        endless = session("http://127.0.0.1:1", FailingAgent(ConnectionDone()))
        asking = Deferred.fromCoroutine(endless.document("GET", "/v2/images"))
        self.assertIn("is http or https right?", str(self.failureResultOf(asking, Unreachable).value))

    def test_no_http(self) -> None:
        """A response that is not HTTP is not from an Image API."""
        agent = FailingAgent(ValueError("wrong number of parts"), ResponseFailed)
        asking = Deferred.fromCoroutine(session("http://127.0.0.1:1", agent).request("GET", "/v2/images"))
        self.assertIn("does not speak HTTP", str(self.failureResultOf(asking, BadResponse).value))
