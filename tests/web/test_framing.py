"""The HTTP server without the API: heads and bodies that are not valid HTTP/1.1."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from imgsvc.errors import BodyMalformed
from imgsvc.web.channel import LINGER_BYTES
from tests.web.site_rig import IDLE, LARGEST, SiteTestCase, chunked, echo, head, refuse

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
"""Bytes that are inserted into valid requests."""


class FramingTests(SiteTestCase):
    """Where a body ends, and what is not a body."""

    def test_refused_heads(self) -> None:
        """A head that is ambiguous or invalid ends the connection, so that no request can hide in it."""
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
        """Transfer encodings other than chunked are 501 (RFC 9112 section 6.1)."""
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
        """A request must have one valid Host."""
        self.assert_refused(400, b"GET / HTTP/1.1\r\n\r\n")
        for host in ["a b", "a/b", "a@b", "a:b", "[::1", "<script>", "a\x7f", "\u00e4"]:
            with self.subTest(host=host):
                self.assert_refused(400, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        for host in ["", "a", "A.b-c_d", "127.0.0.1:9292", "[::1]", "[fe80::1]:80", "a:"]:
            with self.subTest(host=host):
                self.assertEqual(self.statuses(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()), [200])

    def test_request_lines(self) -> None:
        """Invalid request lines are refused."""
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
        """A target that is not percent-encoded is refused, and the response says what to do."""
        connection = self.connect()
        connection.send("GET /?name=K\u00f6ln HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        (refusal,) = connection.answers()
        self.assertEqual((refusal.status, b"percent-encoded" in refusal.body), (400, True))

    def test_no_text(self) -> None:
        """A byte that begins no request is refused at once. Otherwise a TLS client would wait for the time-out."""
        for piece in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x16",
            b"\x00",
            b"\xff\r\n",
            b" GET / HTTP/1.1\r\n",
        ):
            (refused,) = self.answers(piece)
            self.assertEqual(refused.status, 400)
        kept = self.connect()
        kept.send(head("GET /1"))
        kept.send(b"\x16\x03\x01")
        self.assertEqual([one.status for one in kept.answers()], [200, 400])

    def test_targets(self) -> None:
        """A target that is not a path is refused. The asterisk is for OPTIONS only."""
        for line in ["CONNECT other.test:443", "GET *", "GET x", "GET ftp://a/b", "GET ?a"]:
            with self.subTest(line=line):
                (refusal,) = self.answers(head(line))
                self.assertEqual(refusal.status, 400)
                self.assertEqual(self.requests, [])

    def test_encodings_of_http_1_0(self) -> None:
        """HTTP/1.0 has no transfer encodings (RFC 9112 section 6.1)."""
        self.assert_refused(400, head("PUT /x", "Transfer-Encoding: chunked", version="1.0"))

    def test_floods(self) -> None:
        """Heads that are too large are refused with 414 or 431 as soon as the limit is passed."""
        self.assert_refused(414, b"GET /" + b"x" * 20_000)
        self.assert_refused(414, head("GET /" + "x" * 20_000))
        self.assert_refused(414, *[b"x" * 1000] * 20)
        self.assert_refused(431, head("GET /", "X: " + "x" * 20_000))
        self.assert_refused(431, head("GET /")[:-2] + b"X: " + b"x" * 20_000)
        self.assert_refused(431, head("GET /", *["X: y"] * 600))
        self.assert_refused(431, head("GET /", *["X: " + "y" * 1000] * 30))

    def test_broken_chunks(self) -> None:
        """A route that reads a body with broken chunks gets an error, and its response ends the connection."""
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
        """A route that begins to read late gets the error of chunks that were broken before."""
        self.route = lambda request: None
        connection = self.connect()
        connection.send(head("PUT /x", "Transfer-Encoding: chunked") + b"x\r\n")
        self.clock.advance(1)
        echo(self.requests[0])
        self.assertEqual(connection.answers()[0].body, BodyMalformed.__name__.encode())

    def test_broken_chunk_of_a_refused_body(self) -> None:
        """A route that does not read its body answers as usual."""
        self.route = refuse
        self.assertEqual(self.statuses(head("PUT /x", "Transfer-Encoding: chunked") + b"x\r\n"), [409])

    def test_extensions_and_trailers(self) -> None:
        """Chunk extensions and trailers are ignored, and their size is limited."""
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
        """The rest of a body that is a little too large is dropped, and the connection is kept."""
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
        """The same bodies arrive, however requests are framed and wherever the network splits them."""
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
        """Manipulated framing causes no failure of the server, and every connection ends."""
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
        self.assertEqual(list(self.site.connections), [])
