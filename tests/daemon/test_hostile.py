"""The daemon with hostile clients over real sockets: closes, resets and full buffers as the kernel delivers them."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.daemon.rig import DaemonTestCase, files
from tests.support.certificates import write_certificate
from tests.support.server import Answer, parse_answer
from tests.support.waiting import PATIENCE

MIB = 1 << 20
OCTETS = "Content-Type: application/octet-stream"
ENDLESS = bytes(MIB)


class HostileTestCase(DaemonTestCase):
    """A daemon that must serve and have logged no traceback after the test, and a client by hand."""

    toml = ""
    listen = "tcp:0:interface=127.0.0.1"
    wrap: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        self.files: dict[socket.socket, Any] = {}
        self.server = self.daemon(self.toml, listen=self.listen, wrap=self.wrap)
        self.addCleanup(self.assert_well)

    def assert_well(self) -> None:
        """The daemon serves, and no unexpected error was logged."""
        self.assertEqual(self.ask(self.head("GET /healthcheck")).status, 200)
        for text in ("Traceback", "Unhandled", " 500 "):
            self.assertNotIn(text, self.server.log())

    # --- a client by hand

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A new connection."""
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self.server.port))
        self.addCleanup(connection.close)
        return connection

    def ask(self, *pieces: bytes) -> Answer:
        """Send these pieces. Returns the response."""
        connection = self.connect()
        for piece in pieces:
            connection.sendall(piece)
        try:
            return self.answer(connection)
        finally:
            self.files.pop(connection).close()
            connection.close()

    def answer(self, connection: socket.socket) -> Answer:
        """The next final response on a connection. Raises EOFError if it is cut."""
        file = self.files.setdefault(connection, connection.makefile("rb"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = file.readline(65536)
            if not line:
                raise EOFError(head)
            head += line
        answer, _ = parse_answer(head)
        if answer.status == 100:
            return self.answer(connection)
        length = int(answer.headers.get("content-length", 0)) if answer.status != 204 else 0
        body = file.read(length)
        if len(body) < length:
            raise EOFError(f"{len(body)} bytes of {length}")
        return Answer(answer.status, answer.headers, body)

    def head(self, line: str, *headers: str) -> bytes:
        """The head of a request."""
        return "\r\n".join([f"{line} HTTP/1.1", "Host: imgsvc-test", *headers, "", ""]).encode()

    def put(self, image_id: str, *headers: str) -> bytes:
        """The head of an upload."""
        return self.head(f"PUT /v2/images/{image_id}/file", *headers)

    def image(self, data: bytes | None = None) -> str:
        """The id of a new image with this data."""
        body = b'{"disk_format": "raw", "container_format": "bare"}'
        made = self.ask(self.head("POST /v2/images", f"Content-Length: {len(body)}"), body)
        image_id: str = json.loads(made.body)["id"]
        if data is not None:
            answer = self.ask(self.put(image_id, OCTETS, f"Content-Length: {len(data)}"), data)
            self.assertEqual(answer.status, 204)
        return image_id

    def show(self, image_id: str) -> Any:
        """The current image."""
        return json.loads(self.ask(self.head(f"GET /v2/images/{image_id}")).body)

    def stream(self, connection: socket.socket, pieces: Iterable[bytes]) -> int:
        """Only write, until the data is sent or the server ends the connection. Returns the number of bytes sent."""
        sent = 0
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    count = connection.send(view)
                    sent += count
                    view = view[count:]
        except (BrokenPipeError, ConnectionResetError):
            pass
        return sent

    def assert_undone(self, image_id: str) -> None:
        """The image becomes queued and takes other data, and nothing else is kept."""
        again = self.put(image_id, OCTETS, "Content-Length: 5"), b"again"
        self.wait(lambda: self.ask(*again).status == 204, f"{image_id} takes data")
        self.assertEqual(self.ask(self.head(f"GET /v2/images/{image_id}/file")).body, b"again")
        images = self.server.data / "images"
        self.wait(lambda: [name for name in files(images) if image_id in name] == [image_id], "no more is kept")

    def assert_ends(self, connection: socket.socket, within: float) -> None:
        """The server ends the connection within this time, and sends nothing before."""
        connection.settimeout(within)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(connection.recv(1), b"")


def reset(connection: socket.socket) -> None:
    """Close with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def together(function: Callable[..., None], calls: Iterable[tuple[Any, ...]]) -> None:
    """Make these calls at the same time. The error of one is raised."""
    with ThreadPoolExecutor(16) as threads:
        for ended in [threads.submit(function, *arguments) for arguments in calls]:
            ended.result(PATIENCE)


def endless_chunks(total: int) -> Iterator[bytes]:
    """A chunked body of so many bytes, without its end."""
    for _ in range(total // MIB):
        yield b"%x\r\n%s\r\n" % (MIB, ENDLESS)


class RefusalTests(HostileTestCase):
    """Refusals reach every client."""

    toml = '[images]\nsize_cap = "8 GiB"\n'

    def test_client_that_only_writes(self) -> None:
        """A client that sends a huge body without reading is stopped, and then finds the response."""
        active, fresh = self.image(b"x"), self.image()
        cases: list[tuple[int, bytes, Iterable[bytes]]] = [
            (409, self.put(active, OCTETS, f"Content-Length: {1 << 30}"), [ENDLESS] * 1024),
            (409, self.put(active, OCTETS, "Transfer-Encoding: chunked"), endless_chunks(1 << 30)),
            (413, self.put(fresh, OCTETS, f"Content-Length: {9 << 30}"), [ENDLESS] * 1024),
            (415, self.put(fresh, f"Content-Length: {1 << 30}"), [ENDLESS] * 1024),
            (413, self.head("POST /v2/images", f"Content-Length: {1 << 30}"), [ENDLESS] * 1024),
            (413, self.head("POST /v2/images", "Transfer-Encoding: chunked"), endless_chunks(1 << 30)),
            (400, self.head("POST /v2/images", "Transfer-Encoding: chunked"), [b"x\r\n", *[ENDLESS] * 1024]),
            (501, self.head("POST /v2/images", "Transfer-Encoding: gzip"), [ENDLESS] * 1024),
        ]
        found: dict[int, tuple[int, str | None, int]] = {}

        def write_only(number: int, head: bytes, body: Iterable[bytes]) -> None:
            connection = self.connect()
            connection.sendall(head)
            sent = self.stream(connection, body)
            answer = self.answer(connection)
            found[number] = answer.status, answer.headers.get("connection"), sent

        together(write_only, [(number, *case[1:]) for number, case in enumerate(cases)])
        for number, (status, *_) in enumerate(cases):
            self.assertEqual(found[number][:2], (status, "close"), number)
            self.assertLess(found[number][2], 32 * MIB)
        self.assert_undone(fresh)

    def test_client_that_stops_at_the_answer(self) -> None:
        """A client that reads while it sends gets the whole response at once, and then an orderly end."""
        connection = self.connect()
        connection.sendall(self.put(self.image(b"x"), OCTETS, f"Content-Length: {1 << 30}") + bytes(100_000))
        self.assertEqual(self.answer(connection).status, 409)
        self.assertEqual(connection.recv(1), b"")  # in less than the time-out of 60 s

    def test_expect(self) -> None:
        """A refusal comes instead of 100 Continue, and 100 Continue comes before an accepted upload."""
        active, fresh = self.image(b"x"), self.image()
        lines = OCTETS, "Content-Length: 5", "Expect: 100-continue"
        connection = self.connect()
        connection.sendall(self.put(active, *lines))
        self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 409 "))
        connection = self.connect()
        connection.sendall(self.put(fresh, *lines))
        self.assertEqual(connection.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello")
        self.assertEqual(self.answer(connection).status, 204)

    def test_keep_alive(self) -> None:
        """A client whose small bodies are refused keeps its connection."""
        active = self.image(b"x")
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.connect()
        first = connection.sock
        for size in (1, 100, 50_000):
            connection.request(
                "PUT", f"/v2/images/{active}/file", bytes(size), {"Content-Type": "application/octet-stream"}
            )
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 409)
            connection.request("POST", "/v2/images", b"[" * size)
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 400)
        connection.request("GET", "/v2/images")
        self.assertEqual(connection.getresponse().status, 200)
        self.assertIs(connection.sock, first)

    def test_no_head(self) -> None:
        """Bytes that are not a request get a refusal, also if more of them come than are read."""
        for noise in (b"\x16\x03\x01" + bytes(MIB), b"x" * MIB, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000):
            connection = self.connect()
            self.stream(connection, [noise])
            self.assertIn(self.answer(connection).status, (400, 414, 431))


class EndTests(HostileTestCase):
    """Connections that end in every way."""

    def test_half_close_after_a_whole_upload(self) -> None:
        """A client that half-closes after the last byte of its upload still gets its 204."""
        for framing, body in [
            ("Content-Length: 5", b"hello"),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
            ("Content-Length: 10000000", bytes(10_000_000)),
        ]:
            image_id = self.image()
            connection = self.connect()
            connection.sendall(self.put(image_id, OCTETS, framing) + body)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(self.answer(connection).status, 204)
            self.assertEqual(connection.recv(1), b"")
            self.assertEqual(self.show(image_id)["status"], "active")

    def test_half_close_after_a_request_for_data(self) -> None:
        """A client that half-closes after its request still gets all the data."""
        data = bytes(range(256)) * 40_000
        image_id = self.image(data)
        connection = self.connect()
        connection.sendall(self.head(f"GET /v2/images/{image_id}/file"))
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(self.answer(connection).body, data)

    def test_ends_within_an_upload(self) -> None:
        """After a FIN, a half-close or a RST, in the head or the body, the image is queued and nothing is kept."""
        for framing, body in [
            ("Content-Length: 3000000", bytes(2_999_999)),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n"),
        ]:
            for sent in (0, 7, len(body)):
                for end in ("close", "half", "reset"):
                    with self.subTest(framing=framing, sent=sent, end=end):
                        image_id = self.image()
                        connection = self.connect()
                        connection.sendall(self.put(image_id, OCTETS, framing) + body[:sent])
                        if end == "reset":
                            reset(connection)
                        elif end == "half":
                            connection.shutdown(socket.SHUT_WR)
                            self.assert_ends(connection, PATIENCE)
                        else:
                            connection.close()
                        self.assert_undone(image_id)

    def test_ends_within_a_head(self) -> None:
        """A connection that ends within a head has no effect."""
        image_id = self.image()
        head = self.put(image_id, OCTETS, "Content-Length: 5")
        for length in (0, 1, len(head) - 1):
            for half in (False, True):
                connection = self.connect()
                connection.sendall(head[:length])
                if half:
                    connection.shutdown(socket.SHUT_WR)
                    self.assert_ends(connection, PATIENCE)
                else:
                    reset(connection)
        self.assert_undone(image_id)

    def test_reset_within_a_download(self) -> None:
        """Clients that disconnect within a download leave nothing behind."""
        image_id = self.image(bytes(20 * MIB))
        descriptors = Path(f"/proc/{self.server.pid}/fd")
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            connection = self.connect(receive_buffer=4096)
            connection.sendall(self.head(f"GET /v2/images/{image_id}/file"))
            connection.recv(1000)
            reset(connection)
        self.wait(lambda: len(list(descriptors.iterdir())) <= before + 2, "all is closed")

    def test_reset_after_a_refusal(self) -> None:
        """A client that resets the connection at a refusal leaves nothing behind."""
        active = self.image(b"x")
        for _ in range(20):
            connection = self.connect()
            connection.sendall(self.put(active, OCTETS, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
            self.assertEqual(self.answer(connection).status, 409)
            reset(connection)

    def test_pipelined(self) -> None:
        """Requests behind an upload, a refusal and a download are answered in their order."""
        image_id = self.image()
        upload = self.put(image_id, OCTETS, "Content-Length: 100000") + bytes(100_000)
        connection = self.connect()
        connection.sendall(
            upload + upload + self.head(f"GET /v2/images/{image_id}/file") + self.head("GET /healthcheck")
        )
        self.assertEqual(self.answer(connection).status, 204)
        self.assertEqual(self.answer(connection).status, 409)
        self.assertEqual(len(self.answer(connection).body), 100_000)
        self.assertEqual(self.answer(connection).body, b"OK")


class MemoryTests(HostileTestCase):
    """How much memory clients can make the daemon hold."""

    listen = "tcp:0:interface=127.0.0.1:backlog=1000"

    def setUp(self) -> None:
        super().setUp()
        self.ask(self.head("GET /v2/images"))
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")  # reset the high-water mark
        self.before = self.memory("VmRSS")

    def memory(self, name: str) -> int:
        """The memory of the daemon in bytes."""
        for line in Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
        raise AssertionError(name)

    def assert_grown_less(self, size: int) -> None:
        """Since the test began, the memory of the daemon has never grown by this many bytes."""
        grown = self.memory("VmHWM") - self.before
        self.assertLess(grown, size, f"{grown / MIB:.1f} MiB more")

    def test_json(self) -> None:
        """A body of 1 GiB for a JSON route, with a length or without, costs no more than the limit of such bodies."""

        def post(framing: str, body: Iterable[bytes]) -> None:
            connection = self.connect()
            connection.sendall(self.head("POST /v2/images", framing))
            self.assertLess(self.stream(connection, body), 32 * MIB)
            self.assertEqual(self.answer(connection).status, 413)

        announced = f"Content-Length: {1 << 30}"
        together(post, [(announced, [ENDLESS] * 1024), ("Transfer-Encoding: chunked", endless_chunks(1 << 30))])
        self.assert_grown_less(16 * MIB)

    def test_one_byte_chunks(self) -> None:
        """An upload of millions of one-byte chunks works, and others are served meanwhile."""
        image_id = self.image()
        size = 2_000_000
        body = b"1\r\nx\r\n" * size + b"0\r\n\r\n"
        connection = self.connect()
        uploading = threading.Thread(
            target=lambda: connection.sendall(self.put(image_id, OCTETS, "Transfer-Encoding: chunked") + body)
        )
        uploading.start()
        served = 0
        while uploading.is_alive():
            self.assertEqual(self.ask(self.head("GET /v2/images?limit=1")).status, 200)
            served += 1
        uploading.join()
        self.assertEqual(self.answer(connection).status, 204)
        self.assertEqual(self.show(image_id)["size"], size)
        self.assertGreater(served, 4)
        self.assert_grown_less(32 * MIB)

    def test_half_heads(self) -> None:
        """A thousand connections that each send half a head cost no more than the bytes that they have sent."""
        head = self.head("GET /", "X: " + "y" * 8000)[:-2]
        connections = [self.connect() for _ in range(1000)]
        for connection in connections:
            connection.sendall(head)
        self.assertEqual(self.ask(self.head("GET /v2/images")).status, 200)
        self.assert_grown_less(48 * MIB)
        for connection in connections:
            reset(connection)

    def test_requests_ahead(self) -> None:
        """A client that asks for much and does not read is not read either."""
        image_id = self.image(bytes(20 * MIB))
        connection = self.connect(receive_buffer=4096)
        connection.settimeout(3)
        connection.sendall(self.head(f"GET /v2/images/{image_id}/file"))
        self.assertRaises(TimeoutError, self.stream, connection, [self.head("GET /v2/images") * 10_000] * 200)
        self.assert_grown_less(16 * MIB)
        reset(connection)

    def test_answers_ahead(self) -> None:
        """A client whose small requests are answered, and that reads no response, is not read any more."""

        def ask(request: bytes) -> None:
            connection = self.connect(receive_buffer=4096)
            connection.settimeout(3)
            self.assertRaises(TimeoutError, self.stream, connection, [request * 10_000] * 200)
            reset(connection)

        body = self.head("POST /v2/images", "Content-Length: 1") + b"["
        together(ask, [(self.head("GET /v2/schemas/image"),), (body,), (self.head("GET /v2/images"),)])
        self.assert_grown_less(16 * MIB)


NESTED = b'{"a": [' + b",".join([b"[" * 400 + b"]" * 400] * 1200) + b"]}"
"""0.96 MB with half a million arrays: seconds of work, mostly for the garbage collector."""
PATCH = "Content-Type: application/openstack-images-v2.1-json-patch"
MEMBER = ("X-Identity-Status: Confirmed", "X-Project-Id: blue", "X-Roles: member,reader")
READER = ("X-Identity-Status: Confirmed", "X-Project-Id: blue", "X-Roles: reader")


class JsonTests(HostileTestCase):
    """JSON that causes more work than its size suggests."""

    toml = '[identity]\nmode = "proxy"\n'

    def asked(self, line: str, body: bytes, *headers: str) -> Answer:
        """The response to a request with a body."""
        return self.ask(self.head(line, f"Content-Length: {len(body)}", *headers), body)

    def test_many_at_once(self) -> None:
        """It is refused for its structure, without parsing, from many clients at once, and others are served."""
        made = self.asked("POST /v2/images", b"{}", *MEMBER)
        image = f"/v2/images/{json.loads(made.body)['id']}"
        operations = [{"op": "add", "path": f"/k{number}", "value": "v"} for number in range(4_000)]

        def refused(line: str, body: bytes, status: int, text: str, *headers: str) -> None:
            answer = self.asked(line, body, *headers, *MEMBER)
            self.assertEqual((answer.status, text in answer.body.decode()), (status, True), answer.body)

        def served() -> None:
            self.assertEqual(self.ask(self.head(f"GET {image}", *MEMBER)).status, 200)

        together(
            lambda call, *arguments: call(*arguments),
            [
                *[(refused, "POST /v2/images", NESTED, 400, "32 levels")] * 8,
                *[(refused, f"PATCH {image}", NESTED, 400, "32 levels", PATCH)] * 8,
                *[(refused, "POST /v2/images", b"[" + b"[]," * 300_000 + b"x", 413, "20000 values")] * 4,
                *[(refused, f"PATCH {image}", json.dumps(operations).encode(), 413, "1000 operations", PATCH)] * 4,
                *[(served,)] * 8,
            ],
        )

    def test_not_asked_for(self) -> None:
        """If a request is refused before its body, no byte is requested, and bytes that come anyway are not parsed."""
        for line, status, headers in (
            ("POST /v2/images", 403, READER),
            ("PATCH /v2/images/absent", 404, (PATCH, *MEMBER)),
            ("POST /v2/images/absent/members", 404, MEMBER),
            ("PUT /v2/images/absent/members/blue", 404, MEMBER),
            ("POST /v2/images/absent/locations", 404, MEMBER),
            ("POST /v2/metadefs/namespaces", 403, MEMBER),
            ("PUT /v2/metadefs/namespaces/absent", 404, MEMBER),
            ("POST /v2/metadefs/namespaces/absent/tags", 404, MEMBER),
        ):
            with self.subTest(line=line):
                connection = self.connect()
                length = f"Content-Length: {len(NESTED)}"
                connection.sendall(self.head(line, length, "Expect: 100-continue", *headers))
                file = connection.makefile("rb")
                self.assertIn(str(status).encode(), file.readline())
                file.close()
                self.assertEqual(self.asked(line, NESTED[:-1], *headers).status, status)


class TimeTests(HostileTestCase):
    """Clients that stop, with short time-outs."""

    toml = '[server]\nidle_timeout = "1 s"\nsend_timeout = "1 s"\n'

    def test_slow_head(self) -> None:
        """A head that comes too slowly is cut after the time-out for the whole head."""
        connection = self.connect()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for byte in self.head("GET /healthcheck", "X: " + "y" * 200):  # 25 s in all, if it were not cut
                connection.sendall(bytes([byte]))
                time.sleep(0.1)  # the client is slow

    def test_idle(self) -> None:
        """A silent connection is closed, whether it is new or kept after a response."""
        kept = self.connect()
        kept.sendall(self.head("GET /healthcheck"))
        self.answer(kept)
        for connection in (kept, self.connect()):
            self.assert_ends(connection, PATIENCE)

    def test_silent_upload(self) -> None:
        """An upload that stops is cut, and the image is queued."""
        for framing, body in [("Content-Length: 5", b"hell"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n")]:
            image_id = self.image()
            connection = self.connect()
            connection.sendall(self.put(image_id, OCTETS, framing) + body)
            self.assert_ends(connection, PATIENCE)
            self.assert_undone(image_id)

    def test_stalled_download(self) -> None:
        """A client that does not read its download is cut before the end."""
        size = 40 * MIB
        image_id = self.image(bytes(size))
        connection = self.connect(receive_buffer=4096)
        connection.sendall(self.head(f"GET /v2/images/{image_id}/file"))
        self.stall_until_cut(connection)
        with self.assertRaises((EOFError, ConnectionResetError)):
            self.answer(connection)

    def test_stalled_list(self) -> None:
        """A client that reads none of many small responses is cut."""
        connection = self.connect(receive_buffer=4096)
        connection.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                connection.send(self.head("GET /v2/schemas/image") * 1000)
        self.stall_until_cut(connection)

    def stall_until_cut(self, connection: socket.socket) -> None:
        """Do not read until the server has reset the connection."""
        poll = select.poll()
        poll.register(connection, 0)  # which leaves POLLERR and POLLHUP
        self.assertNotEqual(poll.poll(PATIENCE * 1000), [], "the connection stays")


class TlsTestCase(HostileTestCase):
    """A daemon with TLS, and a client for it."""

    def setUp(self) -> None:
        self.certificates = Path(tempfile.mkdtemp(prefix="imgsvc-"))
        self.addCleanup(shutil.rmtree, self.certificates)
        certificate = self.certificates / "certificate.pem"
        write_certificate(certificate)
        self.listen = ":".join(
            [
                "ssl:0:interface=127.0.0.1",
                f"privateKey={certificate}",
                f"certKey={certificate}",
            ]
        )
        super().setUp()

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.certificates / "certificate.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        connection = context.wrap_socket(super().connect(receive_buffer), server_hostname="127.0.0.1")
        self.addCleanup(connection.close)
        return connection

    def stream(self, connection: socket.socket, pieces: Iterable[bytes]) -> int:
        try:
            return super().stream(connection, pieces)
        except ssl.SSLError:
            return 0


class TlsTests(TlsTestCase):
    """Some of these tests over TLS."""

    toml = '[server]\nidle_timeout = "3 s"\n'

    def test_no_http_2(self) -> None:
        """HTTP/2 is not negotiated."""
        connection: Any = self.connect()
        self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")

    def test_transfer(self) -> None:
        """Data is uploaded and downloaded completely."""
        data = bytes(range(256)) * 60_000
        image_id = self.image(data)
        answer = self.ask(self.head(f"GET /v2/images/{image_id}/file"))
        self.assertEqual(answer.body, data)

    def test_refusal(self) -> None:
        """The client can read the refusal of a huge upload, and the server does not read its rest."""
        active = self.image(b"x")

        def put(framing: str) -> None:
            connection = self.connect()
            connection.sendall(self.put(active, OCTETS, framing))
            answer = self.answer(connection)
            self.assertEqual((answer.status, answer.headers["connection"]), (409, "close"))
            self.assertLess(self.stream(connection, [ENDLESS] * 1024), 64 * MIB)

        together(put, [(f"Content-Length: {1 << 30}",), ("Transfer-Encoding: chunked",)])

    def test_refusal_of_a_client_that_writes(self) -> None:
        """A client that has sent a part of its body before it reads finds the refusal."""
        active = self.image(b"x")
        connection = self.connect()
        connection.sendall(self.put(active, OCTETS, f"Content-Length: {1 << 30}"))
        connection.sendall(bytes(MIB // 2))
        self.assertEqual(self.answer(connection).status, 409)

    def test_cut_upload(self) -> None:
        """An upload whose TCP connection ends leaves nothing behind."""
        image_id = self.image()
        connection = self.connect()
        connection.sendall(self.put(image_id, OCTETS, "Content-Length: 1000000") + bytes(500_000))
        reset(connection)
        self.assert_undone(image_id)

    def test_no_handshake(self) -> None:
        """A client that never begins TLS, or stops within the handshake, is cut. A client that speaks HTTP gets
        no response.
        """
        for noise in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            connection = super().connect()
            connection.sendall(noise)
            connection.settimeout(20)
            try:
                while connection.recv(1000):  # an alert
                    pass
            except ConnectionResetError:
                pass
