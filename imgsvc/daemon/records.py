"""Joins the records of TLS that one read of a socket brings.

A record has at most 16 KiB (RFC 8446, section 5.1). Twisted hands on each by itself, and handling it costs more than
decrypting it.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory


class JoiningTransport(BufferingTLSTransport):
    """The TLS of one connection of a StreamingChannel. Gives it all bytes of one read of the socket in one piece."""

    wrappedProtocol: Any

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport below TLS."""
        channel = self.wrappedProtocol
        channel.gather()
        super().dataReceived(data)
        channel.receive_gathered()


class JoiningFactory(TLSMemoryBIOFactory):
    """Adds TLS to the connections of a StreamingSite."""

    protocol = JoiningTransport
