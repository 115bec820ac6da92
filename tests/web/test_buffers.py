"""The bytes that the kernel holds for the clients of the HTTP server, on connections of this machine."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from imgsvc.web.buffers import MANY, UNSENT, UNSENT_OF_MANY
from tests.support.waiting import PATIENCE
from tests.web.site_rig import SiteTestCase

PIECE = 64 << 10
SLACK = 256 << 10
"""Bytes beyond the limit: the client's receive buffer, and the piece that passed the limit."""
HERE = IPv4Address("TCP", "127.0.0.1", 1)


class UnsentTests(SiteTestCase):
    """Bytes that the kernel takes for a client that does not read."""

    def open(self, factory: IProtocolFactory) -> socket.socket:
        """The server's end of a connection whose client has a small receive buffer."""
        from twisted.internet import reactor

        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.socket()
            self.addCleanup(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(PATIENCE)
            client.connect(listening.getsockname())
            own, _ = listening.accept()
        own.setblocking(False)
        self.addCleanup(own.close)
        protocol: Any = factory.buildProtocol(HERE)
        port: Any = None  # only shown
        transport: Any = tcp.Server(own, protocol, (HERE.host, HERE.port), port, 1, reactor)
        transport.stopReading()
        protocol.makeConnection(transport)
        return own

    def taken(self, own: socket.socket) -> int:
        """The number of bytes that the kernel takes."""
        count = 0
        try:
            while True:
                count += own.send(bytes(PIECE))
        except BlockingIOError:
            return count

    def test_few(self) -> None:
        """With few connections, each may have much, with TLS and without."""
        for factory in (self.site, TLSMemoryBIOFactory(CertificateOptions(), False, self.site)):
            taken = self.taken(self.open(factory))
            self.assertGreater(taken, UNSENT_OF_MANY + SLACK)
            self.assertLess(taken, UNSENT + SLACK)

    def test_many(self) -> None:
        """With many connections, each may have little, with TLS and without."""
        for _ in range(MANY):
            self.connect()
        for factory in (self.site, TLSMemoryBIOFactory(CertificateOptions(), False, self.site)):
            self.assertLess(self.taken(self.open(factory)), UNSENT_OF_MANY + SLACK)

    def test_unix(self) -> None:
        """Unix sockets, which have no such limit, are served too."""
        from twisted.internet import reactor

        own, client = socket.socketpair()
        self.addCleanup(own.close)
        self.addCleanup(client.close)
        protocol: Any = self.site.buildProtocol(HERE)
        transport: Any = unix.Server(own, protocol, "", None, 1, reactor)
        transport.stopReading()
        protocol.makeConnection(transport)
        self.assertEqual(len(self.site.connections), 1)
