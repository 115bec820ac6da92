"""The HTTP server without the API: clients that disconnect, are slow, or do not read their responses."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from imgsvc.errors import BodyCut, ImgsvcError
from imgsvc.web.ahead import TIME
from imgsvc.web.body import read_all
from imgsvc.web.buffers import HEAD_READ_SIZE
from imgsvc.web.channel import HEAD_TIME, LINGER_TIME
from imgsvc.web.request import StreamingRequest
from tests.support.server import Connection
from tests.web.site_rig import IDLE, LARGEST, Keeper, SiteTestCase, answer, chunked, echo, head, refuse


class LossTests(SiteTestCase):
    """Connections that end early."""

    def errors(self, *pieces: bytes, half: bool = False) -> list[type[BaseException]]:
        """The errors that the consumer of the body gets when the connection ends after these pieces."""
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
        """The consumer of a body that is cut gets an error, also after a half-close."""
        for half in (False, True):
            self.assertEqual(self.errors(head("PUT /", "Content-Length: 5"), b"hell", half=half), [BodyCut])
            self.assertEqual(self.errors(head("PUT /", "Content-Length: 5"), half=half), [BodyCut])
            chunks = head("PUT /", "Transfer-Encoding: chunked"), b"4\r\nhell"
            self.assertEqual(self.errors(*chunks, half=half), [BodyCut])
            self.assertEqual(self.errors(*chunks, b"\r\n0\r\n", half=half), [BodyCut])
            self.assertEqual(self.errors(*chunks, b"\r\n0\r\n\r\n"), [])

    def test_route_learns_first(self) -> None:
        """Those who wait for the request's end learn of a loss before the consumer of the body."""
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
        """A connection that ends within a head, by a close or a half-close, is closed."""
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
        """A half-close between requests ends the connection."""
        connection = self.connect()
        connection.send(head("GET /"))
        connection.close_writing()
        self.assertTrue(connection.transport.disconnecting)

    def test_half_close_while_the_transport_is_full(self) -> None:
        """The connection also ends if its channel was paused, because a transport resumes it before it closes."""
        connection = self.connect()
        connection.send(head("GET /"))
        connection.transport.producer.pauseProducing()
        connection.close_writing()
        self.assertTrue(connection.transport.disconnecting)
        self.assertIsNone(connection.transport.producer)

    def test_half_close_after_the_request(self) -> None:
        """A client that half-closes after its request gets its response."""
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

    def test_half_close_after_many_requests(self) -> None:
        """All requests that were complete before a half-close are answered, and an incomplete one is not."""
        waiting: list[StreamingRequest] = []
        for rest in (b"", head("GET /")[:-2], head("PUT /", "Content-Length: 5") + b"hell"):
            self.route = waiting.append
            connection = self.connect()
            connection.send(b"".join(head(f"GET /{number}") for number in range(5)) + rest)
            connection.close_writing()
            self.route = echo
            echo(waiting.pop())
            self.clock.advance(0)
            self.assertEqual([one.body for one in connection.answers()], [b"/%d " % number for number in range(5)])
            self.assertTrue(connection.closed)
            connection.lose()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_consumer_of_a_request_that_was_answered(self) -> None:
        """A response that is sent before the end of the body ends the body for its consumer."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Transfer-Encoding: chunked"))
        done = self.requests[0].body.startProducing(Keeper())
        refuse(self.requests[0])
        self.failureResultOf(done, BodyCut)

    def test_answer_within_a_write(self) -> None:
        """A consumer may have its request answered at any byte, also at the last byte that came with the head."""

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
    """Time-outs for clients that do nothing."""

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
        """The whole head has one time-out from its first byte, however slowly it comes, also on a kept connection."""
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
        """A head that begins in the same piece as the end of a body has a time-out."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 5") + b"hello" + b"GET / HTTP/1.1\r\nHost")
        self.clock.advance(10 * IDLE)
        self.assertFalse(connection.closed)
        echo(self.requests[0])
        self.clock.advance(IDLE)
        self.assertTrue(connection.closed)

    def test_body(self) -> None:
        """A body may come slowly, without a pause as long as the time-out. After such a pause the connection is cut."""
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
        """A route that does not read, or works after the body has come, does not count as a slow client."""
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

    def test_head_with_a_long_time_out(self) -> None:
        """A head must be complete after a minute, however long a connection may be silent."""
        self.site.timeOut = self.site.idle_timeout = 10 * IDLE
        connection = self.connect()
        self.clock.advance(9 * IDLE)
        connection.send(b"GET / HT")
        self.clock.advance(HEAD_TIME - 1)
        connection.send(b"TP/1.1\r\n")
        self.assertFalse(connection.closed)
        self.clock.advance(1)
        self.assertTrue(connection.closed)

    def test_last_answer_that_is_not_taken(self) -> None:
        """A client that does not read the last response of a connection is cut in the end."""
        connection = self.connect()
        connection.send(head("GET /", "Connection: close"))
        self.clock.advance(IDLE)
        self.assertFalse(connection.transport.aborting)
        self.clock.advance(IDLE)
        self.assertTrue(connection.transport.aborting)


class RateTests(SiteTestCase):
    """A body must come with at least 100 bytes per second, averaged over a minute."""

    minimum_rate = 100

    def trickle(self, connection: Connection, size: int, minutes: int) -> None:
        """Send so many bytes every 10 seconds."""
        for _ in range(6 * minutes):
            if not connection.closed:
                connection.send(b"x" * size)
            self.clock.advance(10)

    def test_slow_body(self) -> None:
        """A body that is too slow is cut after the minute in which it was too slow, and the client is told why."""
        for framing in ("Content-Length: 50000", "Transfer-Encoding: chunked"):
            connection = self.connect()
            connection.send(head("PUT /", framing) + (b"c350\r\n" if "chunked" in framing else b""))
            self.trickle(connection, 1000, 2)
            self.assertFalse(connection.answers())
            self.trickle(connection, 999, 1)
            (one,) = connection.answers()
            self.assertEqual((one.status, one.headers["connection"], one.body), (400, "close", b"BodyCut"))
            self.clock.advance(LINGER_TIME)
            self.assertTrue(connection.closed)
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_route(self) -> None:
        """Time in which the server does not read does not count."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 30"))
        self.clock.advance(1000)
        keeper = Keeper()
        done = self.requests[0].body.startProducing(keeper)
        for _ in range(20):
            connection.send(b"x")
            keeper.producer.pauseProducing()
            self.clock.advance(1000)
            keeper.producer.resumeProducing()
            self.clock.advance(2)
        self.assertFalse(connection.closed)
        self.assertEqual(len(keeper.data), 20)
        answer(self.requests[0], b"")
        self.failureResultOf(done, BodyCut)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_of_a_refused_body(self) -> None:
        """The same rate holds for the rest of a refused body."""
        self.route = refuse
        connection = self.connect()
        connection.send(head("PUT /", "Content-Length: 10000"))
        self.assertEqual(connection.answers()[0].status, 409)
        self.trickle(connection, 10, 1)
        self.assertTrue(connection.transport.aborting)

    def test_next_body(self) -> None:
        """Each body has its own first minute. A download, or a pause between two requests, has no rate."""
        connection = self.connect()
        for _ in range(3):
            connection.send(head("PUT /", "Content-Length: 50"))
            self.clock.advance(IDLE - 1)
            connection.send(bytes(50))
            self.clock.advance(IDLE - 1)
        self.assertFalse(connection.closed)
        self.assertEqual(len(connection.answers()), 3)


class BackPressureTests(SiteTestCase):
    """How much a client can make the server hold."""

    def test_requests_ahead(self) -> None:
        """At most one read of bytes behind a running request is kept."""
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
        """A download that makes progress does not make room for requests behind it."""
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
        """A client that does not read its responses is not read either, even while it sends a body."""
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
        """The next request begins when the responses before it have been sent, whether it had arrived by then
        or not.
        """

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
        """A client that does not read a response, and has sent the next request, is cut. A client that reads is not."""

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
        """A body that its consumer has paused stays paused when the responses before it have been sent."""
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

    def test_turns(self) -> None:
        """Of many requests in one read, one is handled in each turn of the reactor."""
        turns: list[int] = []
        turn = 0

        def next_turn() -> None:
            nonlocal turn
            turn += 1
            if turn < 100:
                self.clock.callLater(0, next_turn)

        def route(request: StreamingRequest) -> None:
            turns.append(turn)
            echo(request)

        self.route = route
        connection = self.connect()
        connection._unread.append((head("GET /") + head("PUT /", "Content-Length: 5") + b"hello") * 20)
        connection._read()
        self.assertEqual(turns, [0])
        self.clock.callLater(0, next_turn)
        self.clock.advance(0)
        self.assertEqual(turns, [0, *range(0, 39)])
        self.assertEqual(len(connection.answers()), 40)

    def test_no_more_is_read_before_the_next_turn(self) -> None:
        """While requests of one read wait for their turns, no more is read."""
        request = head("GET /")
        connection = self.connect()
        connection._unread.extend([request * 10] * 3)
        connection._read()
        self.assertEqual((len(self.requests), connection.unread), (1, 20 * len(request)))
        self.clock.advance(0)
        self.assertEqual((len(self.requests), connection.unread), (30, 0))

    def test_turns_of_a_client_that_waits(self) -> None:
        """A client that waits for each response before it sends the next request waits for no extra turn."""
        connection = self.connect()
        for number in range(3):
            connection._unread.append(head(f"GET /{number}"))
            connection._read()
            self.assertEqual(len(connection.answers()), number + 1)
        self.assertTrue(all(call.getTime() > 0 for call in self.clock.getDelayedCalls()))

    def test_turns_under_tls(self) -> None:
        """The same holds for many requests in separate TLS records."""
        connection = self.connect()
        connection.channel.isSecure = lambda: True
        for number in range(10):
            connection._unread.append(head(f"GET /{number}"))
        connection._read()
        self.assertEqual(len(connection.answers()), 1)
        self.clock.advance(0)
        self.assertEqual([one.body for one in connection.answers()], [b"/%d " % number for number in range(10)])

    def test_lost_between_turns(self) -> None:
        """Requests that still wait for their turn when the connection is lost are not begun."""
        connection = self.connect()
        connection._unread.append(head("GET /") * 3)
        connection._read()
        connection.lose()
        self.assertEqual(len(self.requests), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_access_log(self) -> None:
        """Each answered request is logged once."""
        self.answers(head("GET /1"), head("PUT /2", "Content-Length: 5"), b"hello")
        self.assertEqual([request.uri for request in self.logged], [b"/1", b"/2"])


class StormTests(SiteTestCase):
    """Many new connections whose first requests come in one turn of the reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.old = self.connect()
        self.old.send(head("GET /old"))
        self.route = self.slow
        self.new = [self.connect() for _ in range(4)]

    def slow(self, request: StreamingRequest) -> None:
        """Answer, and use half of the time that first requests have in a turn."""
        self.clock.rightNow += TIME / 2
        echo(request)

    def send(self) -> None:
        """Deliver the events of the reactor one after the other, all in one turn."""
        for number, connection in enumerate(self.new):
            connection.channel.dataReceived(head(f"GET /{number}"))

    def uris(self) -> list[bytes]:
        """The URIs of the requests that have begun, except those before the storm."""
        return [request.uri for request in self.requests[1:]]

    def test_new_ones_wait(self) -> None:
        """New connections that are too many for the turn wait for later turns, and are not read. Others go on
        at once.
        """
        self.send()
        self.old.channel.dataReceived(head("GET /again"))
        self.assertEqual(self.uris(), [b"/0", b"/1", b"/again"])
        self.assertEqual([connection.transport.reads for connection in self.new[2:]], [False, False])
        self.clock.advance(0)
        self.assertEqual(self.uris(), [b"/0", b"/1", b"/again", b"/2", b"/3"])
        self.assertEqual([len(connection.answers()) for connection in self.new], [1, 1, 1, 1])
        self.assertTrue(all(connection.transport.reads for connection in self.new))

    def test_pieces(self) -> None:
        """Bytes that come while a connection waits, as with TLS, are handled after those before them."""
        self.send()
        self.new[3].channel.dataReceived(head("GET /more"))
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual([answer.body for answer in self.new[3].answers()], [b"/3 ", b"/more "])

    def test_half_closed(self) -> None:
        """A client that half-closes while its request waits gets its response."""
        self.send()
        self.new[3].channel.readConnectionLost()
        self.clock.advance(0)
        self.assertEqual([answer.body for answer in self.new[3].answers()], [b"/3 "])
        self.assertTrue(self.new[3].closed)

    def test_stopped(self) -> None:
        """A server that stops answers the requests that have come."""
        self.send()
        self.site.finish_connections()
        self.clock.advance(0)
        self.assertEqual([len(connection.answers()) for connection in self.new], [1, 1, 1, 1])

    def test_lost(self) -> None:
        """A connection that is lost while its request waits leaves nothing behind."""
        self.send()
        self.new[3].lose(ConnectionLost())
        self.clock.advance(0)
        self.assertEqual(self.uris(), [b"/0", b"/1", b"/2"])
