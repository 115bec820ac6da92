"""The store that reads from web servers, with real servers in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File
from twisted.web.util import Redirect

from imgsvc.errors import ObjectMissing, StoreUnavailable
from imgsvc.model import Location, Span
from imgsvc.store_model import StoreSettings
from imgsvc.stores.http import HttpStore, make
from tests.support.certificates import write_certificate
from tests.support.store_contract import Consumer, read, store_services

reactor: Any = installed
DATA = bytes(range(251)) * 20_000
"""About 5 MB, which is more than the buffers of a socket."""


class Endless(Resource):
    """Sends as long as the client reads."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.lost: Deferred[None] = Deferred()

    def render_GET(self, request: Any) -> int:
        """See Resource."""
        request.setResponseCode(206)
        request.setHeader(b"content-range", b"bytes 0-999999999/1000000000")
        request.setHeader(b"content-length", b"1000000000")
        request.notifyFinish().addErrback(lambda _: self.lost.callback(None))
        request.registerProducer(self, False)
        self._request = request
        return NOT_DONE_YET

    def resumeProducing(self) -> None:
        """See IPullProducer."""
        self.sent += 1 << 16
        self._request.write(bytes(1 << 16))

    def stopProducing(self) -> None:
        """See IPullProducer."""


class Cutting(Resource):
    """Announces the whole, sends a part, and closes."""

    isLeaf = True

    def render_GET(self, request: Any) -> int:
        """See Resource."""
        request.setHeader(b"content-length", b"%d" % len(DATA))
        request.write(DATA[:1000])
        reactor.callLater(0, request.transport.loseConnection)
        return NOT_DONE_YET


class Silent(Resource):
    """Never responds."""

    isLeaf = True

    def render(self, request: Any) -> int:
        """See Resource."""
        return NOT_DONE_YET


class ServerTestCase(TestCase):
    """A server with a file of DATA."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        (self.folder / "disk").write_bytes(DATA)
        self.root = Resource()
        self.root.putChild(b"disk", File(str(self.folder / "disk")))
        self.site = Site(self.root)
        self.site.displayTracebacks = False
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.number = self.port.getHost().port

    def make(self, **options: object) -> HttpStore:
        """A store that may read from the server."""
        given = {"allow_private": True, "allowed_ports": [self.number], "timeout": 5, **options}
        return make(StoreSettings("web"), given, store_services(self.folder, clock=reactor))

    def location(self, path: str = "disk", scheme: str = "http") -> Location:
        """The location of an object on the server."""
        return Location("web", f"{scheme}://127.0.0.1:{self.number}/{path}")


class HttpServerTests(ServerTestCase):
    """Tests over sockets."""

    async def test_whole_and_parts(self) -> None:
        """The size, the whole and any part can be read."""
        store = self.make()
        self.assertEqual(await store.size(self.location()), len(DATA))
        self.assertEqual(await read(store, self.location()), DATA)
        self.assertEqual(await read(store, self.location(), Span(1234, 70_000)), DATA[1234:71_234])
        with self.assertRaises(ObjectMissing):
            await store.size(self.location("nothing"))

    async def test_name(self) -> None:
        """The system looks the name up, and the guard checks its addresses."""
        location = Location("web", f"http://localhost:{self.number}/disk")
        self.assertEqual(await read(self.make(), location, Span(0, 10)), DATA[:10])
        with self.assertRaises(StoreUnavailable):
            await self.make(allow_private=False).size(location)

    async def test_backpressure(self) -> None:
        """An endless body is read no faster than the consumer takes, and its connection closed after a stop."""
        endless = Endless()
        self.root.putChild(b"endless", endless)
        reader = await self.make().reader(self.location("endless"), Span(0, 1_000_000_000))
        consumer = Consumer(pausing=True)
        reading = reader.startProducing(consumer)
        await consumer.first_write
        sent = -1
        while sent != endless.sent:  # until all buffers in between are full
            sent = endless.sent
            settled: Deferred[None] = Deferred()
            reactor.callLater(0.2, settled.callback, None)
            await settled
        self.assertLess(endless.sent, 64 << 20)
        self.assertLess(len(consumer.data), 1 << 20)
        reader.stopProducing()
        await endless.lost
        self.failureResultOf(reading)

    async def test_cut(self) -> None:
        """A body that is cut fails, after the bytes that came."""
        self.root.putChild(b"cutting", Cutting())
        reader = await self.make().reader(self.location("cutting"), Span(0, len(DATA)))
        consumer = Consumer()
        with self.assertRaises(StoreUnavailable):
            await reader.startProducing(consumer)
        self.assertEqual(consumer.data, DATA[:1000])
        reader.stopProducing()

    async def test_silence(self) -> None:
        """A server that never responds is given up."""
        self.root.putChild(b"silent", Silent())
        with self.assertRaises(StoreUnavailable):
            await self.make(timeout=0.3).size(self.location("silent"))


class TlsTests(ServerTestCase):
    """Tests over TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.pem = self.folder / "server.pem"
        write_certificate(self.pem)
        certificate = PrivateCertificate.loadPEM(self.pem.read_bytes())
        port = reactor.listenSSL(0, self.site, certificate.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.number = port.getHost().port

    async def test_trusted(self) -> None:
        """A server with a certificate of an authority that the operator named is accepted."""
        store = self.make(ca_file=str(self.pem))
        self.assertEqual(await store.size(self.location(scheme="https")), len(DATA))
        self.assertEqual(await read(store, self.location(scheme="https")), DATA)

    async def test_no_way_back(self) -> None:
        """A redirect from https to http is not followed. One to https is."""
        store = self.make(ca_file=str(self.pem), allowed_ports=[])
        plain = f"http://127.0.0.1:{self.port.getHost().port}/disk"
        self.root.putChild(b"down", Redirect(plain.encode()))
        self.root.putChild(b"along", Redirect(self.location(scheme="https").url.encode()))
        self.assertEqual(await store.size(self.location("along", "https")), len(DATA))
        with self.assertRaisesRegex(StoreUnavailable, "from https to http"):
            await store.size(self.location("down", "https"))

    async def test_not_trusted(self) -> None:
        """Without the authority, or with another name, the server is refused."""
        with self.assertRaises(StoreUnavailable):
            await self.make().size(self.location(scheme="https"))
        with self.assertRaises(StoreUnavailable):
            location = Location("web", f"https://localhost:{self.number}/disk")
            await self.make(ca_file=str(self.pem)).size(location)
