"""The whole API with hostile requests: never a 500, never a hang, never a byte too many."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from imgsvc.web.bodies import LARGEST_JSON
from tests.support.server import Answer, Connection
from tests.web.rigs import MEMORY, ApiTestCase, chunked

many = settings(max_examples=200, deadline=None, derandomize=True)
some = settings(max_examples=100, deadline=None, derandomize=True)

SPANNERS = [
    *(b"", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b"\xff", b" ", b"0", b"f", b"-1", b";", b":", b",", b"%", b"/"),
    *(
        b"HTTP/1.0",
        b"Host: x\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"X-OpenStack-Image-Size: 4\r\n", b"Connection: close\r\n"),
]
"""Bytes that are inserted into a valid request."""
REFUSED = (400, 404, 405, 409, 413, 414, 415, 416, 431, 501)

IMAGE = "00000000-0000-4000-8000-000000000001"
PATHS = [
    *("/", "/v2", "/v2/", "//", "/v2//images", "/v2/images", "/v2/images/", "/v2/images//file", "/v2.9/images"),
    *(f"/v2/images/{IMAGE}", f"/v2/images/{IMAGE}/", f"/v2/images/{IMAGE}/file", f"/v2/images/{IMAGE}/file/"),
    *(
        f"/v2/images/{IMAGE}%2Ffile",
        f"/v2/images/%2e%2e/{IMAGE}",
        f"/v2/images/../images/{IMAGE}",
        "/v2/../healthcheck",
    ),
    *("/v2/images/%00", "/v2/images/a%00b/file", "/v2/images/%", "/v2/images/%2", "/v2/images/%zz", "/v2/images/%25"),
    *("/v2/images/%ff", "/v2/images/%C0%AF", "/v2/images/%ED%A0%80", "/v2/images/%F0%9F%92%BF", "/v2/%69mages"),
    *("/v2/images/" + "x" * 9000, "/v2/images?" + "&".join(["name=x"] * 900), "/%76%32/images", "/v2;a=b/images"),
    *(
        "/v2/images?limit=%00",
        "/v2/images?name=%ff",
        "/v2/images?%ff=1",
        "/v2/images?marker=%00",
        "/v2/images?limit=1e9",
    ),
    *(
        "/v2/images?size_min=-1",
        "/v2/images?size_max=" + "9" * 30,
        "/v2/images?" + "&" * 2000,
        "/v2/images?limit=" + "9" * 5000,
    ),
    *(
        "/v2/images?created_at=gt:",
        "/v2/images?created_at=gt:0000-00-00",
        "/v2/images?tag=%F0%9F%92%BF",
        "/v2/images?%00=%00",
    ),
    *("/versions", "/versions/", "/healthcheck", "/v1/images", "/v3", "/v2/schemas/image", "/v2/info/stores"),
    *(
        "http://other.test/v2/images",
        "HTTP://a:b@c/v2/images",
        "https://",
        "*",
        "other.test:443",
        "?",
        "#",
        "v2/images",
    ),
]
TWO_STORES: dict[str, Any] = {"stores": {"default": "a", "a": MEMORY, "b": MEMORY}}
METHODS = [
    "GET",
    "HEAD",
    "PUT",
    "POST",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "!",
    "A" * 500,
]


class HostileTestCase(ApiTestCase):
    """Helpers that end every connection, and look at what it has left."""

    def end(self, connection: Connection) -> list[Answer]:
        """The final responses of a connection that waits until the server ends it."""
        answers = [one for one in connection.answers() if one.status >= 200]
        for _ in range(4):
            self.server.clock.advance(self.server.config.server.idle_timeout)
        self.assertTrue(connection.closed, "the connection stays")
        connection.lose()
        self.assertEqual(list(self.server.site.connections), [])
        self.assertEqual(self.server.server.core.uploads.running, set())
        return answers

    def send(self, *pieces: bytes) -> list[Answer]:
        """The final responses on a connection that sends these pieces."""
        connection = self.server.connect()
        for piece in pieces:
            if piece:
                connection.send(piece)
        return self.end(connection)

    def one(self, *pieces: bytes) -> Answer:
        """The only response."""
        (answer,) = self.send(*pieces)
        return answer

    def assert_state(self, image_id: str, sent: bytes) -> None:
        """The image is active with exactly these bytes, or queued without any."""
        shown = self.show(image_id)
        if shown["status"] == "active":
            data = self.server.request("GET", f"/v2/images/{image_id}/file")
            self.assertEqual((data.status, data.body, shown["size"]), (200, sent, len(sent)))
        else:
            self.assert_queued(image_id)

    def remove(self, image_id: str) -> None:
        """Delete the image and its data."""
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image_id}").status, 204)
        self.assert_nothing_kept()


class UploadFramingTests(HostileTestCase):
    """The body of an upload, framed and split in every way."""

    @many
    @given(
        pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
        framed=st.sampled_from(["length", "chunks", "one-byte chunks"]),
        expects=st.booleans(),
        cuts=st.lists(st.integers(0, 3000), max_size=10),
    )
    def test_any_split(self, pieces: list[bytes], framed: str, expects: bool, cuts: list[int]) -> None:
        """The same bytes make the same image, however they are framed and wherever the network splits them."""
        data = b"".join(pieces)
        image_id = self.server.image()["id"]
        body = data
        if framed == "chunks":
            body = chunked(*pieces)
        elif framed == "one-byte chunks":
            body = chunked(*(bytes([byte]) for byte in data))
        framing = f"Content-Length: {len(data)}" if framed == "length" else "Transfer-Encoding: chunked"
        more = ["Expect: 100-continue"] if expects else []
        stream = self.put_headers(image_id, framing, *more) + body
        places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
        self.assertEqual(self.one(*(stream[start:stop] for start, stop in pairwise(places))).status, 204)
        self.assertEqual(self.show(image_id)["status"], "active")
        self.assert_state(image_id, data)
        self.remove(image_id)

    @many
    @given(
        edits=st.lists(
            st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(SPANNERS)), min_size=1, max_size=4
        ),
        in_chunks=st.booleans(),
        cut=st.integers(0, 300),
        lost=st.booleans(),
    )
    def test_any_damage(self, edits: list[tuple[int, int, bytes]], in_chunks: bool, cut: int, lost: bool) -> None:
        """A manipulated upload is refused or stored whole. The image is never between these states."""
        image_id = self.server.image()["id"]
        framing = "Transfer-Encoding: chunked" if in_chunks else "Content-Length: 12"
        stream = self.put_headers(image_id, framing) + (chunked(b"hello ", b"world!") if in_chunks else b"hello world!")
        for place, length, text in edits:
            place %= len(stream)
            stream = stream[:place] + text + stream[place + length :]
        connection = self.server.connect()
        for piece in (stream[:cut], stream[cut:]):
            if piece:
                connection.send(piece)
        if lost:
            connection.lose()
            answers = [one for one in connection.answers() if one.status >= 200]
        else:
            answers = self.end(connection)
        for one in answers:
            self.assertIn(one.status, (204, 200, 300, *REFUSED), one)
        shown = self.show(image_id)
        self.assertIn(shown["status"], ("active", "queued"))
        stored = any(one.status == 204 for one in answers)
        self.assertEqual(shown["status"] == "active", stored)
        if stored:
            data = self.server.request("GET", f"/v2/images/{image_id}/file").body
            self.assertEqual(shown["size"], len(data))
        else:
            self.assert_queued(image_id)
        self.remove(image_id)

    @some
    @given(cut=st.integers(0, 250), in_chunks=st.booleans(), half=st.booleans())
    def test_cut_anywhere(self, cut: int, in_chunks: bool, half: bool) -> None:
        """An upload that ends before its last byte, by a reset or a half-close, leaves nothing."""
        image_id = self.server.image()["id"]
        framing = "Transfer-Encoding: chunked" if in_chunks else "Content-Length: 12"
        stream = self.put_headers(image_id, framing) + (chunked(b"hello ", b"world!") if in_chunks else b"hello world!")
        cut %= len(stream)
        connection = self.server.connect()
        if cut:
            connection.send(stream[:cut])
        if half:
            connection.close_writing()
            self.assertTrue(connection.closed)
        connection.lose()
        self.assertEqual(connection.received, b"")
        self.assert_undone(image_id)
        self.remove(image_id)

    def test_smuggling(self) -> None:
        """Two lengths, a length with chunks, and odd encodings end the connection, and what follows is not read as a
        request.
        """
        hidden = self.server.image()["id"]
        for lines in [
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Content-Length: 5", "Content-Length: 6"),
            ("Content-Length: 5", "Content-Length: 5"),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding: identity", "Content-Length: 0"),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
            ("Content-Length: +0",),
            ("Content-Length: 0x0",),
            ("Content-Length: 0, 0",),
            ("Content-Length: " + "0" * 5000,),
        ]:
            with self.subTest(lines=lines):
                image_id = self.server.image()["id"]
                connection = self.server.connect()
                connection.send(
                    self.put_headers(image_id, *lines)
                    + b"0\r\n\r\n"
                    + f"DELETE /v2/images/{hidden} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                )
                (answer,) = self.end(connection)
                self.assertIn(answer.status, (400, 501))
                self.assert_undone(image_id)
                self.remove(image_id)
                self.assertEqual(self.status(hidden), "queued")

    def test_broken_chunks(self) -> None:
        """Broken chunks are 400, also after valid bytes."""
        for body in (
            b"x\r\n",
            b"5\r\nhello\r\nx\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\r\n-0\r\n\r\n",
            b"f" * 17 + b"\r\n",
        ):
            with self.subTest(body=body):
                image_id = self.server.image()["id"]
                head = self.put_headers(image_id, "Transfer-Encoding: chunked")
                self.assertEqual(self.one(head + body).status, 400)
                self.assertEqual(self.one(head, body).status, 400)
                self.assert_undone(image_id)
                self.remove(image_id)

    def test_huge_length(self) -> None:
        """A length that exceeds all limits is refused before the first byte."""
        for length in ("9" * 19, str(1 << 50)):
            image_id = self.server.image()["id"]
            answer = self.one(self.put_headers(image_id, f"Content-Length: {length}", "Expect: 100-continue"))
            self.assertEqual(answer.status, 413)
            self.assert_undone(image_id)
            self.remove(image_id)

    def test_second_upload_behind_the_first(self) -> None:
        """An upload that is pipelined behind another is accepted after it."""
        first, second = self.server.image()["id"], self.server.image()["id"]
        connection = self.begin_put(first, 5, b"he")
        connection.send(b"llo" + self.put_headers(second, "Transfer-Encoding: chunked") + chunked(b"wo", b"rld"))
        connection.send(self.put_headers(first, "Content-Length: 3") + b"abc")
        self.assertEqual([one.status for one in self.end(connection)], [204, 204, 409])
        self.assert_state(first, b"hello")
        self.assert_state(second, b"world")

    def test_refusals_before_any_byte(self) -> None:
        """Every refusal comes after the head, before 100 Continue, and the body is never read to its end."""
        active = self.server.image()["id"]
        self.server.put(active, b"x")
        fresh = self.server.image()["id"]
        bare = self.server.image(disk_format=None)["id"]
        for status, image_id, lines in [
            (409, active, ()),
            (404, IMAGE, ()),
            (400, bare, ()),
            (415, fresh, ("Content-Type: application/json",)),
            (400, fresh, ("X-OpenStack-Image-Size: x",)),
        ]:
            for expects in ((), ("Expect: 100-continue",)):
                with self.subTest(status=status, expects=expects):
                    connection = self.server.connect()
                    connection.send(self.put_headers(image_id, "Content-Length: 10000000", *lines, *expects))
                    (answer,) = connection.answers()
                    self.assertEqual((answer.status, answer.headers["connection"]), (status, "close"))
                    connection.send(bytes(10_000_000))
                    self.assertGreater(connection.unread, 8_000_000)
                    self.end(connection)
        self.assertEqual(self.show(active)["size"], 1)
        self.remove(active)
        self.assert_undone(fresh)


class RequestTests(HostileTestCase):
    """Targets, methods and headers."""

    def setUp(self) -> None:
        super().setUp()
        self.active = self.server.image()["id"]
        self.assertEqual(self.server.put(self.active, b"0123456789" * 100).status, 204)

    def test_every_method_on_every_path(self) -> None:
        """No method on any path causes a failure. The table of routes decides the response."""
        for path in PATHS:
            for method in METHODS:
                with self.subTest(path=path[:60], method=method[:10]):
                    answers = self.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))
                    self.assertEqual(len(answers), 1)
                    self.assertNotEqual(answers[0].status, 500)
                    self.assertIn(answers[0].status, (200, 204, 300, *REFUSED))

    @many
    @given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
    def test_any_path(self, path: str) -> None:
        """Any printable path has a response that is not a failure."""
        for prefix in ("/", "/v2/", "/v2/images/", "/v2/images?"):
            answer = self.one(f"GET {prefix}{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertIn(answer.status, (200, 204, 300, 400, 404, 405))

    @many
    @given(path=st.binary(max_size=30))
    def test_any_encoded_path(self, path: bytes) -> None:
        """Any percent-encoded bytes are 400 if they are not UTF-8, and otherwise have a response that is not a
        failure.
        """
        encoded = "".join(f"%{byte:02X}" for byte in path)
        try:
            path.decode("utf-8")
            allowed: tuple[int, ...] = (200, 204, 300, 400, 404, 405)
        except UnicodeDecodeError:
            allowed = (400,)
        for prefix in ("/v2/images/", "/v2/images?name=", "/v2/images?tag="):
            answer = self.one(f"GET {prefix}{encoded} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertIn(answer.status, allowed)

    @many
    @given(
        name=st.sampled_from(
            [
                *(
                    "Accept",
                    "Range",
                    "Content-Range",
                    "If-Range",
                    "If-None-Match",
                    "Content-Type",
                    "X-OpenStack-Image-Size",
                ),
                *(
                    "X-Openstack-Request-ID",
                    "Content-Digest",
                    "Repr-Digest",
                    "X-Image-Meta-Store",
                    "Expect",
                    "Connection",
                ),
                *("Cookie", "Authorization", "X-Auth-Token", "X-Roles", "Host", "Accept-Encoding", "X-Forwarded-Proto"),
            ]
        ),
        value=st.one_of(
            st.binary(max_size=60),
            st.text(st.sampled_from('bytes=,;:-0159*/" q.W\\sha256'), max_size=30).map(str.encode),
        ),
    )
    def test_any_header(self, name: str, value: bytes) -> None:
        """Any bytes in any header that is read cause no failure, with data and without."""
        for method, path in [
            ("GET", "/v2/images"),
            ("GET", f"/v2/images/{self.active}/file"),
            ("PUT", f"/v2/images/{self.active}/file"),
        ]:
            head = f"{method} {path} HTTP/1.1\r\n" + ("" if name == "Host" else "Host: a\r\n")
            answers = self.send(head.encode() + name.encode() + b": " + value + b"\r\n\r\n")
            for one in answers:
                self.assertIn(one.status, (200, 204, 206, 304, *REFUSED), (name, value))
            self.assertLessEqual(1, len(answers))

    def test_a_thousand_ranges(self) -> None:
        """Many overlapping ranges give one 400, not many bytes."""
        for text in (",".join(["0-"] * 1000), ", ".join(f"{start}-" for start in range(1000)), ",".join(["-1"] * 1000)):
            answer = self.server.request("GET", f"/v2/images/{self.active}/file", {"Range": f"bytes={text}"})
            self.assertEqual(answer.status, 400)
            self.assertLess(len(answer.body), 1000)

    @many
    @given(
        unit=st.sampled_from(["bytes=", "Bytes =", "bytes", "items=", "=", ""]),
        first=st.one_of(
            st.integers(0, 2000).map(str),
            st.sampled_from(["", "-", " ", "+1", "1_0", "\u0663", "9" * 19, "9" * 400, "0x1", "1e1"]),
        ),
        last=st.one_of(st.integers(0, 2000).map(str), st.sampled_from(["", "-", " ", "+1", "9" * 19, "9" * 400, "*"])),
        tail=st.sampled_from(["", " ", ",", ",0-1", ";", "/1000", "/*"]),
    )
    def test_any_range(self, unit: str, first: str, last: str, tail: str) -> None:
        """Any Range gives the part that it names, the whole, or a refusal."""
        whole = b"0123456789" * 100
        value = f"{unit}{first}-{last}{tail}"
        for name in ("Range", "Content-Range"):
            head = f"GET /v2/images/{self.active}/file HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"
            answer = self.one(head.encode("utf-8"))
            self.assertIn(answer.status, (200, 206, 400, 416))
            if answer.status == 206:
                span, _, size = answer.headers["content-range"].removeprefix("bytes ").partition("/")
                start, end = map(int, span.split("-"))
                self.assertEqual((answer.body, size), (whole[start : end + 1], "1000"))
            elif answer.status == 200:
                self.assertEqual(answer.body, whole)
            elif answer.status == 416:
                self.assertEqual(answer.headers["content-range"], "bytes */1000")


class JsonTests(HostileTestCase):
    """JSON bodies."""

    def post(self, body: bytes, **headers: str) -> Answer:
        return self.server.request("POST", "/v2/images", headers, body)

    def test_depth(self) -> None:
        """Deep nesting is 400, up to the deepest that fits into a body."""
        for body in (
            b"[" * LARGEST_JSON,
            b'{"a":' * (LARGEST_JSON // 5),
            b"[" * 50_000 + b"]" * 50_000,
            b'{"name":' + b"[" * 2000,
        ):
            self.assertEqual(self.post(body).status, 400)

    def test_size(self) -> None:
        """A body over the limit is 413: before 100 Continue if its length says so, otherwise when it grows too
        large.
        """
        connection = self.server.connect()
        connection.send(
            f"POST /v2/images HTTP/1.1\r\nHost: a\r\nContent-Length: {1 << 30}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        (answer,) = self.end(connection)
        self.assertEqual(answer.status, 413)
        connection = self.server.connect()
        connection.send(b"POST /v2/images HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(64):
            connection.send(b"10000\r\n" + b" " * (1 << 16) + b"\r\n")
        self.assertGreater(connection.unread, 1 << 20)
        (answer,) = self.end(connection)
        self.assertEqual((answer.status, answer.headers["connection"]), (413, "close"))

    def test_what_is_no_json(self) -> None:
        """Whatever is not JSON is 400."""
        for body in [
            *(
                b"",
                b"\x00",
                b"\xff\xfe{}",
                b'{"name": "\xff"}',
                b'{"name": "\xed\xa0\x80"}',
                b'\xef\xbb\xbf{"name": "x"}',
            ),
            *(
                b'{"name": "\\ud800"}',
                b'{"\\udfff": "x"}',
                b'{"name": NaN}',
                b'{"min_disk": Infinity}',
                b'{"min_ram": 1e999}',
            ),
            *(
                b'{"min_disk": ' + b"9" * 5000 + b"}",
                b'{"min_disk": 1e30}',
                b"null",
                b'"x"',
                b"1",
                b"{",
                b"{}{}",
                b"[]",
            ),
            *(
                '{"name": "x"}'.encode("utf-16"),
                '{"name": "x"}'.encode("utf-32"),
                b"{'name': 'x'}",
                b'{"name": "a\nb"}',
            ),
        ]:
            with self.subTest(body=body[:40]):
                self.assertEqual(self.post(body).status, 400)

    def test_odd_and_legal(self) -> None:
        """Unusual but valid JSON is accepted, and returned unchanged."""
        for name in ("\U0001f4bf", "\u0001", "a\r\nb", "</html>", "x" * 255, "\u202e", "'; DROP TABLE images; --", ""):
            with self.subTest(name=name[:20]):
                image = self.server.image(name=name)
                self.assertEqual(image["name"], name)
                self.assertEqual(self.show(image["id"])["name"], name)

    @many
    @given(
        document=st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(
                    st.one_of(
                        st.sampled_from(
                            [
                                "id",
                                "name",
                                "tags",
                                "visibility",
                                "min_disk",
                                "protected",
                                "owner",
                                "disk_format",
                                "locations",
                            ]
                        ),
                        st.text(max_size=10),
                    ),
                    inner,
                    max_size=4,
                ),
            ),
            max_leaves=12,
        )
    )
    def test_any_document(self, document: Any) -> None:
        """Any document creates an image, or is refused."""
        answer = self.post(json.dumps(document).encode())
        self.assertIn(answer.status, (201, 400, 403, 409, 413))
        if answer.status == 201:
            self.assertEqual(self.show(answer.json["id"])["name"], answer.json["name"])

    @many
    @given(body=st.one_of(st.binary(max_size=200), st.text('{}[]",:\\u0d8tfnN+-.eE ', max_size=40).map(str.encode)))
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes create an image, or are refused."""
        for chunks in (False, True):
            lines = {"Transfer-Encoding": "chunked"} if chunks else {}
            answer = self.post(chunked(body) if chunks else body, **lines)
            self.assertIn(answer.status, (201, 400, 403, 409))

    def test_unexpected_body(self) -> None:
        """A body where none is allowed is 400, and the next request on the connection is read correctly."""
        for line in ("GET /v2/images", f"GET /v2/images/{IMAGE}", "GET /v2/schemas/image"):
            answers = self.send(
                f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".encode(),
                f"{line} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode(),
                b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n",
            )
            self.assertEqual([one.status for one in answers], [400, 400, 200])


class LateClaims:
    """A catalogue that finishes claims when the test says so, even if nobody waits: a thread cannot be cancelled."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.come: Deferred[None] = Deferred()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def claim(self, *arguments: Any) -> Deferred[Any]:
        claimed: Deferred[Any] = Deferred()
        self.come.addCallback(lambda _: self._inner.claim(*arguments).chainDeferred(claimed))
        return claimed


class GoneTests(HostileTestCase):
    """Clients that disconnect before their upload has begun."""

    def late(self) -> LateClaims:
        """Make the claims of the server late."""
        claims: Any = LateClaims(self.server.server.core.catalogue)
        self.server.server.core.uploads.claims = claims
        return claims  # type: ignore[no-any-return]

    def test_before_the_claim(self) -> None:
        """A claim that finishes after its client has disconnected is released at once."""
        image_id = self.server.image()["id"]
        claims = self.late()
        connection = self.begin_put(image_id, 4, b"da")
        connection.lose()
        claims.come.callback(None)
        self.assertEqual(self.status(image_id), "queued")
        self.assert_undone(image_id)

    def test_refused_claim(self) -> None:
        """A refused claim then does no harm, and a claim that is refused while the client waits is reported."""
        for gone in (True, False):
            image_id = self.server.image()["id"]
            claims = self.late()
            connection = self.begin_put(image_id, 4, b"data")
            if gone:
                connection.lose()
            self.server.request("DELETE", f"/v2/images/{image_id}")
            claims.come.callback(None)
            self.assertEqual(self.final_status(connection), None if gone else 404)


class SlowTests(HostileTestCase):
    """Clients that stop sending."""

    def test_silent_upload(self) -> None:
        """A client that goes silent within an upload is cut, and the image is queued."""
        for framing in ("Content-Length: 12", "Transfer-Encoding: chunked"):
            image_id = self.server.image()["id"]
            connection = self.server.connect()
            connection.send(self.put_headers(image_id, framing) + b"5\r\nhello")
            self.assertEqual(self.status(image_id), "saving")
            self.server.clock.advance(self.server.config.server.idle_timeout)
            self.assertTrue(connection.closed)
            connection.lose()
            self.assert_undone(image_id)
            self.remove(image_id)

    def test_slow_head(self) -> None:
        """A head that comes too slowly is cut after the idle time-out for the whole head, and has no effect."""
        image_id = self.server.image()["id"]
        connection = self.server.connect()
        sent = 0.0
        for byte in self.put_headers(image_id, "Content-Length: 5"):
            if connection.closed:
                break
            connection.send(bytes([byte]))
            self.server.clock.advance(1)
            sent += 1
        self.assertTrue(connection.closed)
        self.assertLessEqual(sent, self.server.config.server.idle_timeout + 1)
        connection.lose()
        self.assert_undone(image_id)


class ManyStoresTests(HostileTestCase):
    """Headers that are read if there are several stores."""

    tables: dict[str, Any] | None = TWO_STORES

    @some
    @given(value=st.binary(max_size=40))
    def test_any_store(self, value: bytes) -> None:
        """Any store that does not exist is 400 before a byte is read."""
        image_id = self.server.image()["id"]
        head = self.put_headers(image_id, "Content-Length: 5")[:-2] + b"X-Image-Meta-Store: x" + value + b"\r\n\r\n"
        self.assertEqual(self.send(head)[0].status, 400)
        self.assert_queued(image_id)
