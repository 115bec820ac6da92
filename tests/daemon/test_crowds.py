"""The daemon with many clients at a time, over real sockets. None of them may hold up the others."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.daemon.test_hostile import MIB, OCTETS, HostileTestCase, TlsTestCase
from tests.support.waiting import PATIENCE


class SlowReaderTests(TlsTestCase):
    """Clients over TLS that do not read for longer than the test lasts, and a small memory budget."""

    toml = '[server]\nmemory_budget = "8 MiB"\nsend_timeout = "1 h"\n'
    readers = 100

    def setUp(self) -> None:
        super().setUp()
        self.data = bytes(range(256)) * (4 * MIB // 256)
        self.image_id = self.image(self.data)
        self.before = self.memory()
        for _ in range(self.readers):
            reader = self.connect(receive_buffer=4096)
            reader.sendall(self.head(f"GET /v2/images/{self.image_id}/file"))
            self.assertTrue(reader.recv(1))  # the answer is on its way

    def memory(self) -> int:
        """The largest memory of the daemon so far, in bytes."""
        for line in Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmHWM")

    def test_upload(self) -> None:
        """An upload succeeds beside them."""
        image_id = self.image(bytes(2 * MIB))
        self.assertEqual(self.show(image_id)["status"], "active")

    def test_download(self) -> None:
        """Another download succeeds too, and all of them together stay within their limit of memory."""
        self.assertEqual(self.ask(self.head(f"GET /v2/images/{self.image_id}/file")).body, self.data)
        # In addition to the budget, each connection needs memory for OpenSSL and its buffers.
        self.assertLess(self.memory() - self.before, 8 * MIB + self.readers * (MIB // 4))


class ConnectionTests(HostileTestCase):
    """A daemon that may open 300 files."""

    wrap = ("sh", "-c", 'ulimit -n 300; "$@"; exit $?', "sh")

    def test_idle_ones(self) -> None:
        """More idle connections than the limit keep no client out. Those that were idle for longest are closed
        first.
        """
        first, *others = [self.connect() for _ in range(130)]
        self.wait(lambda: self.ask(self.head("GET /v2/images")).status == 200, "an answer")
        self.assert_ends(first, PATIENCE)
        answered = self.ask(self.head("GET /v2/images"))
        self.assertEqual(answered.status, 200)
        for connection in others:
            connection.close()

    def test_busy_ones(self) -> None:
        """If each connection has a running request, a new client is told so, and the others go on."""
        images = [self.image() for _ in range(86)]  # half of the rest of 300, without the daemon's own files
        uploads = []
        for image_id in images:
            uploads.append(self.connect())
            uploads[-1].sendall(
                self.put(image_id, OCTETS, "Content-Length: 5", "Expect: 100-continue", "Connection: close")
            )
            self.assertTrue(uploads[-1].recv(1000).startswith(b"HTTP/1.1 100 "))
        refusal = self.ask(self.head("GET /healthcheck"))
        self.assertEqual((refusal.status, refusal.headers["connection"]), (503, "close"))
        for upload in uploads:
            upload.sendall(b"hello")
            self.assertEqual(self.answer(upload).status, 204)
            self.assertEqual(upload.recv(1), b"")  # then the daemon does not count it any more
            upload.close()
        self.assertEqual(self.ask(self.head("GET /healthcheck")).status, 200)


class PipelineTests(HostileTestCase):
    """Clients that send many requests ahead."""

    def test_all_are_answered(self) -> None:
        """Thousands of requests are all answered in their order, and so is a client that comes meanwhile."""
        image_id = self.image(b"hello")
        number = 300
        requests = (self.head(f"GET /v2/images/{image_id}/file") + self.head("GET /healthcheck")) * number
        connections = [self.connect() for _ in range(8)]

        def read(connection: socket.socket) -> None:
            for _ in range(number):
                self.assertEqual(self.answer(connection).body, b"hello")
                self.assertEqual(self.answer(connection).status, 200)

        with ThreadPoolExecutor(16) as threads:
            sent = [threads.submit(connection.sendall, requests) for connection in connections]
            self.assertEqual(self.ask(self.head("GET /v2/images")).status, 200)
            read_ = [threads.submit(read, connection) for connection in connections]
            for ended in (*sent, *read_):
                ended.result(4 * PATIENCE)
