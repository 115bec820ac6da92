"""Tests of imgsvc.remote.json_service, with a server on a real port."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet import reactor, ssl, tcp
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IResponse
from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface import implementer

from imgsvc.context import current_request, working_for
from imgsvc.errors import ConfigurationError, ServiceAnswerTooLarge, ServiceUnavailable
from imgsvc.model import Caller, RequestContext
from imgsvc.remote.fetch import trust
from imgsvc.remote.json_service import JsonService, connect
from imgsvc.remote.service_calls import ServiceAnswer, ServiceLimits, ServiceRequest
from tests.support.certificates import write_certificate
from tests.support.json_website import Behaviour, JsonWebsite, cut, document, half, nonsense, silence

REQUEST = RequestContext("req-1", Caller(), traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
"""The request for which the service is called."""
AT_ONCE = ServiceLimits(pause=0.0)
GET = ServiceRequest("GET", "/v3/things")
POST = ServiceRequest("POST", "/v3/things", document={"name": "thing"})


class Tokens:
    """A TokenSource with some tokens. It gives the next one after one was refused."""

    def __init__(self, *tokens: str | None) -> None:
        self._tokens = list(tokens)
        self.forgotten: list[str] = []

    def token(self) -> Deferred[str | None]:
        """See TokenSource."""
        return succeed(self._tokens[0])

    def forget(self, token: str) -> None:
        """See TokenSource."""
        self.forgotten.append(token)
        if len(self._tokens) > 1:
            self._tokens.pop(0)


class ServiceTestCase(TestCase):
    """A service whose responses are chosen by `serve`."""

    def serve(self, *behaviours: Behaviour, limits: ServiceLimits = AT_ONCE, **more: Any) -> JsonService:
        """The client of a server with these responses."""
        self.website = JsonWebsite(*behaviours)
        self.addCleanup(self.website.close)
        service = connect("Thing", f"{self.website.url}/base/", reactor, limits, option="thing.url", **more)
        self.addCleanup(service.stop)
        return service

    async def fails(self, call: Deferred[ServiceAnswer]) -> str:
        """The message of the ServiceUnavailable with which a call fails."""
        error: Any = await self.assertFailure(call, ServiceUnavailable)
        self.assertEqual(error.service, "Thing")
        return str(error)


class AnswerTests(ServiceTestCase):
    """Services that respond."""

    async def test_get(self) -> None:
        """The request has its method, path and headers, and the response is JSON."""
        service = self.serve(document({"a": [1]}))
        request = ServiceRequest("GET", "/v3/things?x=1", token="secret", headers={"X-More": "y"})
        with working_for(REQUEST):
            asking = service.ask(request)
        answer = await asking
        self.assertEqual((answer.status, answer.document()), (200, {"a": [1]}))
        [asked] = self.website.asked
        self.assertEqual((asked.method, asked.target, asked.body), ("GET", "/base/v3/things?x=1", b""))
        for name, value in (
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("x-auth-token", "secret"),
            ("x-openstack-request-id", REQUEST.request_id),
            ("traceparent", REQUEST.traceparent),
            ("x-more", "y"),
        ):
            self.assertEqual(asked.headers[name], value)

    async def test_post(self) -> None:
        """A document is sent as JSON. Absent values cause no headers."""
        await self.serve(document({}, 201)).ask(POST)
        [asked] = self.website.asked
        self.assertEqual((asked.body, asked.headers["content-type"]), (b'{"name": "thing"}', "application/json"))
        self.assertFalse(asked.headers.keys() & {"x-auth-token", "x-openstack-request-id"})

    async def test_client_errors(self) -> None:
        """An error of the client is returned at once."""
        for status in (400, 401, 403, 404, 409, 499):
            service = self.serve(document({"error": {}}, status))
            self.assertEqual((await service.ask(GET)).status, status)
            self.assertEqual(len(self.website.asked), 1)

    async def test_connection_kept(self) -> None:
        """Successive calls share a connection, but no cookies."""
        service = self.serve(document({}, set_cookie="session=1"))
        for _ in range(3):
            await service.ask(GET)
        self.assertEqual(self.website.opened, 1)
        self.assertNotIn("cookie", self.website.asked[-1].headers)

    async def test_nonsense(self) -> None:
        """A body that is not JSON, or is nested too deeply, is an error."""
        deep: Behaviour = lambda request: b"[" * 100_000  # noqa: E731
        for behaviour in (nonsense, deep):
            answer = await self.serve(behaviour).ask(GET)
            error = self.assertRaises(ServiceUnavailable, answer.document)
            self.assertEqual(str(error), "The answer of Thing is not JSON.")

    async def test_compressed(self) -> None:
        """A compressed body is not decompressed, because a few bytes can become very many."""

        def bomb(request: Request) -> bytes:
            request.setHeader("content-encoding", "gzip")
            return gzip.compress(b" " * (8 << 20))

        answer = await self.serve(bomb).ask(GET)
        self.assertLess(len(answer.body), AT_ONCE.largest)
        self.assertRaises(ServiceUnavailable, answer.document)

    async def test_huge(self) -> None:
        """A body over the limit is not read to its end, and its connection is closed."""
        largest = ServiceLimits(largest=1000)
        exact: Behaviour = lambda request: b"x" * 1000  # noqa: E731
        self.assertEqual(len((await self.serve(exact, limits=largest).ask(GET)).body), 1000)

        def endless(request: Request) -> int:
            request.write(b"x" * 1001)
            return silence(request)

        await self.assertFailure(self.serve(endless, limits=largest).ask(GET), ServiceAnswerTooLarge)
        await self.website.idle()
        self.assertEqual(len(self.website.asked), 1)


class FailureTests(ServiceTestCase):
    """Services that fail."""

    async def test_then_good(self) -> None:
        """A server error, 429 and a lost connection are retried."""
        for bad in (document({}, 500), document({}, 503), document({}, 429), cut):
            answer = await self.serve(bad, document({"good": True})).ask(GET)
            self.assertEqual(answer.document(), {"good": True})
            self.assertEqual(len(self.website.asked), 2)

    async def test_never_good(self) -> None:
        """After the last attempt its failure is raised."""
        service = self.serve(cut, document({}, 500), document({}, 503))
        self.assertEqual(await self.fails(service.ask(GET)), "Thing has answered 503.")
        self.assertEqual(len(self.website.asked), 3)

    async def test_not_repeated(self) -> None:
        """A request that is not idempotent is sent once, unless it is marked as repeatable."""
        for bad in (document({}, 503), cut):
            await self.fails(self.serve(bad, document({})).ask(POST))
            self.assertEqual(len(self.website.asked), 1)
            repeatable = ServiceRequest("POST", "/", document={}, repeatable=True)
            self.assertEqual((await self.serve(bad, document({})).ask(repeatable)).status, 200)

    async def test_redirect(self) -> None:
        """A redirect is neither followed nor retried, because it could send the token elsewhere."""
        elsewhere = JsonWebsite(document({}))
        self.addCleanup(elsewhere.close)
        service = self.serve(document({}, 302, location=elsewhere.url))
        self.assertEqual(await self.fails(service.ask(GET)), "Thing has answered 302.")
        self.assertEqual((len(self.website.asked), elsewhere.asked), (1, []))

    async def test_refused(self) -> None:
        """Nothing listens at the address."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            service = connect("Thing", url, reactor, AT_ONCE, option="thing.url")
            self.assertIn("Thing cannot be reached: ConnectionRefused", await self.fails(service.ask(POST)))

    async def test_no_http(self) -> None:
        """The server does not speak HTTP."""

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"SSH-2.0\r\n\r\n")
                self.transport.loseConnection()

        factory = Factory.forProtocol(Other)
        factory.noisy = False
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        service = connect("Thing", f"http://127.0.0.1:{port.getHost().port}", reactor, AT_ONCE, option="thing.url")
        self.assertIn("Thing does not answer as it should", await self.fails(service.ask(GET)))

    async def test_log(self) -> None:
        """The log has the request id, and neither the token nor the query."""
        service = self.serve(document({}, 503))
        request = ServiceRequest("GET", "/v3/things?secret=1", token="secret")
        ours: list[LogEvent] = []
        requests: list[RequestContext | None] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("service") == "Thing":
                ours.append(event)
                requests.append(current_request())

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        with working_for(REQUEST):
            asking = service.ask(request)
        await self.fails(asking)
        self.assertEqual(requests, [REQUEST] * 3)
        self.assertNotIn("secret", str(ours) + repr(request).replace("?secret", ""))


class TokenTests(ServiceTestCase):
    """The server's own token."""

    async def test_own(self) -> None:
        """The server's token is sent for callers without one."""
        service = self.serve(document({}), tokens=Tokens("own"))
        await service.ask(GET)
        await service.ask(ServiceRequest("GET", "/", token="caller"))
        self.assertEqual([asked.headers["x-auth-token"] for asked in self.website.asked], ["own", "caller"])

    async def test_renewed(self) -> None:
        """A refused token is dropped, and the next one is tried once."""
        tokens = Tokens("old", "new", "newer")
        service = self.serve(document({}, 401), document({}), tokens=tokens)
        self.assertEqual((await service.ask(GET)).status, 200)
        self.assertEqual(tokens.forgotten, ["old"])
        self.assertEqual(self.website.asked[-1].headers["x-auth-token"], "new")

    async def test_refused(self) -> None:
        """If there is no other token, or that is refused too, the status is 401."""
        for tokens, asked in ((Tokens("same"), 1), (Tokens(None), 1), (Tokens("a", "b", "c"), 2)):
            service = self.serve(document({}, 401), tokens=tokens)
            self.assertEqual((await service.ask(GET)).status, 401)
            self.assertEqual(len(self.website.asked), asked)

    async def test_caller(self) -> None:
        """A caller's token is not replaced by the server's own."""
        tokens = Tokens("own", "other")
        answer = await self.serve(document({}, 401), tokens=tokens).ask(ServiceRequest("GET", "/", token="caller"))
        self.assertEqual((answer.status, len(self.website.asked), tokens.forgotten), (401, 1, []))


class EndTests(ServiceTestCase):
    """Calls that do not end by themselves."""

    def slow(self, *behaviours: Behaviour) -> tuple[JsonService, Clock]:
        """A client with a test's clock, and a real server."""
        self.website = JsonWebsite(*behaviours)
        self.addCleanup(self.website.close)
        clock = Clock()
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        return JsonService("Thing", self.website.url, agent, clock, ServiceLimits(10.0), option="thing.url"), clock

    async def test_late(self) -> None:
        """A service that does not respond completely is given up with its connection after the time-out."""
        for behaviour in (silence, half):
            service, clock = self.slow(behaviour)
            call = service.ask(GET)
            await self.website.has_asked(1)
            ended = self.website.idle()
            clock.advance(10.1)
            self.assertEqual(await self.fails(call), "Thing does not answer in time.")
            await ended
            self.assertEqual((len(self.website.asked), clock.getDelayedCalls()), (1, []))

    async def test_cancelled(self) -> None:
        """Cancelling ends the call and its connection, and nothing is retried."""
        for behaviour in (silence, half):
            service, clock = self.slow(behaviour)
            call = service.ask(GET)
            await self.website.has_asked(1)
            ended = self.website.idle()
            call.cancel()
            await self.assertFailure(call, CancelledError)
            await ended
            self.assertEqual((len(self.website.asked), clock.getDelayedCalls()), (1, []))

    async def test_stopped(self) -> None:
        """`stop` ends the calls and the connections, and further calls fail."""
        service = self.serve(document({}), silence)
        await service.ask(GET)
        call = service.ask(GET)
        await self.website.has_asked(2)
        ended = self.website.idle()
        stopped = service.stop()
        self.assertIn("the server ends", await self.fails(call))
        await stopped
        await ended
        self.assertIn("the server ends", await self.fails(service.ask(GET)))

    async def test_stopped_idle(self) -> None:
        """A connection that is kept for the next call is closed too."""
        service = self.serve(document({}))
        await service.ask(GET)
        ended = self.website.idle()
        await service.stop()
        await ended

    async def test_silent_under_tls(self) -> None:
        """A peer that neither reads nor writes cannot keep a connection open, also under TLS."""
        path = Path(self.mktemp())
        write_certificate(path)
        silent: list[Any] = []

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                transport: Any = self.transport
                transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
                transport.pauseProducing()
                silent.append(transport)

        factory = Factory.forProtocol(Silent)
        factory.noisy = False
        context = ssl.DefaultOpenSSLContextFactory(str(path), str(path))
        port: Any = reactor.listenSSL(0, factory, context, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = Telling(Agent(reactor, trust(path, "thing.ca"), pool=pool))
        url = f"https://127.0.0.1:{port.getHost().port}"
        service = JsonService("Thing", url, agent, Clock(), AT_ONCE, option="thing.url")
        call = service.ask(GET)
        await agent.answered
        self.addCleanup(silent[0].abortConnection)
        self.assertEqual(len(_connected_to(port.getHost().port)), 1)
        call.cancel()
        await self.assertFailure(call, CancelledError)
        self.assertEqual(_connected_to(port.getHost().port), [])


def _connected_to(port: int) -> list[Any]:
    """The reactor's client sockets that are connected to a port of this machine."""
    readers: Any = reactor
    return [each for each in readers.getReaders() if isinstance(each, tcp.Client) and each.getPeer().port == port]


@implementer(IAgent)
class Telling:
    """Another agent. answered: fires when the head of a response has come, and its body is being read."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent
        self.answered: Deferred[None] = Deferred()

    def request(self, *arguments: Any, **more: Any) -> Deferred[IResponse]:
        """See IAgent."""
        return self._agent.request(*arguments, **more).addCallback(self._tell)

    def _tell(self, response: IResponse) -> IResponse:
        reactor.callLater(0, self.answered.callback, None)  # type: ignore[attr-defined]
        return response


@implementer(IAgent)
class Refused:
    """Never connects. calls: how often it was asked to."""

    calls = 0

    def request(self, *arguments: Any, **more: Any) -> Deferred[IResponse]:
        """See IAgent."""
        self.calls += 1
        return fail(ConnectionRefusedError())


@implementer(IAgent)
class Silent:
    """Never gets a response."""

    def request(self, *arguments: Any, **more: Any) -> Deferred[IResponse]:
        """See IAgent."""
        return Deferred()


class Busy(Resource):
    """Answers 503 with a Retry-After. asked: how often it was asked."""

    isLeaf = True

    def __init__(self, retry_after: str) -> None:
        super().__init__()
        self._retry_after = retry_after
        self.asked = 0

    def render(self, request: Request) -> bytes:
        """See IResource."""
        self.asked += 1
        request.setResponseCode(503)
        request.setHeader("retry-after", self._retry_after)
        return b""


class PauseTests(SynchronousTestCase):
    """Pauses between attempts, with a test's clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = Refused()

    def service(self, limits: ServiceLimits, endpoint: str = "http://thing.example") -> JsonService:
        """A client of a server that does not exist."""
        return JsonService("Thing", endpoint, self.agent, self.clock, limits, option="thing.url")

    def test_doubled(self) -> None:
        """Each pause is twice as long as the one before."""
        call = self.service(ServiceLimits(timeout=100, attempts=4, pause=1.0)).ask(GET)
        for seconds, calls in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (3.9, 3)):
            self.clock.advance(seconds)
            self.assertEqual(self.agent.calls, calls)
        self.assertNoResult(call)
        self.clock.advance(0.2)
        self.failureResultOf(call, ServiceUnavailable)
        self.assertEqual((self.agent.calls, self.clock.getDelayedCalls()), (4, []))

    def test_asked_for(self) -> None:
        """A pause lasts as long as Retry-After says, if that is longer. A date or another text does not count."""
        for text, early, late in (("3", 2.9, 0.2), ("Mon, 30 Nov 2026 08:00:00 GMT", 0.9, 0.2), ("-1", 0.9, 0.2)):
            site = Busy(text)
            agent = RequestTraversalAgent(site)
            limits = ServiceLimits(timeout=100, attempts=2, pause=1.0)
            call = JsonService("Thing", "http://thing.example", agent, self.clock, limits, option="thing.url").ask(GET)
            for seconds, asked in ((0, 1), (early, 1), (late, 2)):
                self.clock.advance(seconds)
                agent.flush()
                self.assertEqual(site.asked, asked, text)
            self.failureResultOf(call, ServiceUnavailable)

    def test_no_time_for_a_pause(self) -> None:
        """A call fails at once, with its real reason, when it would end before the next attempt."""
        call = self.service(ServiceLimits(timeout=5, attempts=99, pause=1.0)).ask(GET)
        self.clock.advance(0.9)
        self.assertNoResult(call)
        self.clock.pump([0.1, 2])
        self.assertIn("cannot be reached", str(self.failureResultOf(call, ServiceUnavailable).value))
        self.assertEqual((self.agent.calls, self.clock.getDelayedCalls()), (3, []))

    def test_deadline_of_request(self) -> None:
        """Calls for a request end at its deadline, and wait for no attempt after it. Later calls send nothing."""
        request = RequestContext("req-1", Caller(), deadline=self.clock.seconds() + 2.5)
        service = self.service(ServiceLimits(timeout=100, attempts=99, pause=1.0))
        with working_for(request):
            call = service.ask(GET)
        self.clock.advance(1)
        self.assertIn("cannot be reached", str(self.failureResultOf(call, ServiceUnavailable).value))
        self.assertEqual((self.agent.calls, self.clock.getDelayedCalls()), (2, []))
        self.clock.advance(1.5)
        with working_for(request):
            late = service.ask(GET)
        self.assertIn("taken too long", str(self.failureResultOf(late, ServiceUnavailable).value))
        self.assertEqual((self.agent.calls, self.clock.getDelayedCalls()), (2, []))

    def test_silent_until_deadline(self) -> None:
        """A service that does not answer is given up at the deadline of the request, or at its own time-out before."""
        limits = ServiceLimits(timeout=10)
        service = JsonService("Thing", "http://thing.example", Silent(), self.clock, limits, option="thing.url")
        for deadline, seconds in ((3.0, 3.0), (30.0, 10.0), (None, 10.0)):
            end = None if deadline is None else self.clock.seconds() + deadline
            with working_for(RequestContext("req-1", Caller(), deadline=end)):
                call = service.ask(GET)
            self.clock.advance(seconds - 0.1)
            self.assertNoResult(call)
            self.clock.advance(0.2)
            self.assertIn("in time", str(self.failureResultOf(call, ServiceUnavailable).value))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A call that is cancelled in a pause makes no other attempt."""
        call = self.service(ServiceLimits()).ask(GET)
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual((self.agent.calls, self.clock.getDelayedCalls()), (1, []))

    def test_endpoint(self) -> None:
        """The endpoint must be an http or https URL, which may have a path."""
        for endpoint in ("thing.example", "ftp://thing.example", "http://", "http://a/?b", "http://a b"):
            error = self.assertRaises(ConfigurationError, self.service, ServiceLimits(), endpoint)
            self.assertIn(f"thing.url = {endpoint!r}", str(error))
