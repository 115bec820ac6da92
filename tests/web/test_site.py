"""The HTTP server without the API: when routes run, and what follows them on a connection."""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.iweb import IRequest
from zope.interface.verify import verifyObject

from imgsvc.interfaces import IResponseSink
from imgsvc.web.buffers import HEAD_READ_SIZE
from imgsvc.web.channel import LINGER_BYTES, LINGER_TIME
from imgsvc.web.request import SMALL_REST
from tests.web.site_rig import IDLE, SiteTestCase, chunked, echo, head, refuse


class BeginTests(SiteTestCase):
    """When the route runs."""

    def test_interfaces(self) -> None:
        """A request provides IResponseSink, and a channel can be half-closed."""
        connection = self.connect()
        connection.send(head("GET /x"))
        verifyObject(IResponseSink, self.requests[0])
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
        """An incomplete head starts no route."""
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5")[:-1])
        self.assertEqual(self.requests, [])
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_expect(self) -> None:
        """100 Continue comes when the body is requested, and then the response."""
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
        """A client of HTTP/1.0 gets no 100 Continue."""
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5", "Expect: 100-continue", version="1.0"))
        self.assertEqual(connection.received, b"")
        connection.send(b"hello")
        self.assertEqual([one.status for one in connection.answers()], [200])

    def test_no_continue_before_a_refusal(self) -> None:
        """A refusal comes instead of 100 Continue, and ends the connection, because the body may come or not."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /x", "Content-Length: 5", "Expect: 100-continue"))
        self.assertEqual([one.status for one in connection.answers()], [409])
        self.assertTrue(connection.transport.write_closed)

    def test_absolute_form(self) -> None:
        """A target with scheme and authority stands for its path (RFC 9112 section 3.2.2)."""
        for target, path in [
            ("http://other.test/a?b=c", b"/a?b=c"),
            ("HTTPS://other.test:1/a/b", b"/a/b"),
            ("http://other.test", b"/"),
            ("http://other.test?b", b"/?b"),
        ]:
            self.assertEqual(self.answers(head(f"GET {target}"))[0].body, path + b" ")


class KeepAliveTests(SiteTestCase):
    """What follows a response."""

    def test_next_request(self) -> None:
        """Requests with and without bodies follow each other on one connection."""
        one = head("PUT /1", "Content-Length: 5") + b"hello"
        two = head("PUT /2", "Transfer-Encoding: chunked") + chunked(b"hel", b"lo")
        three = head("GET /3")
        bodies = [b"/1 hello", b"/2 hello", b"/3 "]
        self.assertEqual([one.body for one in self.answers(one, two, three)], bodies)
        self.assertEqual([one.body for one in self.answers(one + two + three)], bodies)

    def test_pipelined_behind_an_upload(self) -> None:
        """A request that comes during another one waits for it."""
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
        """Many immediate responses do not grow the stack, whether the requests have bodies or not."""
        for request in (head("PUT /", "Content-Length: 1") + b"x", head("GET /")):
            answers = self.answers(request * 2000)
            self.assertEqual({one.status for one in answers}, {200})
            self.assertEqual(len(answers), 2000)

    def test_refusal_of_a_small_body(self) -> None:
        """The rest of a small body is dropped after the refusal, and the connection is kept."""
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
        """The rest of a small body has a time-out too."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /1", "Content-Length: 5") + b"hel")
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refusal_of_a_large_body(self) -> None:
        """The response ends the connection: the server half-closes it, and reads a limited amount."""
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
        """If the client closes after it has read the refusal, the connection ends at once."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /x", "Transfer-Encoding: chunked"))
        connection.close_writing()
        self.assertTrue(connection.transport.disconnecting)

    def test_connection_close(self) -> None:
        """A client that sends `Connection: close`, or speaks HTTP/1.0, gets one response."""
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
        """HTTP/1.0 requests need no Host."""
        self.assertEqual(self.statuses(b"GET / HTTP/1.0\r\n\r\n"), [200])

    def test_blank_line_between_requests(self) -> None:
        """One empty line before a request is ignored (RFC 9112 section 2.2)."""
        self.assertEqual(self.statuses(b"\r\n" + head("GET /1") + b"\r\n" + head("GET /2")), [200, 200])

    def test_finish_soon(self) -> None:
        """When the server stops, idle connections end, also with a part of a head. A running request gets its
        response first.
        """
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


class ProtocolTests(SiteTestCase):
    """Protocols that TLS negotiates."""

    def test_no_http_2(self) -> None:
        """HTTP/2 is not offered: its bodies would not reach their routes early."""
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])
