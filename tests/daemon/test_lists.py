"""Lists of the real daemon, for clients that hardly read them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.daemon.rig import DaemonTestCase
from tests.support.daemon import Daemon
from tests.support.server import parse_answer
from tests.support.waiting import PATIENCE

MIB = 1 << 20
BUDGET = 16
SLACK = 150
"""MiB: the memory budget, and the most that a process may use besides."""
READERS = 40
IMAGES = 40


class ListMemoryTests(DaemonTestCase):
    """40 images of 0.9 MiB each, and 40 clients that ask for all of them and do not read: 1,400 MiB of responses."""

    def test_slow_readers(self) -> None:
        """Their memory is limited, others are served, and a client that reads in the end gets a whole page."""
        daemon = self.daemon(
            f"[server]\nmemory_budget = '{BUDGET} MiB'\n[stores.local]\nkind = 'file'\nfsync = false\n"
        )
        body = json.dumps({f"p{place}": "x" * 60_000 for place in range(15)}).encode()
        for _ in range(IMAGES):
            self.assertEqual(201, daemon.request("POST", "/v2/images", body=body)[0])
        small = daemon.image()
        before = memory(daemon)
        readers = [self.reader(daemon) for _ in range(READERS)]
        first = readers[0].recv(MIB)
        for _ in range(3):
            status, _, answer = daemon.request("GET", "/v2/images?limit=1")
            self.assertEqual((200, [small]), (status, [image["id"] for image in json.loads(answer)["images"]]))
        self.assertEqual(204, daemon.put(small, bytes(4 * MIB)))
        self.assertLess(memory(daemon) - before, BUDGET + SLACK)
        for reader in readers[1:]:
            reader.close()
        readers[0].shutdown(socket.SHUT_WR)
        while data := readers[0].recv(MIB):
            first += data
        page, rest = parse_answer(first)
        self.assertEqual((200, b"", 5), (page.status, rest, len(page.json["images"])))
        self.assertIn("next", page.json)
        self.assert_no_traceback(daemon)

    def reader(self, daemon: Daemon) -> socket.socket:
        """A client that has asked for the list."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", daemon.port))
        connection.sendall(b"GET /v2/images?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection


def memory(daemon: Daemon) -> int:
    """The largest memory so far, in MiB."""
    for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmHWM")
