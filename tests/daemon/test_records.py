"""The HTTP server under TLS, with a client whose TLS is in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from imgsvc.daemon.records import JoiningFactory
from tests.support.certificates import write_certificate
from tests.web.site_rig import Keeper, SiteTestCase, answer, head

RECORD = 16 << 10
"""Bytes that a client sends at once: one record."""


class CountingKeeper(Keeper):
    """A consumer that counts its writes."""

    writes = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.writes += 1


class Wire(StringTransport):
    """A transport below TLS."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See ITCPTransport."""


class RecordTests(SiteTestCase):
    """Records that come in one read of a socket."""

    def setUp(self) -> None:
        super().setUp()
        path = Path(self.mktemp())
        write_certificate(path)
        self.certificate: CertificateOptions = PrivateCertificate.loadPEM(path.read_bytes()).options()
        self.keeper = CountingKeeper()
        self.route = lambda request: request.body.startProducing(self.keeper).addCallbacks(
            lambda _: answer(request, b"%d" % len(self.keeper.data)), lambda failure: self.failures.append(failure)
        )
        self.failures: list[Failure] = []

    def connect_by(self, factory: type[TLSMemoryBIOFactory]) -> None:
        """Open a connection, and shake hands."""
        self.wire = Wire(lenient=True)
        self.server: Any = factory(self.certificate, False, self.site, self.clock).buildProtocol(None)
        self.server.makeConnection(self.wire)
        self.client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.client.set_connect_state()
        for _ in range(3):
            try:
                self.client.do_handshake()
            except SSL.WantReadError:
                self.exchange()
        self.exchange()

    def exchange(self) -> None:
        """Take what the client has to send to the server in one read, and what the server has sent to the client."""
        if sent := self.sent():
            self.server.dataReceived(sent)
        if self.wire.value():
            self.client.bio_write(self.wire.value())
        self.wire.clear()

    def sent(self) -> bytes:
        """What the client has to send."""
        try:
            return self.client.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def upload(self, data: bytes) -> None:
        """Send the head of a request and then, in one read, its body."""
        self.client.send(head("PUT /", f"Content-Length: {len(data)}"))
        self.exchange()
        for start in range(0, len(data), RECORD):
            self.client.send(data[start : start + RECORD])

    def test_one_piece(self) -> None:
        """They become one piece. Twisted alone makes a piece of each."""
        data = bytes(range(256)) * 512
        for factory, pieces in ((JoiningFactory, 1), (TLSMemoryBIOFactory, len(data) // RECORD)):
            self.keeper = CountingKeeper()
            self.connect_by(factory)
            self.upload(data)
            self.exchange()
            self.assertEqual(bytes(self.keeper.data), data)
            self.assertEqual(self.keeper.writes, pieces)
            self.clock.advance(0)
            self.exchange()
            self.assertIn(b"%d" % len(data), self.client.recv(1 << 16))

    def test_closed_behind_the_body(self) -> None:
        """A body arrives whole if the client ends TLS in the same read."""
        data = bytes(3 * RECORD)
        self.connect_by(JoiningFactory)
        self.upload(data)
        self.client.shutdown()
        self.exchange()
        self.assertEqual(len(self.keeper.data), len(data))
        self.assertEqual(self.failures, [])

    def test_garbage_behind_records(self) -> None:
        """Records before bytes that are no TLS count, and the connection ends."""
        self.connect_by(JoiningFactory)
        self.upload(bytes(3 * RECORD))
        whole = self.sent()
        self.server.dataReceived(whole[: 2 * RECORD + RECORD // 2] + bytes(RECORD))
        self.assertEqual(len(self.keeper.data), 2 * RECORD)
        self.server.connectionLost(Failure(connectionDone.value))
        self.assertEqual(len(self.failures), 1)

    def test_lost_within_a_read(self) -> None:
        """If the connection is lost within a read, nothing of that read is handled later."""
        self.connect_by(JoiningFactory)
        channel = self.server.wrappedProtocol
        channel.gather()
        channel.dataReceived(head("PUT /", "Content-Length: 5") + b"hello")
        channel.connectionLost(connectionDone)
        channel.receive_gathered()
        self.assertEqual(self.requests, [])
