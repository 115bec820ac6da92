"""The server as a whole, from its start to its end."""

from __future__ import annotations

from imgsvc.compose import UNDO_TIME
from tests.support.faults import FaultyStore
from tests.support.server import MemoryServer, ServerTestCase


class StopTests(ServerTestCase):
    """Server.stop"""

    def setUp(self) -> None:
        super().setUp()
        folder = self.folder / "hanging"
        folder.mkdir()
        self.hanging = MemoryServer(folder, wrap_store=FaultyStore)

    def test_store_that_hangs(self) -> None:
        """What the reaper does in a store that does not answer holds up the end for a bounded time."""
        self.hanging.store().hang("unfinished")
        self.hanging.server.core.reaper.round()
        began = self.hanging.clock.seconds()
        self.hanging.stop()
        self.assertLess(self.hanging.clock.seconds() - began, 2 * UNDO_TIME)
        self.hanging.store().heal()

    def test_hastened_at_once(self) -> None:
        """Who says it before the end has begun does not wait for transfers either."""
        image_id = self.hanging.image()
        upload = self.hanging.connect()
        head = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        upload.send(f"{head}Content-Length: 10\r\n\r\nhalf".encode())
        self.hanging.server.hasten()
        began = self.hanging.clock.seconds()
        self.hanging.stop()
        self.assertLess(self.hanging.clock.seconds() - began, 2 * UNDO_TIME)
