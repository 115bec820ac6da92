"""The store that reads from web servers, in a network in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import (
    ConfigurationError,
    ObjectDamaged,
    ObjectMissing,
    PartUnavailable,
    StoreReadOnly,
    StoreUnavailable,
    UrlRefused,
)
from imgsvc.interfaces import IStore, IStoreReader
from imgsvc.model import Location, Span, StoreUsage
from imgsvc.store_model import Scope, StoreSettings
from imgsvc.stores.http import HttpStore, make
from tests.support.certificates import write_certificate
from tests.support.network import Network, WebSite, answer
from tests.support.store_contract import Consumer, store_services

HOST = "93.184.215.14"
URL = "http://images.test/disk"
DATA = bytes(range(251)) * 100
WHOLE = Span(0, len(DATA))
LOCATION = Location("web", URL)


class HttpStoreTestCase(SynchronousTestCase):
    """A store and one site."""

    def setUp(self) -> None:
        self.network = Network()
        self.network.names["images.test"] = [HOST]
        self.site = self.network.servers[HOST, 80] = WebSite({"/disk": DATA, "/empty": b""})
        self.store = self.make()
        self.successResultOf(self.store.start())

    def make(self, **options: object) -> HttpStore:
        """A store with these options."""
        self.folder = Path(self.mktemp()).absolute()
        return make(StoreSettings("web"), options, store_services(self.folder, clock=self.network))

    def result(self, deferred: Deferred[Any]) -> Any:
        """The result of a call that is complete without more events."""
        self.network.advance(0)
        return self.successResultOf(deferred)

    def error(self, deferred: Deferred[Any], kind: type[Exception]) -> str:
        """The error of a call."""
        self.network.advance(0)
        return str(self.failureResultOf(deferred, kind).value)

    def read(self, span: Span = WHOLE, location: Location = LOCATION) -> bytes:
        """The bytes of a span."""
        reader = self.result(self.store.reader(location, span))
        consumer = Consumer()
        self.result(reader.startProducing(consumer))
        self.assertEqual(consumer.registrations, 1)
        reader.stopProducing()
        return consumer.data

    def serve(self, data: bytes) -> None:
        """Send this response from now on, and close."""
        self.network.servers[HOST, 80] = lambda exchange: (exchange.send(data), exchange.close())

    def assert_idle(self) -> None:
        """No connection is open, and there is no timer."""
        self.network.advance(0)
        self.assertTrue(all(exchange.closed for exchange in self.network.exchanges))
        self.assertEqual(self.network.getDelayedCalls(), [])


class StoreTests(HttpStoreTestCase):
    """The parts of the contract for a store that only reads."""

    def test_interfaces(self) -> None:
        """The store and its readers provide their interfaces."""
        verifyObject(IStore, self.store)
        reader = self.result(self.store.reader(LOCATION, WHOLE))
        verifyObject(IStoreReader, reader)
        reader.stopProducing()
        self.assert_idle()

    def test_attributes(self) -> None:
        """It is read-only, and has no properties."""
        info = self.store.info
        self.assertEqual((info.kind, info.read_only, dict(info.properties)), ("http", True, {}))
        self.assertEqual((info.scope, info.schemes, info.medium), (Scope.CLUSTER, ("http", "https"), None))
        self.assertEqual(self.result(self.store.usage()), StoreUsage(None, None))

    def test_takes_nothing(self) -> None:
        """There are no uploads, and nothing is left of any."""
        self.error(self.store.writer("name", "1", 5), StoreReadOnly)
        self.assertEqual(self.result(self.store.unfinished()), [])
        self.result(self.store.discard("name", "1"))
        self.result(self.store.finalize("name", "1"))
        self.result(self.store.stop())

    def test_delete(self) -> None:
        """The site is not asked, and its object stays."""
        self.result(self.store.delete(LOCATION))
        self.assertEqual(self.site.asked, [])
        self.assertEqual(self.read(), DATA)

    def test_locate(self) -> None:
        """http and https URLs belong to the store, unchanged. Others do not, and some are refused."""
        for url in (URL, f"{URL}#2", "https://images.test/disk?x=%20", "HTTP://Images.Test/disk"):
            self.assertEqual(self.store.locate(url, "any"), Location("web", url))
        for url in ("file:///disk", "memory:///any", "ftp://images.test/disk", "http:/images.test", ""):
            self.assertIsNone(self.store.locate(url, "any"), url)
        for url in ("http://localhost:22/", "http://127.0.0.1/", "http://a:b@images.test/", "http://"):
            with self.assertRaises(UrlRefused, msg=url):
                self.store.locate(url, "any")

    def test_spans(self) -> None:
        """Any part is read, requested as a range."""
        for start, length in ((0, len(DATA)), (0, 1), (len(DATA) - 1, 1), (100, 1000), (0, 0), (5, 0)):
            self.assertEqual(self.read(Span(start, length)), DATA[start : start + length])
            self.assert_idle()
        self.assertEqual(len(self.site.asked), 4)

    def test_missing(self) -> None:
        """404 and 410 mean that the object is missing."""
        for status in (404, 410):
            self.site.status = status
            self.error(self.store.reader(LOCATION, WHOLE), ObjectMissing)
            self.error(self.store.size(LOCATION), ObjectMissing)
            self.assert_idle()

    def test_unavailable(self) -> None:
        """Any other status is an error of the server."""
        for status in (301, 400, 401, 403, 500, 503, 204, 201):
            self.site.status = status
            self.error(self.store.reader(LOCATION, WHOLE), StoreUnavailable)
            self.error(self.store.size(LOCATION), StoreUnavailable)
            self.assert_idle()

    def test_not_reached(self) -> None:
        """A server that does not exist, and a URL that is not allowed any more, are errors."""
        del self.network.servers[HOST, 80]
        self.error(self.store.reader(LOCATION, WHOLE), StoreUnavailable)
        self.store = self.make(denied_hosts=["images.test"])
        self.error(self.store.reader(LOCATION, WHOLE), StoreUnavailable)
        self.error(self.store.size(LOCATION), StoreUnavailable)

    def test_stopped(self) -> None:
        """A reader that is stopped before it was read holds nothing."""
        reader = self.result(self.store.reader(LOCATION, WHOLE))
        reader.stopProducing()
        reader.stopProducing()
        self.assert_idle()
        empty = self.result(self.store.reader(LOCATION, Span(0, 0)))
        empty.pauseProducing()
        empty.resumeProducing()
        empty.stopProducing()


class SizeTests(HttpStoreTestCase):
    """The size of an object."""

    def test_head(self) -> None:
        """HEAD gives the size."""
        self.assertEqual(self.result(self.store.size(LOCATION)), len(DATA))
        self.assertEqual(self.result(self.store.size(Location("web", "http://images.test/empty"))), 0)
        self.assertEqual({line.split()[0] for line in self.site.asked}, {"HEAD"})
        self.assert_idle()

    def test_get(self) -> None:
        """If HEAD does not, GET does, and its body is not read."""
        self.site.head = False
        self.assertEqual(self.result(self.store.size(LOCATION)), len(DATA))
        self.assertEqual([line.split()[0] for line in self.site.asked], ["HEAD", "GET"])
        self.assert_idle()

    def test_untold(self) -> None:
        """A server that gives no size, or an invalid one, is refused."""
        for line in (
            b"Connection: close",
            b"Content-Length: x",
            b"Content-Length: -5",
            b"Content-Length: " + b"9" * 30,
        ):
            self.serve(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
            self.error(self.store.size(LOCATION), StoreUnavailable)
            self.assert_idle()


class LyingTests(HttpStoreTestCase):
    """Servers that send something else than requested."""

    def opened(self, kind: type[Exception], span: Span = WHOLE) -> None:
        """The reader does not open, and nothing stays open."""
        self.error(self.store.reader(LOCATION, span), kind)
        self.assert_idle()

    def broken(self, span: Span = WHOLE) -> bytes:
        """The bytes of a reader before it fails."""
        reader = self.result(self.store.reader(LOCATION, span))
        consumer = Consumer()
        reading = reader.startProducing(consumer)
        self.network.pump([1] * 31)
        self.failureResultOf(reading, StoreUnavailable)
        self.assert_idle()
        return consumer.data

    def test_no_ranges(self) -> None:
        """From a server without ranges the whole can be read, but no part."""
        self.site.ranges = False
        self.assertEqual(self.read(), DATA)
        self.opened(PartUnavailable, Span(0, 10))
        self.opened(PartUnavailable, Span(10, len(DATA) - 10))

    def test_other_range(self) -> None:
        """Another range, none, or several ranges are errors."""
        size = len(DATA)
        for line in (
            *(f"bytes 1-{size}/{size}", f"bytes 0-{size - 2}/{size}", f"bytes 0-{size}/{size}", "bytes 0-5/*"),
            *(f"bytes */{size}", "", "x", f"bits 0-{size - 1}/{size}", f"bytes 0-{size - 1}", f"bytes=0-{size - 1}/*"),
        ):
            self.serve(answer(206, DATA, f"Content-Range: {line}"))
            self.opened(StoreUnavailable)
        self.serve(answer(206, DATA))
        self.opened(StoreUnavailable)
        self.serve(answer(206, DATA[1:], f"Content-Range: bytes 0-{size - 1}/{size}"))
        self.opened(StoreUnavailable)

    def test_unknown_total(self) -> None:
        """The size of the whole may be unknown, and the length of the range missing."""
        head = f"HTTP/1.1 206 x\r\nContent-Range: bytes 0-{len(DATA) - 1}/*\r\n\r\n".encode()
        self.serve(head + DATA)
        self.assertEqual(self.read(), DATA)
        self.serve(head + DATA[:-1])
        self.assertEqual(self.broken(), DATA[:-1])

    def test_shorter(self) -> None:
        """An object that ends before the span is an error."""
        self.site.objects["/disk"] = DATA[:-1]
        self.opened(ObjectDamaged)
        self.site.ranges = False
        self.opened(ObjectDamaged)

    def test_longer(self) -> None:
        """An object that has grown is an error: a server without ranges cannot give a part of it."""
        self.site.objects["/disk"] = DATA + b"x"
        self.site.ranges = False
        self.opened(PartUnavailable)
        self.serve(b"HTTP/1.1 200 OK\r\n\r\n" + DATA + b"x")
        self.assertNotIn(b"x" * 2, self.broken())

    def test_encoded(self) -> None:
        """An encoded body, although none was requested, is refused."""
        self.serve(answer(200, DATA, "Content-Encoding: gzip"))
        self.opened(StoreUnavailable)
        self.error(self.store.size(LOCATION), StoreUnavailable)
        self.serve(answer(200, DATA, "Content-Encoding: identity"))
        self.assertEqual(self.read(), DATA)

    def test_short_body(self) -> None:
        """A body that ends before its announced length is an error."""
        self.serve(answer(200, DATA)[:-7])
        self.assertEqual(self.broken(), DATA[:-7])

    def test_hanging_body(self) -> None:
        """A body that stops is an error."""
        self.network.servers[HOST, 80] = lambda exchange: exchange.send(answer(200, DATA)[:-7])
        self.assertEqual(self.broken(), DATA[:-7])


class OptionTests(HttpStoreTestCase):
    """[stores.NAME] with kind = "http"."""

    def test_guard(self) -> None:
        """The operator's lists are passed to the guard."""
        store = self.make(
            allowed_hosts=[".test"],
            denied_hosts=["bad.test"],
            allowed_ports=[80, 8080, 22],
            denied_ports=[22],
            allow_private=True,
        )
        for url, takes in (
            *(("http://images.test/", True), ("http://images.test:8080/", True), ("http://bad.test/", False)),
            *(("http://images.example/", False), ("http://images.test:22/", False), ("https://images.test/", False)),
        ):
            if takes:
                self.assertIsNotNone(store.locate(url, "x"))
            else:
                with self.assertRaises(UrlRefused, msg=url):
                    store.locate(url, "x")
        self.network.names["images.test"] = ["10.0.0.1"]
        self.network.servers["10.0.0.1", 80] = self.site
        self.assertEqual(self.result(store.size(LOCATION)), len(DATA))

    def test_redirects(self) -> None:
        """No redirect is followed if none is allowed."""
        self.serve(answer(302, b"", "Location: http://images.test/other"))
        self.error(self.make(redirects=0).size(LOCATION), StoreUnavailable)
        self.assertEqual(len(self.network.exchanges), 1)

    def test_timeout(self) -> None:
        """A server that does not respond is given up after this time."""
        self.network.silent.add(HOST)
        sizing = self.make(timeout="2 s").size(LOCATION)
        self.network.pump([0.5] * 3)
        self.assertNoResult(sizing)
        self.network.pump([0.5] * 2)
        self.failureResultOf(sizing, StoreUnavailable)

    def test_wrong(self) -> None:
        """An invalid option is reported with its key."""
        for options, path in (
            ({"allowed_ports": ["80"]}, "allowed_ports"),
            ({"allowed_ports": 80}, "allowed_ports"),
            ({"denied_ports": [True]}, "denied_ports"),
            ({"allowed_hosts": ["http://x"]}, "allowed_hosts"),
            ({"timeout": 0}, "timeout"),
            ({"redirects": -1}, "redirects"),
            ({"path": "images"}, "path"),
        ):
            with self.assertRaisesRegex(ConfigurationError, f"^stores.web.{path}", msg=options):
                self.make(**options)

    def test_authorities(self) -> None:
        """A file of certificates is read at the start. One without certificates is refused."""
        self.make()
        self.folder.mkdir(parents=True)
        good, bad, none = self.folder / "good.pem", self.folder / "bad.pem", self.folder / "none.pem"
        write_certificate(good)
        bad.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
        none.write_text("nothing")
        self.make(ca_file=str(good))
        for file in (bad, none, self.folder / "absent.pem"):
            with self.assertRaisesRegex(ConfigurationError, f"^stores.web.ca_file = '{file}': "):
                self.make(ca_file=str(file))
