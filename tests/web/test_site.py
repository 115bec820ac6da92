"""The HTTP server without the API: when routes run, what they may do, and what the connection does then."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.errors import BodyCut, BodyMalformed, BodyTooLarge, ImgsvcError
from imgsvc.interfaces import IOutlet
from imgsvc.web.body import read_all
from imgsvc.web.site import HEAD_READ_SIZE, LINGER_BYTES, LINGER_TIME, SMALL_REST, StreamingRequest, StreamingSite
from tests.support.server import Answer, Connection

IDLE = 60.0
LARGEST = 50_000


SPANNERS = [
    *(
        b"",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\x00",
        b"\xff",
        b" ",
        b"0",
        b"f",
        b"-1",
        b";",
        b":",
        b",",
        b"%",
        b"chunked",
    ),
    *(b"HTTP/1.0", b"Host: x\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"),
]
"""What is thrown into valid requests."""


@implementer(IConsumer)
class Keeper:
    """A consumer that keeps what it gets."""

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
    """A whole answer."""
    request.setResponseCode(status)
    request.setHeader(b"content-length", b"%d" % len(text))
    request.write(text)
    request.finish()


def echo(request: StreamingRequest) -> None:
    """Answer with the body, or with the name of what went wrong."""

    async def handle() -> None:
        try:
            text = await read_all(request.body, LARGEST)
        except ImgsvcError as error:
            answer(request, type(error).__name__.encode(), 413 if isinstance(error, BodyTooLarge) else 400)
        else:
            answer(request, request.uri + b" " + text)

    Deferred.fromCoroutine(handle())


def refuse(request: StreamingRequest) -> None:
    """Answer without a look at the body."""
    answer(request, b"refused", 409)


def chunked(*chunks: bytes) -> bytes:
    """The framing of chunks, and of the end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


def head(line: str = "PUT /x", *headers: str, version: str = "1.1") -> bytes:
    """The head of a request to a host."""
    return "\r\n".join([f"{line} HTTP/{version}", "Host: imgsvc-test", *headers, "", ""]).encode("latin-1")


class SiteTestCase(SynchronousTestCase):
    """A site with one route, which a test may change."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: list[StreamingRequest] = []
        self.logged: list[StreamingRequest] = []
        self.route: Callable[[StreamingRequest], object] = echo
        self.site = StreamingSite(Route(self.begin), self.clock, IDLE, self.logged.append)

    def begin(self, request: StreamingRequest) -> None:
        self.requests.append(request)
        self.route(request)

    def connect(self) -> Connection:
        rig: Any = self
        return Connection(rig)

    def answers(self, *pieces: bytes) -> list[Answer]:
        """The answers on a connection that sends these pieces."""
        connection = self.connect()
        for piece in pieces:
            connection.send(piece)
        return connection.answers()

    def statuses(self, *pieces: bytes) -> list[int]:
        return [one.status for one in self.answers(*pieces)]

    def assert_refused(self, status: int, *pieces: bytes) -> None:
        """One answer with this status and with text, no route has run, and the connection ends in order."""
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


class BeginTests(SiteTestCase):
    """When the route runs."""

    def test_interfaces(self) -> None:
        """A request is an outlet, and a channel may be closed by half."""
        connection = self.connect()
        connection.send(head("GET /x"))
        verifyObject(IOutlet, self.requests[0])
        verifyObject(IHalfCloseableProtocol, connection.channel)
        self.assertTrue(IRequest.providedBy(self.requests[0]))

    def test_at_the_end_of_the_head(self) -> None:
        """The route runs before a byte of the body has come, and the socket is not read."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5"))
        self.assertEqual(len(self.requests), 1)
        connection.send(b"hello")
        self.assertEqual(connection.unread, 5)

    def test_not_before(self) -> None:
        """An incomplete head begins nothing."""
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5")[:-1])
        self.assertEqual(self.requests, [])
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_expect(self) -> None:
        """100 Continue comes when the body is asked for, and then the answer."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5", "Expect: 100-Continue"))
        self.assertEqual(connection.received, b"")
        echo(self.requests[0])
        self.assertEqual(connection.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b"hello")
        self.assertEqual([one.status for one in connection.answers()], [100, 200])
        self.assertFalse(connection.closed)

    def test_expect_of_http_1_0(self) -> None:
        """A client of HTTP/1.0 is not told to continue."""
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5", "Expect: 100-continue", version="1.0"))
        self.assertEqual(connection.received, b"")
        connection.send(b"hello")
        self.assertEqual([one.status for one in connection.answers()], [200])

    def test_no_continue_before_a_refusal(self) -> None:
        """A refusal comes instead of 100 Continue, and ends the connection: the body may come or not."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5", "Expect: 100-continue"))
        self.assertEqual([one.status for one in connection.answers()], [409])
        self.assertTrue(connection.transport.write_closed)

    def test_absolute_form(self) -> None:
        """A target with scheme and authority means its path (RFC 9112 section 3.2.2)."""
        for target, path in [
            ("http://other.test/a?b=c", b"/a?b=c"),
            ("HTTPS://other.test:1/a/b", b"/a/b"),
            ("http://other.test", b"/"),
            ("http://other.test?b", b"/?b"),
        ]:
            self.assertEqual(self.answers(head(f"GET {target}"))[0].body, path + b" ")


class KeepAliveTests(SiteTestCase):
    """What comes after an answer."""

    def test_next_request(self) -> None:
        """Requests with and without bodies follow each other on a connection."""
        one = head("PUT /1", "Content-Length: 5") + b"hello"
        two = head("PUT /2", "Transfer-Encoding: chunked") + chunked(b"hel", b"lo")
        three = head("GET /3")
        bodies = [b"/1 hello", b"/2 hello", b"/3 "]
        self.assertEqual([one.body for one in self.answers(one, two, three)], bodies)
        self.assertEqual([one.body for one in self.answers(one + two + three)], bodies)

    def test_pipelined_behind_an_upload(self) -> None:
        """A request that comes while the one before it is at work waits for it."""
        connection = self.connect()
        self.route = lambda request: None
        connection.send(head("PUT /1", "Content-Length: 5") + b"hel")
        connection.send(b"lo" + head("GET /2"))
        self.route = echo
        self.assertEqual(len(self.requests), 1)
        echo(self.requests[0])
        self.clock.advance(0)
        self.assertEqual([one.body for one in connection.answers()], [b"/1 hello", b"/2 "])

    def test_many_pipelined(self) -> None:
        """Answers that come at once do not pile up on the stack, whether the requests have bodies or not."""
        for request in (head("PUT /", "Content-Length: 1") + b"x", head("GET /")):
            answers = self.answers(request * 2000)
            self.assertEqual({one.status for one in answers}, {200})
            self.assertEqual(len(answers), 2000)

    def test_refusal_of_a_small_body(self) -> None:
        """The rest of a small body is dropped after the refusal, and the connection kept."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /1", f"Content-Length: {SMALL_REST}"))
        self.assertEqual([one.status for one in connection.answers()], [409])
        self.assertFalse(connection.closed)
        for _ in range(16):
            connection.send(bytes(SMALL_REST // 16))
        self.route = echo
        connection.send(head("GET /2"))
        self.assertEqual([one.status for one in connection.answers()], [409, 200])
        self.assertNotIn("connection", connection.answers()[0].headers)

    def test_refusal_and_the_next_request_at_once(self) -> None:
        """The rest of a refused body and the requests behind it may come in one piece."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /1", "Content-Length: 5"))
        connection.send(b"hello" + (head("PUT /2", "Content-Length: 5") + b"hello") * 2 + head("GET /3"))
        self.assertEqual([one.status for one in connection.answers()], [409] * 4)
        self.assertFalse(connection.closed)

    def test_refusal_of_a_small_body_that_stalls(self) -> None:
        """The rest of a small body has a time-out, too."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /1", "Content-Length: 5") + b"hel")
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refusal_of_a_large_body(self) -> None:
        """The answer ends the connection: the server closes its half, and reads a bounded amount."""
        self.route = refuse
        for framing in ("Content-Length: 1000000000000", "Transfer-Encoding: chunked"):
            connection = self.connect()
            connection.send(head("PUT /x", framing))
            (refusal,) = connection.answers()
            self.assertEqual((refusal.status, refusal.headers["connection"]), (409, "close"))
            self.assertTrue(connection.transport.write_closed)
            self.assertFalse(connection.transport.disconnecting)
            connection.send(bytes(2 * LINGER_BYTES))
            self.assertLessEqual(LINGER_BYTES, 2 * LINGER_BYTES - connection.unread)
            self.assertLessEqual(2 * LINGER_BYTES - connection.unread, LINGER_BYTES + HEAD_READ_SIZE)
            self.clock.advance(LINGER_TIME)
            self.assertTrue(connection.transport.aborting)

    def test_lingering_ends_with_the_client(self) -> None:
        """A client that has read the refusal and closes ends the connection at once."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /x", "Transfer-Encoding: chunked"))
        connection.close_writing()
        self.assertTrue(connection.transport.disconnecting)

    def test_connection_close(self) -> None:
        """A client that asks for it, or speaks HTTP/1.0, gets one answer."""
        for request in (
            head("GET /1", "Connection: close"),
            head("GET /1", "Connection: Close,TE"),
            head("GET /1", "Connection: keep-alive", "Connection: TE, close"),
            head("GET /1", version="1.0"),
        ):
            connection = self.connect()
            connection.send(request + head("GET /2"))
            (one,) = connection.answers()
            self.assertEqual(one.headers["connection"], "close")
            self.assertTrue(connection.transport.disconnecting)

    def test_http_1_0_without_host(self) -> None:
        """HTTP/1.0 knows no Host."""
        self.assertEqual(self.statuses(b"GET / HTTP/1.0\r\n\r\n"), [200])

    def test_blank_line_between_requests(self) -> None:
        """One empty line before a request is overlooked (RFC 9112 section 2.2)."""
        self.assertEqual(self.statuses(b"\r\n" + head("GET /1") + b"\r\n" + head("GET /2")), [200, 200])

    def test_finish_soon(self) -> None:
        """When the server stops, an idle connection ends, an unread head too, and a request gets its answer first."""
        idle, partial, busy = self.connect(), self.connect(), self.connect()
        partial.send(head("GET /")[:10])
        self.route = lambda request: None
        busy.send(head("PUT /", "Content-Length: 5"))
        self.site.finish_connections()
        self.assertEqual([one.closed for one in (idle, partial, busy)], [True, True, False])
        echo(self.requests[0])
        busy.send(b"hello")
        self.assertEqual(busy.answers()[0].headers["connection"], "close")
        self.assertTrue(busy.closed)
        self.site.cut_connections()
        self.assertTrue(busy.transport.aborting)


class FramingTests(SiteTestCase):
    """Where a body ends, and what is no body at all."""

    def test_refused_heads(self) -> None:
        """What could be read in two ways, or in none, ends the connection: no request hides in it."""
        for headers in [
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 5"],
            ["Content-Length: 5", "Content-Length: 5"],
            ["Content-Length: 5", "Content-Length: 6"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Content-Length: +5"],
            ["Content-Length: -5"],
            ["Content-Length: 0x5"],
            ["Content-Length: 5, 5"],
            ["Content-Length: 5 5"],
            ["Content-Length: 1_0"],
            ["Content-Length: \u00b2"],
            ["Content-Length:"],
            ["Content-Length: " + "9" * 20],
            ["Content-Length: " + "9" * 5000],
            ["Content-Length : 5"],
            ["Content Length: 5"],
            ["Content-Length\x0b: 5"],
            ["Content-Length: 5\x00"],
            ["Content-Length: 5\rX: y"],
            ["Content-Length: 5\nTransfer-Encoding: chunked"],
            ["Content-Length: 5", " Transfer-Encoding: chunked"],
            ["\tContent-Length: 5"],
            ["X"],
            [": x"],
            ["Host: second"],
        ]:
            with self.subTest(headers=headers):
                self.assert_refused(400, head("PUT /x", *headers))

    def test_other_encodings(self) -> None:
        """Transfer encodings other than chunked are not there: 501 (RFC 9112 section 6.1)."""
        for value in [
            "identity",
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "chunked;a=b",
            "xchunked",
            "",
        ]:
            with self.subTest(value=value):
                self.assert_refused(501, head("PUT /x", f"Transfer-Encoding: {value}"))

    def test_hosts(self) -> None:
        """A request has one Host, which looks like one."""
        self.assert_refused(400, b"GET / HTTP/1.1\r\n\r\n")
        for host in ["a b", "a/b", "a@b", "a:b", "[::1", "<script>", "a\x7f", "\u00e4"]:
            with self.subTest(host=host):
                self.assert_refused(400, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        for host in ["", "a", "A.b-c_d", "127.0.0.1:9292", "[::1]", "[fe80::1]:80", "a:"]:
            with self.subTest(host=host):
                self.assertEqual(self.statuses(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()), [200])

    def test_request_lines(self) -> None:
        """What is no request line of HTTP/1 is refused."""
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET /\x00 HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET /\u00ff HTTP/1.1",
            "G(T / HTTP/1.1",
            " GET / HTTP/1.1",
            "PRI * HTTP/2.0",
            "\x16\x03\x01\x02\x00\x01",
        ]:
            with self.subTest(line=line):
                self.assert_refused(400, f"{line}\r\nHost: a\r\n\r\n".encode("latin-1"))
        self.assert_refused(400, b"\r\n\r\n" + head("GET /"))

    def test_not_encoded(self) -> None:
        """Who sends a target as it is typed is told what to do."""
        connection = self.connect()
        connection.send("GET /?name=K\u00f6ln HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        (refusal,) = connection.answers()
        self.assertEqual((refusal.status, b"percent-encoded" in refusal.body), (400, True))

    def test_targets(self) -> None:
        """A target that is no path is refused; the asterisk is for OPTIONS."""
        for line in ["CONNECT other.test:443", "GET *", "GET x", "GET ftp://a/b", "GET ?a"]:
            with self.subTest(line=line):
                (refusal,) = self.answers(head(line))
                self.assertEqual(refusal.status, 400)
                self.assertEqual(self.requests, [])

    def test_encodings_of_http_1_0(self) -> None:
        """HTTP/1.0 has no transfer encodings (RFC 9112 section 6.1)."""
        self.assert_refused(400, head("PUT /x", "Transfer-Encoding: chunked", version="1.0"))

    def test_floods(self) -> None:
        """Heads that are too large are refused with 414 or 431 as soon as they are."""
        self.assert_refused(414, b"GET /" + b"x" * 20_000)
        self.assert_refused(414, head("GET /" + "x" * 20_000))
        self.assert_refused(414, *[b"x" * 1000] * 20)
        self.assert_refused(431, head("GET /", "X: " + "x" * 20_000))
        self.assert_refused(431, head("GET /")[:-2] + b"X: " + b"x" * 20_000)
        self.assert_refused(431, head("GET /", *["X: y"] * 600))
        self.assert_refused(431, head("GET /", *["X: " + "y" * 1000] * 30))

    def test_broken_chunks(self) -> None:
        """A route that reads a body with broken chunks is told so, and its answer ends the connection."""
        for body in [
            b"x\r\n",
            b"-5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\nX",
            b"5;\x00\r\nhello\r\n",
            b"5" * 2000,
            b"5;" + b"x" * 2000,
            b"0\r\n" + b"X: y\r\n" * 20_000,
            b"0\r\n" + b"x" * 70_000,
            b"1\r\nx\r\ng\r\n",
        ]:
            with self.subTest(body=body[:20]):
                for pieces in (
                    [head("PUT /x", "Transfer-Encoding: chunked") + body],
                    [head("PUT /x", "Transfer-Encoding: chunked"), body],
                ):
                    connection = self.connect()
                    for piece in pieces:
                        connection.send(piece)
                    connection.send(head("GET /smuggled"))
                    (one,) = connection.answers()
                    self.assertEqual((one.status, one.body), (400, b"BodyMalformed"))
                    self.assertEqual(one.headers["connection"], "close")
                    self.assertTrue(connection.transport.write_closed)

    def test_broken_chunk_before_the_consumer(self) -> None:
        """A route that comes to its body late is told of what had broken by then."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /x", "Transfer-Encoding: chunked") + b"x\r\n")
        self.clock.advance(1)
        echo(self.requests[0])
        self.assertEqual(connection.answers()[0].body, BodyMalformed.__name__.encode())

    def test_broken_chunk_of_a_refused_body(self) -> None:
        """A route that does not read its body answers as it would have."""
        self.route = refuse
        self.assertEqual(self.statuses(head("PUT /x", "Transfer-Encoding: chunked") + b"x\r\n"), [409])

    def test_extensions_and_trailers(self) -> None:
        """Chunk extensions and trailers are overlooked, and bound."""
        body = b'2;a=b;c="d"\r\nhe\r\n003 ;x\r\nllo\r\n0;end\r\nX-Digest: 1\r\nY: 2\r\n\r\n'
        (one, two) = self.answers(
            head("PUT /x", "Transfer-Encoding: Chunked") + body.replace(b"003 ;", b"003;") + head("GET /y")
        )
        self.assertEqual([one.body, two.body], [b"/x hello", b"/y "])

    def test_too_large_for_the_route(self) -> None:
        """A body that grows too large is refused at once, and not read to its end, however it comes."""
        for framing, piece in [
            ("Content-Length: 1073741824", bytes(1 << 16)),
            ("Transfer-Encoding: chunked", b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
            ("Transfer-Encoding: chunked", b"1\r\nx\r\n" * 10_000),
        ]:
            connection = self.connect()
            connection.send(head("PUT /x", framing))
            for _ in range(100):
                connection.send(piece)
            (one,) = connection.answers()
            self.assertEqual((one.status, one.headers["connection"]), (413, "close"))
            read = 100 * len(piece) - connection.unread
            self.assertLess(read, 6 * LARGEST + LINGER_BYTES + (1 << 19))

    def test_too_large_and_whole(self) -> None:
        """Of a body that is a little too large the rest is dropped, and the connection kept."""
        one, two = self.answers(head("PUT /x", f"Content-Length: {LARGEST + 1}") + bytes(LARGEST + 1) + head("GET /y"))
        self.assertEqual([one.status, two.status], [413, 200])

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        bodies=st.lists(
            st.tuples(st.booleans(), st.lists(st.binary(min_size=1, max_size=40), max_size=6)), min_size=1, max_size=4
        ),
        cuts=st.lists(st.integers(0, 2000), max_size=12),
    )
    def test_splits(self, bodies: list[tuple[bool, list[bytes]]], cuts: list[int]) -> None:
        """However requests are framed, and wherever the network cuts them: the same bodies arrive."""
        stream, expected = b"", []
        for number, (in_chunks, pieces) in enumerate(bodies):
            data = b"".join(pieces)
            framing = "Transfer-Encoding: chunked" if in_chunks else f"Content-Length: {len(data)}"
            stream += head(f"PUT /{number}", framing) + (chunked(*pieces) if in_chunks else data)
            expected.append(b"/%d " % number + data)
        places = sorted({0, len(stream), *(place % len(stream) for place in cuts)})
        answers = self.answers(*(stream[start:stop] for start, stop in pairwise(places)))
        self.assertEqual([one.body for one in answers], expected)

    def test_byte_by_byte(self) -> None:
        """Requests that come one byte at a time are the same requests."""
        stream = head("PUT /1", "Transfer-Encoding: chunked") + chunked(b"hello", b"you") + head("GET /2")
        self.assertEqual(
            [one.body for one in self.answers(*(bytes([byte]) for byte in stream))], [b"/1 helloyou", b"/2 "]
        )

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(
        edits=st.lists(
            st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from(SPANNERS)), min_size=1, max_size=4
        ),
        refuses=st.booleans(),
        cut=st.integers(0, 400),
    )
    def test_mutations(self, edits: list[tuple[int, int, bytes]], refuses: bool, cut: int) -> None:
        """Framing that was tampered with never fails the server, nor leaves a connection that nothing ends."""
        self.requests.clear()
        self.route = refuse if refuses else echo
        stream = (
            head("PUT /1", "Transfer-Encoding: chunked") + chunked(b"hello", b"you")
            + head("PUT /2", "Content-Length: 5") + b"hello" + head("GET /3")
        )  # fmt: skip
        for place, length, text in edits:
            place %= len(stream)
            stream = stream[:place] + text + stream[place + length :]
        connection = self.connect()
        for piece in (stream[:cut], stream[cut:]):
            if piece:
                connection.send(piece)
        for one in connection.answers():
            self.assertIn(one.status, (100, 200, 400, 405, 409, 413, 414, 431, 501))
        for _ in range(3):
            self.clock.advance(IDLE)
        self.assertTrue(connection.closed)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.connections, set())


class LossTests(SiteTestCase):
    """Connections that end before their time."""

    def errors(self, *pieces: bytes, half: bool = False) -> list[type[BaseException]]:
        """What the consumer of the body is told when the connection ends after these pieces."""
        errors: list[type[BaseException]] = []

        async def handle(request: StreamingRequest) -> None:
            try:
                await read_all(request.body, LARGEST)
            except Exception as error:
                errors.append(type(error))
                raise

        def route(request: StreamingRequest) -> None:
            Deferred.fromCoroutine(handle(request)).addErrback(lambda failure: failure.trap(ImgsvcError))

        self.route = route
        connection = self.connect()
        for piece in pieces:
            connection.send(piece)
        if half:
            connection.close_writing()
            self.assertTrue(connection.closed)
        connection.lose(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return errors

    def test_cut_body(self) -> None:
        """The consumer of a body that is cut is told so, by a half-close too."""
        for half in (False, True):
            self.assertEqual(self.errors(head("PUT /", "Content-Length: 5"), b"hell", half=half), [BodyCut])
            self.assertEqual(self.errors(head("PUT /", "Content-Length: 5"), half=half), [BodyCut])
            chunks = head("PUT /", "Transfer-Encoding: chunked"), b"4\r\nhell"
            self.assertEqual(self.errors(*chunks, half=half), [BodyCut])
            self.assertEqual(self.errors(*chunks, b"\r\n0\r\n", half=half), [BodyCut])
            self.assertEqual(self.errors(*chunks, b"\r\n0\r\n\r\n"), [])

    def test_route_learns_first(self) -> None:
        """Those who wait for the request's end learn of a loss before the body's consumer."""
        told: list[str] = []

        def route(request: StreamingRequest) -> None:
            request.notifyFinish().addErrback(lambda _: told.append("finish"))
            request.body.startProducing(Keeper()).addErrback(lambda _: told.append("body"))

        self.route = route
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        connection.lose()
        self.assertEqual(told, ["finish", "body"])

    def test_answer_to_nobody(self) -> None:
        """A route that answers after the loss does no harm."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        connection.lose()
        refuse(self.requests[0])
        self.assertEqual(connection.received, b"")

    def test_loss_within_the_head(self) -> None:
        """A connection that ends within a head, by half or whole, ends."""
        for half in (False, True):
            connection = self.connect()
            connection.send(head("PUT /", "Content-Length: 5")[:-2])
            if half:
                connection.close_writing()
                self.assertTrue(connection.transport.disconnecting)
            connection.lose()
            self.assertEqual(self.requests, [])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_half_close_when_idle(self) -> None:
        """A client that closes its half between requests ends the connection."""
        connection = self.connect()
        connection.send(head("GET /"))
        connection.close_writing()
        self.assertTrue(connection.transport.disconnecting)

    def test_half_close_after_the_request(self) -> None:
        """A client that sends no more waits for its answer, and gets it."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        keeper = Keeper()
        done = self.requests[0].body.startProducing(keeper)
        self.clock.advance(0)
        connection.send(b"hello")
        self.successResultOf(done)
        connection.close_writing()
        self.assertFalse(connection.closed)
        answer(self.requests[0], bytes(keeper.data))
        self.assertEqual(connection.answers()[0].body, b"hello")
        self.assertTrue(connection.transport.disconnecting)

    def test_consumer_of_a_request_that_was_answered(self) -> None:
        """An answer that comes before the end of the body ends the body for its consumer."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Transfer-Encoding: chunked"))
        done = self.requests[0].body.startProducing(Keeper())
        refuse(self.requests[0])
        self.failureResultOf(done, BodyCut)

    def test_answer_within_a_write(self) -> None:
        """A consumer may have its request answered at any byte, also the last one of what had come with the head."""

        class Refuser(Keeper):
            def write(self, data: bytes) -> None:
                self.producer.stopProducing()
                refuse(self.request)  # type: ignore[attr-defined]

        def route(request: StreamingRequest) -> None:
            refuser = Refuser()
            refuser.request = request  # type: ignore[attr-defined]
            request.body.startProducing(refuser)

        self.route = route
        for framing, body in [("Content-Length: 5", b"hello"), ("Transfer-Encoding: chunked", chunked(b"h", b"ello"))]:
            for cut in range(len(body) + 1):
                answers = self.answers(head("PUT /", framing) + body[:cut], body[cut:], head("PUT /", framing) + body)
                self.assertIn([one.status for one in answers], ([409, 409], [409]))


class TimeTests(SiteTestCase):
    """What ends those who do nothing."""

    def test_idle(self) -> None:
        """A new connection, and one between requests, may be silent for the idle time-out and no longer."""
        connection = self.connect()
        self.clock.advance(IDLE - 1)
        connection.send(head("PUT /", "Content-Length: 5") + b"hello")
        self.clock.advance(IDLE - 1)
        self.assertFalse(connection.closed)
        self.clock.advance(1)
        self.assertTrue(connection.closed)

    def test_slow_head(self) -> None:
        """The whole head has one time-out from its first byte, however it trickles; on a kept connection too."""
        for first in (b"", head("GET /"), head("PUT /", "Content-Length: 5") + b"hello"):
            connection = self.connect()
            if first:
                connection.send(first)
            connection.send(b"G")
            self.clock.advance(IDLE / 2)
            connection.send(b"ET / HTTP/1.1\r\nHost: a\r\n")
            self.clock.advance(IDLE / 2 - 1)
            connection.send(b"X: y\r\n")
            self.assertFalse(connection.closed)
            self.clock.advance(1)
            self.assertTrue(connection.closed)

    def test_partial_head_behind_a_body(self) -> None:
        """A head that began in the piece in which a body ended has a time-out."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5") + b"hello" + b"GET / HTTP/1.1\r\nHost")
        self.clock.advance(10 * IDLE)
        self.assertFalse(connection.closed)
        echo(self.requests[0])
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)

    def test_body(self) -> None:
        """A body may come slowly, with no pause as long as the time-out; then the connection is cut."""
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        for _ in range(3):
            self.clock.advance(IDLE - 1)
            connection.send(b"x")
        self.assertFalse(connection.closed)
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_route(self) -> None:
        """A route that reads nothing, or that takes its time after the body, is not a slow client."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        self.clock.advance(10 * IDLE)
        keeper = Keeper()
        self.requests[0].body.startProducing(keeper)
        connection.send(b"he")
        keeper.producer.pauseProducing()
        self.clock.advance(10 * IDLE)
        keeper.producer.resumeProducing()
        connection.send(b"llo")
        self.clock.advance(10 * IDLE)
        self.assertFalse(connection.closed)
        answer(self.requests[0], bytes(keeper.data))
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)

    def test_last_answer_that_is_not_taken(self) -> None:
        """A client that does not take the last answer of a connection is cut off in the end."""
        connection = self.connect()
        connection.send(head("GET /", "Connection: close"))
        self.clock.advance(IDLE)
        self.assertFalse(connection.transport.aborting)
        self.clock.advance(IDLE)
        self.assertTrue(connection.transport.aborting)


class BackPressureTests(SiteTestCase):
    """What a client can make the server keep."""

    def test_requests_ahead(self) -> None:
        """Of what comes behind a request that is at work, no more than one read is kept."""
        for request in (head("GET /"), head("PUT /", "Content-Length: 5") + b"hello"):
            for write_side_full in (False, True):
                self.route = lambda request: None
                connection = self.connect()
                connection.send(request)
                if write_side_full:
                    connection.channel.pauseProducing()
                connection.send(b"GET /x HTTP/1.1\r\n" * 100_000)
                self.assertGreaterEqual(connection.unread, 1_700_000 - 2 * HEAD_READ_SIZE)
                connection.lose()

    def test_drained_while_requests_wait(self) -> None:
        """A download that moves does not make room for requests behind it."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("GET /"))
        connection.send(b"x" * 1_000_000)
        before = connection.unread
        for _ in range(10):
            connection.channel.pauseProducing()
            connection.channel.resumeProducing()
            self.clock.advance(0)
        self.assertEqual(connection.unread, before)

    def test_answers_that_are_not_taken(self) -> None:
        """Who does not take its answers is not read: bodies do not get around it."""
        connection = self.connect()
        request = head("PUT /", "Content-Length: 5") + b"hello"
        connection.send(request)
        connection.channel.pauseProducing()
        for _ in range(10_000):
            connection.send(request)
        self.assertLess(len(connection.received), 100_000)
        connection.channel.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(connection.unread, 0)
        self.assertEqual(len(connection.answers()), 10_001)

    def test_answer_that_fills_the_write_side(self) -> None:
        """The next request begins when the answers before it are taken, whether it had come by then or not."""

        def fill(request: StreamingRequest) -> None:
            connection.channel.pauseProducing()  # as the transport does when it holds too much
            echo(request)

        for request in (head("GET /"), head("PUT /", "Content-Length: 5") + b"hello"):
            for pieces in ([request * 3], [request] * 3):
                self.route = fill
                self.requests.clear()
                connection = self.connect()
                for piece in pieces:
                    connection.send(piece)
                self.assertEqual(len(self.requests), 1)
                connection.send(request * 10_000)
                self.assertGreater(connection.unread, 10_000 * len(request) - 2 * HEAD_READ_SIZE)
                connection.channel.resumeProducing()
                self.clock.advance(0)
                self.assertEqual(len(self.requests), 2)
                self.route = echo
                connection.channel.resumeProducing()
                self.clock.advance(0)
                self.assertEqual(len(connection.answers()), 10_003)

    def test_answer_that_stays(self) -> None:
        """A client that does not take an answer, and has asked for the next one, is cut off; not one that takes it."""

        def fill(request: StreamingRequest) -> None:
            connection.channel.pauseProducing()
            echo(request)

        self.route = fill
        for takes in (False, True):
            connection = self.connect()
            connection.send(head("GET /") * 2)
            self.clock.advance(IDLE - 1)
            if takes:
                self.route = lambda request: None
                connection.channel.resumeProducing()
            self.clock.advance(IDLE)
            self.assertEqual(connection.closed, not takes)
            connection.lose()

    def test_write_side_does_not_resume_a_body(self) -> None:
        """A body that its consumer has paused stays so when the answers before it are taken."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5"))
        connection.channel.pauseProducing()
        connection.channel.resumeProducing()
        connection.send(b"hello")
        self.assertEqual(connection.unread, 5)

    def test_read_sizes(self) -> None:
        """Heads are read in small pieces, bodies in large ones."""
        self.route = lambda request: None
        connection = self.connect()
        self.assertEqual(connection.transport.bufferSize, HEAD_READ_SIZE)
        connection.send(head("PUT /", "Content-Length: 5"))
        echo(self.requests[0])
        self.assertGreater(connection.transport.bufferSize, HEAD_READ_SIZE)
        connection.send(b"hello")
        self.assertEqual(connection.transport.bufferSize, HEAD_READ_SIZE)

    def test_access_log(self) -> None:
        """Each answered request is logged once."""
        self.answers(head("GET /1"), head("PUT /2", "Content-Length: 5"), b"hello")
        self.assertEqual([request.uri for request in self.logged], [b"/1", b"/2"])


class ProtocolTests(SiteTestCase):
    """What is negotiated."""

    def test_no_http_2(self) -> None:
        """HTTP/2 is not offered: its bodies would not reach their routes early."""
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])
