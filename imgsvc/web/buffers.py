"""How many bytes are read from a connection's socket at once, and how many wait in it for a client that does not read.

A process with few connections gives each of them large buffers; one with many gives each of them small ones.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from twisted.internet.interfaces import ISystemHandle

MANY: Final = 64
"""Open connections of a process from which on they are many."""
HEAD_READ_SIZE: Final = 16 << 10
"""Bytes read at once for heads: what a client may make the parser do in one turn of the reactor."""
BODY_READ_SIZE: Final = 256 << 10
BODY_READ_SIZE_OF_MANY: Final = 64 << 10
"""Bytes read at once for a body."""
UNSENT: Final = 1 << 20
UNSENT_OF_MANY: Final = 256 << 10
"""Bytes that the kernel may hold for a connection and has not begun to send, because the client has no room for them.

By itself it takes up to 4 MiB (`net.ipv4.tcp_wmem`). A thousand clients that hardly read then fill all the memory that
it has for TCP (`net.ipv4.tcp_mem`), and it drops what other clients send, who send that again after 0.2 s. What is on
its way over the network is not counted, so a distant client is as fast as without this limit.
"""


def read_at_once(transport: Any, size: int) -> None:
    """Set how many bytes are read from the socket of `transport` at once, and held for it: also of one under TLS."""
    _below_tls(transport).bufferSize = size


def body_read_size(connections: int) -> int:
    """Bytes to be read at once for a body, when so many connections are open."""
    return BODY_READ_SIZE if connections < MANY else BODY_READ_SIZE_OF_MANY


def bound_unsent(transport: Any, connections: int) -> None:
    """Bound the bytes that the kernel holds unsent for `transport`, which is new, when so many connections are open.

    Sets TCP_NOTSENT_LOWAT, see tcp(7). Unix sockets have no such option: both ends are on this machine.
    """
    below = _below_tls(transport)
    if not ISystemHandle.providedBy(below):
        return
    handle = below.getHandle()
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # the client may have gone already
            handle.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT if connections < MANY else UNSENT_OF_MANY
            )


def _below_tls(transport: Any) -> Any:
    return getattr(transport, "transport", transport)
