"""Requests to servers that clients name."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import RemoteUnavailable, UrlRefused
from imgsvc.remote.connections import LARGEST_HEAD
from imgsvc.remote.fetch import NO_ANSWER, Fetcher, FetchLimits
from imgsvc.remote.guard import Guard, GuardRules
from imgsvc.remote.response import RemoteResponse
from tests.support.network import PIECE, Exchange, Network, WebSite, answer
from tests.support.store_contract import Consumer

HOST, SECOND = "93.184.215.14", "93.184.215.15"
DATA = bytes(range(251)) * 200


class FetchTestCase(SynchronousTestCase):
    """A fetcher in a network with one site."""

    rules = GuardRules()

    def setUp(self) -> None:
        self.network = Network()
        self.network.names["images.test"] = [HOST]
        self.site = self.network.servers[HOST, 80] = WebSite({"/disk": DATA})
        self.fetcher = Fetcher(self.network, Guard(self.rules, "x"), FetchLimits(timeout=10, redirects=2))

    def begin(
        self, url: str = "http://images.test/disk", method: str = "GET", **headers: str
    ) -> Deferred[RemoteResponse]:
        """Begin a request, and let it go as far as it can at once."""
        asking = Deferred.fromCoroutine(self.fetcher.open(method, url, headers))
        self.network.advance(0)
        return asking

    def open(self, url: str = "http://images.test/disk", method: str = "GET", **headers: str) -> RemoteResponse:
        """The response to a request."""
        return self.successResultOf(self.begin(url, method, **headers))

    def refused(self, url: str) -> str:
        """The reason for which a URL is refused."""
        error = self.failureResultOf(self.begin(url), UrlRefused).value
        assert isinstance(error, UrlRefused)
        return error.why

    def serve(self, *pieces: bytes, close: bool = True, host: str = HOST) -> list[Exchange]:
        """Answer with these bytes from now on. Returns the exchanges."""
        exchanges: list[Exchange] = []

        def serve(exchange: Exchange) -> None:
            exchanges.append(exchange)
            for piece in pieces:
                exchange.send(piece)
            if close:
                exchange.close()

        self.network.servers[host, 80] = serve
        return exchanges

    def read(self, answer: RemoteResponse) -> bytes:
        """The whole body."""
        consumer = Consumer()
        reading = answer.startProducing(consumer)
        self.network.advance(0)
        self.successResultOf(reading)
        self.assertIsNone(consumer.producer)
        return consumer.data


class RequestTests(FetchTestCase):
    """Which requests are sent, to which servers, and when they are given up."""

    def test_get(self) -> None:
        """The response comes with its headers. Its body is read on demand, and the connection ends with it."""
        got = self.open(Range="bytes=1-9")
        verifyObject(IPushProducer, got)
        self.assertEqual((got.status, got.length), (206, 9))
        self.assertEqual(got.header("content-range"), f"bytes 1-9/{len(DATA)}")
        self.assertEqual(self.read(got), DATA[1:10])
        [exchange] = self.network.exchanges
        self.assertTrue(exchange.closed)
        self.assertEqual(exchange.line, "GET /disk HTTP/1.1")
        self.assertEqual(
            [exchange.header(name) for name in ("host", "range", "accept-encoding", "connection")],
            ["images.test", "bytes=1-9", "identity", "close"],
        )
        self.assertRegex(exchange.header("user-agent") or "", "^imgsvc/")
        self.assertEqual([call for call in self.network.getDelayedCalls() if call.active()], [])

    def test_head(self) -> None:
        """A response without a body has its headers too."""
        got = self.open(method="HEAD")
        self.assertEqual((got.status, got.header("content-length")), (200, str(len(DATA))))
        got.stopProducing()
        self.network.advance(0)
        self.assertTrue(self.network.exchanges[0].closed)

    def test_any_status(self) -> None:
        """Errors of the server are responses."""
        self.site.status = 503
        got = self.open()
        self.assertEqual((got.status, self.read(got)), (503, b""))

    def test_any_bytes(self) -> None:
        """A header that is not text is returned too."""
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Range: \xff\xfe\r\n\r\n")
        self.assertEqual(self.open().header("content-range"), "\xff\xfe")

    def test_refused_before_anything(self) -> None:
        """A refused URL causes no look-up and no connection."""
        for url in ("http://127.0.0.1/", "http://images.test:22/", "file:///etc/passwd"):
            self.refused(url)
        self.assertEqual((self.network.lookups, self.network.connected), ([], []))

    def test_literal(self) -> None:
        """An address is connected to without a look-up."""
        self.assertEqual(self.read(self.open(f"http://{HOST}/disk")), DATA)
        self.assertEqual(self.network.lookups, [])

    def test_inside(self) -> None:
        """A name that resolves to an internal address is refused without a connection."""
        for addresses in (["127.0.0.1"], ["10.0.0.1", "::1"], ["::ffff:93.184.215.14"], ["169.254.169.254"]):
            self.network.names["inside.test"] = addresses
            self.failureResultOf(self.begin("http://inside.test/"), RemoteUnavailable)
        self.assertEqual(self.network.connected, [])

    def test_some_inside(self) -> None:
        """Of several addresses only allowed ones are tried."""
        self.network.names["both.test"] = ["10.0.0.1", HOST]
        self.assertEqual(self.read(self.open("http://both.test/disk")), DATA)
        self.assertEqual(self.network.connected, [(HOST, 80)])

    def test_rebinding(self) -> None:
        """The connection goes to the checked address, although the next look-up gives another."""
        self.network.names["rebound.test"] = [[HOST], ["127.0.0.1"]]
        self.assertEqual(self.read(self.open("http://rebound.test/disk")), DATA)
        self.assertEqual(self.network.lookups, ["rebound.test"])
        self.failureResultOf(self.begin("http://rebound.test/disk"), RemoteUnavailable)
        self.assertEqual(self.network.connected, [(HOST, 80)])

    def test_next_address(self) -> None:
        """If an address refuses, the next is tried, but only some of them."""
        self.network.names["many.test"] = [SECOND, "2606:4700::1", HOST]
        self.assertEqual(self.read(self.open("http://many.test/disk")), DATA)
        self.network.names["many.test"] = [f"93.184.216.{number}" for number in range(100)]
        self.network.connected.clear()
        self.failureResultOf(self.begin("http://many.test/disk"), RemoteUnavailable)
        self.assertEqual(len(self.network.connected), 4)

    def test_no_name(self) -> None:
        """A name that does not exist is refused."""
        self.failureResultOf(self.begin("http://nothing.test/"), RemoteUnavailable)

    def test_one_text(self) -> None:
        """No message tells which names exist inside, or whether a server responds there. The log does."""
        self.network.names |= {"inside.test": ["10.0.0.1"], "closed.test": [SECOND], "silent.test": ["93.184.215.16"]}
        self.network.silent.add("93.184.215.16")
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        names = ("nothing", "inside", "closed", "silent")
        asking = [self.begin(f"http://{name}.test/disk") for name in names]
        self.serve(b"SSH-2.0-x\r\n")
        asking.append(self.begin())
        self.network.pump([1] * 11)
        self.assertEqual({str(self.failureResultOf(each).value) for each in asking}, {NO_ANSWER})
        told = {event["host"]: event["why"] for event in events if event["log_namespace"] == "imgsvc.remote.fetch"}
        self.assertEqual(told.keys(), {*(f"{name}.test" for name in names), "images.test"})
        self.assertEqual(len(set(told.values())), len(told))

    def test_never_connected(self) -> None:
        """The time-out is for all addresses together."""
        self.network.names["silent.test"] = [SECOND, HOST]
        self.network.silent |= {SECOND, HOST}
        asking = self.begin("http://silent.test/disk")
        self.network.pump([1] * 9)
        self.assertNoResult(asking)
        self.network.pump([1] * 2)
        self.failureResultOf(asking, RemoteUnavailable)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_never_answered(self) -> None:
        """A server that accepts and sends nothing, or only the beginning of a response, is given up."""
        for piece in (b"", b"HTTP/1.1 200 OK\r\nContent-Le"):
            exchanges = self.serve(piece, close=False)
            asking = self.begin()
            self.network.pump([1] * 9)
            self.assertNoResult(asking)
            self.network.pump([1] * 2)
            self.failureResultOf(asking, RemoteUnavailable)
            self.assertTrue(exchanges[0].closed)

    def test_no_http(self) -> None:
        """Bytes that are not HTTP are no response, and the connection is closed."""
        for text in (b"", b"\x00\x01\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-"):
            exchanges = self.serve(text)
            self.failureResultOf(self.begin(), RemoteUnavailable)
            self.network.advance(0)
            self.assertTrue(exchanges[0].closed)

    def test_endless_head(self) -> None:
        """An endless head is cut, whatever it contains."""
        line = b"X-Filler: " + b"y" * 1000 + b"\r\n"
        for head in (
            b"HTTP/1.1 200 OK\r\n" + line * (2 * LARGEST_HEAD // len(line)),
            b"HTTP/1.1 100 Continue\r\n\r\n" * (2 * LARGEST_HEAD // 25),
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2 * LARGEST_HEAD,
        ):
            exchanges = self.serve(head, close=False)
            self.failureResultOf(self.begin(), RemoteUnavailable)
            self.network.advance(0)
            self.assertTrue(exchanges[0].closed)

    def test_cancelled(self) -> None:
        """A request that is cancelled at any point leaves no connection."""
        self.network.silent.add(HOST)
        asking = self.begin()
        asking.cancel()
        self.failureResultOf(asking)
        self.network.silent.clear()
        exchanges = self.serve(close=False)
        asking = self.begin()
        asking.cancel()
        self.failureResultOf(asking)
        self.network.advance(0)
        self.assertTrue(exchanges[0].closed)
        self.assertEqual(self.network.getDelayedCalls(), [])


class RedirectTests(FetchTestCase):
    """Responses with redirects."""

    def redirect(self, to: str, status: int = 302, host: str = HOST) -> None:
        """Answer with a redirect from now on."""
        self.serve(answer(status, b"", f"Location: {to}"), host=host)

    def test_followed(self) -> None:
        """Each redirecting status is followed, also to relative targets, with the same method."""
        self.network.names["far.test"] = [SECOND]
        self.network.servers[SECOND, 80] = WebSite({"/disk": DATA, "/x/disk": DATA})
        for status in (301, 302, 303, 307, 308):
            self.redirect("http://far.test/disk#part", status)
            self.assertEqual(self.read(self.open(Range="bytes=0-3")), DATA[:4])
        self.network.servers[SECOND, 80] = WebSite({"/x/disk": DATA})
        self.serve(answer(302, b"", "Location: disk"), host=SECOND)
        self.redirect("//far.test/x/")
        self.failureResultOf(self.begin(), RemoteUnavailable)  # a third one

    def test_checked(self) -> None:
        """The target of a redirect is checked like the URL itself."""
        self.network.names["inside.test"] = ["10.0.0.1"]
        for to in (
            *(
                "http://127.0.0.1/",
                "http://169.254.169.254/",
                "http://inside.test/",
                "http://images.test:22/",
                "//[::1]/",
            ),
            *(
                "file:///etc/passwd",
                "gopher://images.test/",
                "http://user:x@images.test/",
                "http://2130706433/",
                "http://[",
            ),
        ):
            self.redirect(to)
            self.failureResultOf(self.begin(), RemoteUnavailable if "inside" in to else UrlRefused)
        self.assertEqual({host for host, _ in self.network.connected}, {HOST})
        self.network.advance(0)
        self.assertTrue(all(exchange.closed for exchange in self.network.exchanges))

    def test_any_bytes(self) -> None:
        """A target that is not text is refused, and the connection is closed."""
        exchanges = self.serve(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\xff\r\n\r\n", close=False)
        self.refused("http://images.test/disk")
        self.network.advance(0)
        self.assertEqual([exchange.closed for exchange in exchanges], [True])

    def test_too_many(self) -> None:
        """A loop ends."""
        self.redirect("/disk")
        self.failureResultOf(self.begin(), RemoteUnavailable)
        self.assertEqual(len(self.network.exchanges), 3)

    def test_without_a_place(self) -> None:
        """A redirect without a target is a response."""
        self.site.status = 302
        self.assertEqual(self.open().status, 302)

    def test_off(self) -> None:
        """No redirect is followed if none is allowed."""
        self.fetcher = Fetcher(self.network, Guard(self.rules, "x"), FetchLimits(redirects=0))
        self.redirect("http://images.test/other")
        self.failureResultOf(self.begin(), RemoteUnavailable)
        self.assertEqual(len(self.network.exchanges), 1)


class BodyTests(FetchTestCase):
    """The body of a response, as a producer."""

    def test_backpressure(self) -> None:
        """While the consumer is paused, the server has to wait, and nothing is written."""
        got = self.open()
        consumer = Consumer(pausing=True)
        reading = got.startProducing(consumer)
        self.network.pump([1] * 30)  # longer than the time-out, but the consumer waits
        self.assertNoResult(reading)
        self.assertLessEqual(len(consumer.data), 2 * PIECE)
        self.assertEqual(self.network.exchanges[0].transport.producerState, "paused")
        consumer.resume()
        self.network.advance(0)
        self.successResultOf(reading)
        self.assertEqual(consumer.data, DATA)
        self.assertFalse(consumer.written_while_paused)
        self.assertEqual(consumer.registrations, 1)

    def test_paused_at_every_piece(self) -> None:
        """A consumer that pauses at each write gets every byte, in order, and none while it is paused."""
        got = self.open()

        class Pausing(Consumer):
            def write(self, data: bytes) -> None:
                super().write(data)
                self.pause()

        consumer = Pausing()
        reading = got.startProducing(consumer)
        for _ in range(100):
            self.network.advance(0)
            if consumer.paused and consumer.producer is not None:
                consumer.resume()
        self.successResultOf(reading)
        self.assertEqual(consumer.data, DATA)
        self.assertFalse(consumer.written_while_paused)

    def broken(self, got: RemoteResponse) -> bytes:
        """The bytes of a body before it failed."""
        consumer = Consumer()
        reading = got.startProducing(consumer)
        self.network.pump([1] * 12)
        self.failureResultOf(reading, RemoteUnavailable)
        self.assertIsNone(consumer.producer)
        self.assertTrue(self.network.exchanges[-1].closed)
        self.assertEqual(self.network.getDelayedCalls(), [])
        return consumer.data

    def test_cut(self) -> None:
        """A body that ends early fails, after the bytes that came."""
        whole = answer(200, DATA)
        self.serve(whole[:-1])
        self.assertEqual(self.broken(self.open()), DATA[:-1])
        self.serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        self.assertEqual(self.broken(self.open()), b"hello")

    def test_stalled(self) -> None:
        """A body that stops fails after the time-out, and not before."""
        self.serve(answer(200, DATA)[:-1], close=False)
        got = self.open()
        consumer = Consumer()
        reading = got.startProducing(consumer)
        self.network.pump([1] * 9)
        self.assertNoResult(reading)
        self.network.pump([1] * 2)
        self.failureResultOf(reading, RemoteUnavailable)
        self.assertTrue(self.network.exchanges[-1].closed)

    def test_unknown_length(self) -> None:
        """A body of unknown length ends with the connection, unless a length is expected."""
        for head, tail in ((b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b"\r\n0\r\n\r\n"), (b"\r\n", b"")):
            self.serve(b"HTTP/1.1 200 OK\r\n" + head + b"hello" + tail)
            got = self.open()
            self.assertIsNone(got.length)
            self.assertEqual(self.read(got), b"hello")
            for expected, comes in ((6, b"hello"), (4, b"")):
                got = self.open()
                got.expect(expected)
                self.assertEqual(self.broken(got), comes)
            got = self.open()
            got.expect(5)
            self.assertEqual(self.read(got), b"hello")

    def test_stopped(self) -> None:
        """After a stop nothing more is written, and the connection is closed: before, during and after the body."""
        for begun in (False, True):
            got = self.open()
            consumer = Consumer(pausing=True)
            reading: Any = got.startProducing(consumer) if begun else None
            got.stopProducing()
            got.stopProducing()
            if reading is None:
                reading = got.startProducing(consumer)
            self.failureResultOf(reading, CancelledError)
            self.network.advance(0)
            self.assertTrue(self.network.exchanges[-1].closed)
            self.assertLessEqual(len(consumer.data), PIECE)
        got = self.open()
        self.read(got)
        got.stopProducing()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Cancelling the wait stops the body."""
        got = self.open()
        reading = got.startProducing(Consumer(pausing=True))
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.network.advance(0)
        self.assertTrue(self.network.exchanges[-1].closed)
