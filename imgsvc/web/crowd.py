"""How many connections a process has open, and which of them have to go for new ones."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final, Protocol

from attrs import field, frozen
from twisted.internet.address import IPv4Address as TCP4
from twisted.internet.address import IPv6Address as TCP6
from twisted.internet.interfaces import IReactorTime

from imgsvc.logger import make_logger
from imgsvc.peers import Peers

log = make_logger()

FRESH: Final = 1.0
"""Seconds for which an idle connection is left in peace: its client is about to send its request."""
REFUSALS: Final = 64
"""Connections that are told at the same time why they are refused. Who comes beyond that is only cut off."""
LOG_PAUSE: Final = 10.0
"""Seconds between two lines of the log about refused connections."""


@frozen
class CrowdLimits:
    """connections: most that may be open. per_peer: of one peer; 0: no limit. exempt: peers without such a limit."""

    connections: int
    per_peer: int = 0
    exempt: Peers = field(factory=lambda: Peers((), ""))


class Connection(Protocol):
    """What a Crowd does with a connection."""

    transport: Any

    def close_idle(self) -> None:
        """End, although the client may be about to send a request."""


class Crowd:
    """The open connections of a process.

    When there are as many as may be, a new one takes the place of that which has been idle for longest, be it between
    two requests or before the first; where none is idle, the new one is refused.
    """

    def __init__(self, clock: IReactorTime, limits: CrowdLimits) -> None:
        self.limits = limits
        self._clock = clock
        self._connections: set[Any] = set()
        self._refused: set[Any] = set()
        self._idle: dict[Any, float] = {}
        self._peer_of: dict[Any, str] = {}
        self._peers: dict[str, dict[Any, None]] = {}
        self._not_logged = 0
        self._log_at = 0.0

    def __len__(self) -> int:
        return len(self._connections) + len(self._refused)

    def __iter__(self) -> Iterator[Any]:
        """Over a copy."""
        return iter([*self._connections, *self._refused])

    def enter(self, connection: Connection) -> bool:
        """Count a new connection. Whether it may stay; it must `leave` in any case."""
        peer = self._limited_peer(connection)
        if not self._has_place(peer):
            self._refused.add(connection)
            self._tell_of_refusal(connection)
            return False
        self._connections.add(connection)
        if peer is not None:
            self._peer_of[connection] = peer
            self._peers.setdefault(peer, {})[connection] = None
        self.idle(connection)
        return True

    @property
    def may_tell(self) -> bool:
        """Whether a connection that was refused may be told so."""
        return len(self._refused) <= REFUSALS

    def leave(self, connection: Connection) -> None:
        """The connection has ended."""
        self._connections.discard(connection)
        self._refused.discard(connection)
        self._idle.pop(connection, None)
        peer = self._peer_of.pop(connection, None)
        if peer is not None:
            del self._peers[peer][connection]
            if not self._peers[peer]:
                del self._peers[peer]

    def idle(self, connection: Connection) -> None:
        """No request is under way on it."""
        if connection in self._connections:
            self._idle.pop(connection, None)  # the others have been idle for longer
            self._idle[connection] = self._clock.seconds()

    def busy(self, connection: Connection) -> None:
        """The head of a request is complete."""
        self._idle.pop(connection, None)

    def _has_place(self, peer: str | None) -> bool:
        """Whether one more of this peer may stay, after an idle one had to go if need be."""
        of_peer = self._peers.get(peer, {}) if peer is not None else {}
        if self.limits.per_peer and len(of_peer) >= self.limits.per_peer:
            mine = [one for one in of_peer if one in self._idle]
            return bool(mine) and self._close(min(mine, key=self._idle.__getitem__))
        if len(self._connections) >= self.limits.connections:
            return bool(self._idle) and self._close(next(iter(self._idle)))
        return True

    def _close(self, connection: Connection) -> bool:
        """Whether this idle connection could be closed."""
        if self._clock.seconds() - self._idle[connection] < FRESH:
            return False
        self.busy(connection)
        connection.close_idle()
        return True

    def _limited_peer(self, connection: Connection) -> str | None:
        """What counts as one peer: an address of IPv4, a /64 of IPv6. None: nothing is counted."""
        address = connection.transport.getPeer()
        if not isinstance(address, TCP4 | TCP6) or address in self.limits.exempt:
            return None
        host = ip_address(address.host.partition("%")[0])
        if isinstance(host, IPv6Address) and host.ipv4_mapped is None:
            return str(ip_network((host, 64), strict=False))
        return str(getattr(host, "ipv4_mapped", None) or host)

    def _tell_of_refusal(self, connection: Connection) -> None:
        self._not_logged += 1
        if self._clock.seconds() >= self._log_at:
            self._log_at = self._clock.seconds() + LOG_PAUSE
            log.warn(
                "{count} connections were refused, the last one of {peer}: {open} are open",
                count=self._not_logged,
                peer=connection.transport.getPeer(),
                open=len(self._connections),
            )
            self._not_logged = 0
