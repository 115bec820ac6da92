"""The server as a whole, from its start to its end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from imgsvc.daemon.bounded import UNDO_TIME
from tests.support.faults import FaultyStore
from tests.support.network import Network
from tests.support.server import MemoryServer, ServerTestCase
from tests.support.signing import signature_properties


class StopTests(ServerTestCase):
    """Server.stop"""

    def setUp(self) -> None:
        super().setUp()
        folder = self.folder / "hanging"
        folder.mkdir()
        self.hanging = MemoryServer(folder, wrap_store=FaultyStore)

    def test_store_that_hangs(self) -> None:
        """If a store does not respond to the reaper, the stop waits for a limited time."""
        self.hanging.store().hang("unfinished")
        self.hanging.server.core.reaper.round()
        began = self.hanging.clock.seconds()
        self.hanging.stop()
        self.assertLess(self.hanging.clock.seconds() - began, 2 * UNDO_TIME)
        self.hanging.store().heal()

    def test_digests(self) -> None:
        """What comes to be hashed after the stop fails, so that nobody waits for it."""
        scheduler = self.hanging.server.core.digest_scheduler
        digests = scheduler.digests({"md5"})
        self.successResultOf(digests.consume([b"abc"]))
        self.hanging.stop()
        self.failureResultOf(digests.consume([b"abc"]), CancelledError)

    def test_certificate_that_does_not_come(self) -> None:
        """An upload that waits for a certificate fails at once, and its image is queued."""
        network = Network()
        network.names["barbican.test"] = ["192.0.2.1"]
        network.silent = {"192.0.2.1"}
        tables = {"signatures": {"barbican": "http://barbican.test", "barbican_timeout": "1 min"}}
        folder = self.folder / "waiting"
        folder.mkdir()
        waiting = MemoryServer(folder, tables, network=network)
        image_id = waiting.image(**signature_properties(b"data"))["id"]
        head = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        waiting.connect().send(f"{head}Content-Length: 4\r\n\r\n".encode())
        network.advance(0)
        self.assertEqual(network.connected, [("192.0.2.1", 80)])
        self.assertEqual(waiting.show(image_id)["status"], "saving")
        waiting.server.stop_now()
        waiting.stop()
        after = MemoryServer(folder, tables)
        self.addCleanup(after.stop)
        self.assertEqual(after.show(image_id)["status"], "queued")

    def test_stop_now_at_once(self) -> None:
        """After `stop_now` a stop that begins later does not wait for transfers either."""
        image_id = self.hanging.image()
        upload = self.hanging.connect()
        head = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        upload.send(f"{head}Content-Length: 10\r\n\r\nhalf".encode())
        self.hanging.server.stop_now()
        began = self.hanging.clock.seconds()
        self.hanging.stop()
        self.assertLess(self.hanging.clock.seconds() - began, 2 * UNDO_TIME)
