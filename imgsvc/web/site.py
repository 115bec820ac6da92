"""The HTTP/1.1 server: its settings, and what its connections share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web import server
from twisted.web.resource import IResource

from imgsvc.web.ahead import AheadTurns
from imgsvc.web.buffers import BODY_READS
from imgsvc.web.channel import StreamingChannel
from imgsvc.web.crowd import Crowd, CrowdLimits
from imgsvc.web.request import StreamingRequest

AccessLog = Callable[[StreamingRequest, float], None]
"""Called with each request that is finished, or whose client is gone, and its seconds since the last header."""


class StreamingSite(server.Site):
    """Makes a StreamingChannel for every connection. Speaks HTTP/1.1 only.

    idle_timeout: seconds for which a client may send nothing. minimum_rate: bytes per second of a body; 0: no minimum.
    access_log: None: no access log. body_reads: bytes of bodies that one turn of the reactor may read.
    """

    protocol: Any = StreamingChannel
    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: Any,
        idle_timeout: float,
        limits: CrowdLimits,
        minimum_rate: int = 0,
        access_log: AccessLog | None = None,
        body_reads: int = BODY_READS,
    ) -> None:
        super().__init__(resource, StreamingRequest, timeout=idle_timeout, reactor=clock)
        self.connections = Crowd(clock, limits)
        self.turns = AheadTurns(clock)
        self.idle_timeout = idle_timeout
        self.minimum_rate = minimum_rate
        self.body_reads = body_reads
        self._access_log = access_log

    def renew(
        self,
        resource: IResource,
        idle_timeout: float,
        limits: CrowdLimits,
        minimum_rate: int,
        access_log: AccessLog | None,
    ) -> None:
        """Replace these settings, for new requests and new connections. For their meanings see the class."""
        self.resource, self.timeOut, self._access_log = resource, idle_timeout, access_log
        self.idle_timeout, self.minimum_rate, self.connections.limits = idle_timeout, minimum_rate, limits

    def acceptableProtocols(self) -> list[bytes]:
        """See IProtocolNegotiationFactory."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Does nothing: there is no access log file to open."""

    def stopFactory(self) -> None:
        """Does nothing: there is no file to close."""

    def log(self, request: Any) -> None:
        """Called by each request when it is finished, or when its client is gone."""
        if self._access_log is not None:
            self._access_log(request, max(0.0, self.reactor.seconds() - request.begun))

    def finish_connections(self) -> None:
        """Close the idle connections now, and each other connection after its response."""
        for channel in self.connections:
            channel.finish_soon()

    def cut_connections(self) -> None:
        """Abort every open connection."""
        for channel in self.connections:
            channel.transport.abortConnection()
