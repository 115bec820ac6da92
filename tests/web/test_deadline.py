"""The deadline by which trusted services must have answered what a request asks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc.context import current_request
from imgsvc.interfaces import IStore
from tests.support.faults import Call, FaultyStore
from tests.support.network import Network
from tests.support.server import MemoryServer
from tests.support.signing import signature_properties
from tests.web.rigs import ApiTestCase

ADDRESS = "192.0.2.1"


@implementer(IStore)
class Watched(FaultyStore):
    """A store that notes the deadline of the request that each call works for."""

    def __init__(self, inner: IStore) -> None:
        super().__init__(inner)
        self.deadlines: dict[str, float | None] = {}

    def do(self, name: str, call: Call) -> Deferred[Any]:
        """See FaultyStore."""
        request = current_request()
        self.deadlines[name] = None if request is None else request.deadline
        return super().do(name, call)


class TransferTests(ApiTestCase):
    """Requests that move data."""

    wrap_store = Watched
    tables: ClassVar[dict[str, Any] | None] = {"server": {"service_timeout": 7}}

    def test_lifted(self) -> None:
        """Transfers have no deadline, because they may take any time. A deletion has one."""
        image_id = self.server.image()["id"]
        self.assertEqual(self.server.put(image_id, b"data").status, 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image_id}/file").body, b"data")
        began = self.server.clock.seconds()
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image_id}").status, 204)
        deadlines = self.server.store().deadlines
        names = ("writer", "write", "commit", "reader", "delete")
        self.assertEqual({name: deadlines[name] for name in names}, dict.fromkeys(names) | {"delete": began + 7})


class BarbicanTests(SynchronousTestCase):
    """A Barbican that accepts no connection and refuses none."""

    def test_given_up(self) -> None:
        """An upload that waits for a certificate gets 503 at the deadline, although Barbican may take longer."""
        network = Network()
        network.names["barbican.test"] = [ADDRESS]
        network.silent = {ADDRESS}
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        tables = {
            "server": {"service_timeout": 7},
            "signatures": {"barbican": "http://barbican.test", "barbican_timeout": "1 min"},
        }
        server = MemoryServer(folder, tables, network=network)
        self.addCleanup(server.stop)
        image_id = server.image(**signature_properties(b"data"))["id"]
        connection = server.connect()
        head = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        connection.send(f"{head}Content-Length: 4\r\n\r\n".encode())
        network.advance(6.9)
        self.assertEqual((network.connected, connection.answers()), ([(ADDRESS, 80)], []))
        network.advance(0.2)
        [answer] = connection.answers()
        self.assertEqual((answer.status, server.show(image_id)["status"]), (503, "queued"))
