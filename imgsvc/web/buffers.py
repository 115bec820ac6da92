"""Sizes of the buffers of a connection: bytes that one read of its socket returns, and bytes that wait to be sent.

With few connections each one has large buffers, with many connections each one has small buffers.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from twisted.internet.interfaces import ISystemHandle

MANY: Final = 64
"""From this number of open connections on, few bytes may wait to be sent on each."""
HEAD_READ_SIZE: Final = 16 << 10
"""Bytes of one read while the parser expects a head. It bounds the parser's work in one turn of the reactor."""
BODY_READ_SIZE: Final = 256 << 10
"""Bytes of one read of a body, unless it is long. As many may follow its end in the same read."""
LARGEST_BODY_READ: Final = 2 << 20
"""Bytes of one read of a long body. Each read costs the same work in Python, whatever it returns."""
SMALLEST_BODY_READ: Final = 64 << 10
BODY_READS: Final = 16 << 20
"""Bytes that all connections together may read from their sockets in one turn of the reactor: some milliseconds."""
SECURE_PART: Final = 4
"""With TLS, a connection may read this part of what it may read without, because decryption takes longer."""
UNSENT: Final = 1 << 20
UNSENT_OF_MANY: Final = 256 << 10
"""Bytes that the kernel may hold unsent for a connection whose client has no room for them.

Without a limit the kernel holds up to 4 MiB (`net.ipv4.tcp_wmem`). A thousand clients that hardly read then fill all
the kernel's memory for TCP (`net.ipv4.tcp_mem`). It drops packets of other clients, which send them again after 0.2 s.
Bytes in transit do not count, so the limit does not slow down a distant client.
"""


def read_at_once(transport: Any, size: int) -> None:
    """Set the number of bytes of one read from the socket of `transport`, also below TLS. size: bytes."""
    _below_tls(transport).bufferSize = size


def body_read_size(expected: float, part: int, secure: bool) -> int:
    """Bytes of one read of a body.

    expected: bytes of the body that will probably arrive. part: bytes that this connection may read in one turn of the
    reactor. secure: whether the bytes come by TLS.
    """
    divisor = SECURE_PART if secure else 1
    most = max(SMALLEST_BODY_READ, min(LARGEST_BODY_READ, part) // divisor)
    return int(min(most, max(BODY_READ_SIZE, expected)))


def bound_unsent(transport: Any, connections: int) -> None:
    """Limit the bytes that the kernel holds unsent for a new transport. connections: number of open connections.

    Sets TCP_NOTSENT_LOWAT, see tcp(7). Unix sockets have no such option.
    """
    below = _below_tls(transport)
    if not ISystemHandle.providedBy(below):
        return
    handle = below.getHandle()
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # the client may be gone
            handle.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT if connections < MANY else UNSENT_OF_MANY
            )


def _below_tls(transport: Any) -> Any:
    return getattr(transport, "transport", transport)
