"""Helpers for the tests of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from tests.support.faults import FaultyStore
from tests.support.server import Connection, MemoryServer, ServerTestCase, fired

DATA_FIELDS = ("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value")
MEMORY = {"kind": "memory", "capacity": 1 << 20}
ONE_STORE: dict[str, Any] = {"local": MEMORY}
THREE_STORES: dict[str, Any] = {
    "default": "fast",
    "cheap": {**MEMORY, "description": "slow disks", "weight": 1},
    "fast": MEMORY,
    "far": {**MEMORY, "weight": 7},
}
BEHIND_PROXY = {"mode": "proxy", "proxy": {"peers": ["192.168.1.1"]}}
"""The peer's address of every StringTransport."""


def identity(project: str | None, *roles: str, **more: str) -> dict[str, str]:
    """The headers that a proxy sets for a user of a project."""
    headers = {"X-Identity-Status": "Confirmed", "X-User-Id": f"user of {project}", "X-Roles": ",".join(roles), **more}
    return headers if project is None else {**headers, "X-Project-Id": project}


MEMBER = identity("blue", "member", "reader")
READER = identity("blue", "reader")
STRANGER = identity("red", "member", "reader")
ADMIN = identity("ops", "admin", "member", "reader")


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """A body in chunks."""
    parts = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece]
    return b"".join(parts) + (b"0\r\n\r\n" if end else b"")


class ApiTestCase(ServerTestCase):
    """A ServerTestCase whose stores can be made to fail, with helpers that look at what an upload has left."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE}
    wrap_store = FaultyStore

    def put_headers(self, image_id: str, *lines: str) -> bytes:
        """The head of an upload."""
        head = [f"PUT /v2/images/{image_id}/file HTTP/1.1", "Host: imgsvc-test"]
        if not any(line.lower().startswith("content-type") for line in lines):
            head.append("Content-Type: application/octet-stream")
        return "\r\n".join([*head, *lines, "", ""]).encode()

    def begin_put(self, image_id: str, length: int, data: bytes = b"", *lines: str) -> Connection:
        """A connection with an upload of `length` bytes, of which `data` were sent."""
        connection = self.server.connect()
        connection.send(self.put_headers(image_id, f"Content-Length: {length}", *lines) + data)
        return connection

    def final_status(self, connection: Connection) -> int | None:
        """The status of the response; None while there is none."""
        statuses = [answer.status for answer in connection.answers() if answer.status >= 200]
        self.assertLessEqual(len(statuses), 1)
        return statuses[0] if statuses else None

    def assert_queued(self, image_id: str, **headers: str) -> None:
        """The image takes data again, and has no data fields."""
        shown = self.show(image_id, headers)
        self.assertEqual(shown["status"], "queued")
        self.assertEqual({shown[name] for name in DATA_FIELDS}, {None})
        self.assertNotIn("stores", shown)

    def assert_nothing_kept(self, store_ids: Iterable[str] = ("local",)) -> None:
        """No store holds a byte."""
        for store_id in store_ids:
            store = self.server.store(store_id).inner
            self.assertEqual(fired(store.unfinished()), [])
            usage = fired(store.usage())
            self.assertEqual(usage.free, usage.total)

    def assert_undone(self, image_id: str) -> None:
        """The image is queued, nothing of the upload is kept, and a new upload succeeds."""
        self.assert_queued(image_id)
        self.assert_nothing_kept()
        self.assertEqual(self.server.server.core.uploads.running, set())
        self.assertEqual(self.server.put(image_id, b"again").status, 204)

    def show(self, image_id: str, headers: dict[str, str] | None = None) -> Any:
        """The image as a client sees it."""
        return self.server.request("GET", f"/v2/images/{image_id}", headers).json

    def status(self, image_id: str) -> Any:
        """The image's status."""
        return self.show(image_id)["status"]


def again(server: MemoryServer, tables: dict[str, Any]) -> MemoryServer:
    """Another server process on the same catalogue, with its own stores."""
    return MemoryServer(server.folder, tables, FaultyStore)
