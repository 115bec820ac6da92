"""How many bytes one read of a body takes from the socket."""

from __future__ import annotations

from imgsvc.web.buffers import (
    BODY_READ_SIZE,
    BODY_READS,
    HEAD_READ_SIZE,
    LARGEST_BODY_READ,
    SMALLEST_BODY_READ,
    body_read_size,
)
from imgsvc.web.channel import LINGER_TIME
from imgsvc.web.request import StreamingRequest
from tests.web.site_rig import Keeper, SiteTestCase, answer, chunked, head

LONG = 4 * LARGEST_BODY_READ


class SizeTests(SiteTestCase):
    """The size of a read."""

    def test_rule(self) -> None:
        """Long bodies are read in large pieces, but in smaller ones with TLS, and when many connections are busy."""
        for expected, part, secure, size in (
            (LONG, BODY_READS, False, LARGEST_BODY_READ),
            (float("inf"), BODY_READS, False, LARGEST_BODY_READ),
            (BODY_READ_SIZE + 1, BODY_READS, False, BODY_READ_SIZE + 1),
            (5, BODY_READS, False, BODY_READ_SIZE),
            (LONG, BODY_READS, True, LARGEST_BODY_READ // 4),
            (5, BODY_READS, True, BODY_READ_SIZE),
            (LONG, 1 << 20, True, 256 << 10),
            (LONG, 100_000, False, 100_000),
            (LONG, 100_000, True, SMALLEST_BODY_READ),
            (LONG, 1, False, SMALLEST_BODY_READ),
        ):
            self.assertEqual(body_read_size(expected, part, secure), size)

    def test_length(self) -> None:
        """A body is read in pieces that fit its length."""
        self.route = lambda request: None
        for length, size in ((5, BODY_READ_SIZE), (BODY_READ_SIZE + 9, BODY_READ_SIZE + 9), (LONG, LARGEST_BODY_READ)):
            connection = self.connect()
            connection.send(head("PUT /", f"Content-Length: {length}"))
            self.assertEqual(connection.transport.bufferSize, HEAD_READ_SIZE)
            self.requests[-1].body.startProducing(Keeper())
            self.assertEqual(connection.transport.bufferSize, size)

    def test_unknown_length(self) -> None:
        """The more of a body has come whose length is unknown, the larger are the reads of the rest."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Transfer-Encoding: chunked"))
        keeper = Keeper()
        self.requests[0].body.startProducing(keeper)
        sizes = [connection.transport.bufferSize]
        for size in (BODY_READ_SIZE, BODY_READ_SIZE, LARGEST_BODY_READ):
            connection.send(b"%x\r\n%s\r\n" % (size, bytes(size)))
            keeper.producer.pauseProducing()
            keeper.producer.resumeProducing()
            sizes.append(connection.transport.bufferSize)
        self.assertEqual(sizes, [BODY_READ_SIZE, BODY_READ_SIZE, 2 * BODY_READ_SIZE, LARGEST_BODY_READ])

    def test_many(self) -> None:
        """Connections with a request share what is read in one turn; idle ones have no part in it."""
        self.route = lambda request: None
        idle = [self.connect() for _ in range(BODY_READS // LARGEST_BODY_READ)]
        connection = self.connect()
        connection.send(head("PUT /", f"Content-Length: {LONG}"))
        self.requests[0].body.startProducing(Keeper())
        self.assertEqual(connection.transport.bufferSize, LARGEST_BODY_READ)
        for each in idle[1:]:
            each.send(head("GET /"))
        self.requests[0].body.pauseProducing()
        self.requests[0].body.resumeProducing()
        self.assertEqual(connection.transport.bufferSize, LARGEST_BODY_READ)
        idle[0].send(head("GET /"))
        self.requests[0].body.pauseProducing()
        self.requests[0].body.resumeProducing()
        self.assertEqual(connection.transport.bufferSize, BODY_READS // (len(idle) + 1))


class FarAheadTests(SiteTestCase):
    """Requests that are read together with the end of a long body."""

    def after(self, surplus: bytes) -> list[bytes]:
        """The bodies of the responses to a long upload and to what follows it in the same read."""
        kept = Keeper()

        def route(request: StreamingRequest) -> None:
            if request.method == b"PUT":
                request.body.startProducing(kept).addCallback(lambda _: answer(request, b"%d" % len(kept.data)))
            else:
                answer(request, request.uri)

        self.route = route
        self.connection = connection = self.connect()
        connection.send(head("PUT /", f"Content-Length: {LONG}"))
        connection.send(bytes(LONG - 5))
        connection.send(b"hello" + surplus)
        while connection.unread and not connection.closed:
            self.clock.advance(0)
        for _ in range(len(self.requests) + 2):
            self.clock.advance(0)
        return [each.body for each in connection.answers()]

    def test_few(self) -> None:
        """They get their responses, if they are not too many."""
        self.assertEqual(self.after(head("GET /a") * 3), [b"%d" % LONG, *([b"/a"] * 3)])
        self.assertFalse(self.connection.closed)

    def test_too_many(self) -> None:
        """If they are too many, the connection ends gently after the response to the upload."""
        self.assertEqual(self.after(head("GET /a") * 10_000), [b"%d" % LONG])
        (response,) = self.connection.answers()
        self.assertEqual(response.headers["connection"], "close")
        self.assertTrue(self.connection.transport.write_closed)
        self.assertFalse(self.connection.transport.aborting)
        self.clock.advance(LINGER_TIME)
        self.assertTrue(self.connection.transport.aborting)

    def test_too_many_behind_chunks(self) -> None:
        """The same holds for a body without a length."""
        kept = Keeper()
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /", "Transfer-Encoding: chunked"))
        self.requests[0].body.startProducing(kept).addCallback(lambda _: answer(self.requests[0], b"done"))
        connection.send(b"%x\r\n%s\r\n" % (LONG, bytes(LONG)))
        kept.producer.pauseProducing()
        kept.producer.resumeProducing()
        connection.send(chunked(b"end") + head("GET /a") * 10_000)
        self.assertEqual([each.body for each in connection.answers()], [b"done"])
        self.assertEqual(len(kept.data), LONG + 3)
        self.assertTrue(connection.transport.write_closed)
