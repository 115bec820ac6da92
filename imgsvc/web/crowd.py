"""Limits the open connections of a process, and closes idle ones to make room for new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from attrs import field, frozen
from twisted.internet.address import IPv4Address as TCP4
from twisted.internet.address import IPv6Address as TCP6
from twisted.internet.interfaces import IReactorTime

from imgsvc.logger import make_logger
from imgsvc.peers import Peers, counted_as

log = make_logger()

FRESH: Final = 1.0
"""Seconds for which an idle connection is not closed, because its client may be about to send a request."""
REFUSALS: Final = 64
"""Connections that may be open to receive a refusal at one time. Any further connection is closed without one."""
LOG_PAUSE: Final = 10.0
"""Seconds between two log lines about refused connections."""


@frozen
class CrowdLimits:
    """connections: how many may be open.

    per_peer: how many of one peer; 0: no limit. exempt: peers without that limit.
    """

    connections: int
    per_peer: int = 0
    exempt: Peers = field(factory=lambda: Peers((), ""))


class Connection(Protocol):
    """The part of a connection that a Crowd uses."""

    transport: Any

    def close_idle(self) -> None:
        """Close the connection, although the client may be about to send a request."""


class Crowd:
    """The open connections of a process.

    At the limit, the connection that has been idle for the longest time is closed for a new one. A connection is idle
    between two requests and before its first one. If none is idle, the new connection is refused.
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

    @property
    def busy_count(self) -> int:
        """How many connections are not idle."""
        return len(self) - len(self._idle)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over a copy."""
        return iter([*self._connections, *self._refused])

    def enter(self, connection: Connection) -> bool:
        """Count a new connection, which must `leave` in any case. Returns whether it may stay."""
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
        """Whether a refused connection may receive the reason."""
        return len(self._refused) <= REFUSALS

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._connections.discard(connection)
        self._refused.discard(connection)
        self._idle.pop(connection, None)
        peer = self._peer_of.pop(connection, None)
        if peer is not None:
            del self._peers[peer][connection]
            if not self._peers[peer]:
                del self._peers[peer]

    def idle(self, connection: Connection) -> None:
        """Note that no request runs on a connection."""
        if connection in self._connections:
            self._idle.pop(connection, None)  # move it to the end: the dict is ordered by the time at which a
            # connection became idle
            self._idle[connection] = self._clock.seconds()

    def busy(self, connection: Connection) -> None:
        """Note that the head of a request is complete."""
        self._idle.pop(connection, None)

    def _has_place(self, peer: str | None) -> bool:
        """Whether one more connection of this peer may stay. Closes an idle one if that is necessary."""
        of_peer = self._peers.get(peer, {}) if peer is not None else {}
        if self.limits.per_peer and len(of_peer) >= self.limits.per_peer:
            mine = [one for one in of_peer if one in self._idle]
            return bool(mine) and self._close(min(mine, key=self._idle.__getitem__))
        if len(self._connections) >= self.limits.connections:
            return bool(self._idle) and self._close(next(iter(self._idle)))
        return True

    def _close(self, connection: Connection) -> bool:
        """Close an idle connection, unless it is fresh. Returns whether it was closed."""
        if self._clock.seconds() - self._idle[connection] < FRESH:
            return False
        self.busy(connection)
        connection.close_idle()
        return True

    def _limited_peer(self, connection: Connection) -> str | None:
        """The key that connections are counted by: an IPv4 address, or an IPv6 network of /64. None: the peer has no
        limit.
        """
        address = connection.transport.getPeer()
        if not isinstance(address, TCP4 | TCP6) or address in self.limits.exempt:
            return None
        return counted_as(address.host)

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
