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
