"""The HTTP/1.1 server: requests that reach their route when the headers are complete, with the body still unread.

twisted.web calls a resource after the whole body was read. Here the channel begins a request once its parser is done
with what one read of the socket brought, and the body is a producer (`web/body.py`).

This module and `web/request.py` are the ones that touch names which Twisted does not promise to keep, here those of
HTTPChannel: `_version`, `_waitingForTransport`, `_receivedHeaderSize`, `_receivedHeaderCount`, `_transferDecoder`,
`_respondToBadRequestAndDisconnect`, `_finishRequestBody`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txaio
from twisted.internet import interfaces
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource
from zope.interface import implementer

from imgsvc.errors import BodyCut, BodyMalformed
from imgsvc.web import head
from imgsvc.web.chunked import ChunkedDecoder, MalformedChunks
from imgsvc.web.request import StreamingRequest

log = txaio.make_logger()

LINGER_BYTES = 1 << 20
LINGER_TIME = 5.0
"""Bytes, and seconds, for which a refused body is read and dropped, so that the client gets to read the answer."""
HEAD_READ_SIZE = 16 << 10
"""Bytes read from a socket at once for heads: what a client may make the parser do in one turn of the reactor."""
BODY_READ_SIZE = 256 << 10
BODY_READ_SIZE_OF_MANY = 64 << 10
MANY = 64
"""Bytes read at once for a body, and when this many connections or more are open."""

AccessLog = Callable[[StreamingRequest, float], None]
"""Called with each request that is finished, or whose client has gone, and the seconds from its last header to then."""


@implementer(interfaces.IHalfCloseableProtocol)
class StreamingChannel(http.HTTPChannel):
    """One connection.

    While its parser is in line mode, it is idle or reads a head; then it reads a body, or waits for an answer. At the
    end of a refused request it lingers.
    """

    site: StreamingSite
    transport: Any
    _head_begun = False
    _body_paused = False
    _going_on = False
    _linger: int | None = None

    def connectionMade(self) -> None:
        """Called by the transport."""
        self.site.connections.add(self)
        self.transport.bufferSize = HEAD_READ_SIZE
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the transport."""
        self.site.connections.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        if self._linger is not None:
            self._linger -= len(data)
            if self._linger <= 0:
                self.transport.pauseProducing()  # the time-out ends it
            return
        try:
            if self.line_mode and self._head_begun:
                LineReceiver.dataReceived(self, data)  # a slow head has one time-out, not one a byte
            else:
                self._head_begun = bool(self.line_mode)
                if not self.line_mode and not self._reads_body:
                    self.transport.pauseProducing()  # no more than one read is kept of requests that must wait
                super().dataReceived(data)
        except MalformedChunks:
            self._respondToBadRequestAndDisconnect()
        self._go_on()

    @property
    def _reads_body(self) -> bool:
        return not self.line_mode and bool(self.requests) and self.requests[-1].body_pending

    def _go_on(self) -> None:
        """Let the requests go on that the parser has met: outside of the parser, and one after the other.

        Who does not take its answers waits for the next one, no longer than the time-out.
        """
        if self._going_on:
            return  # the answer to one request had the next one parsed: the loop below comes to it
        self._going_on = True
        last = None
        while self._linger is None and not self.line_mode and self.requests and self.requests[-1] is not last:
            if self._waitingForTransport:
                self.transport.pauseProducing()
                self.setTimeout(self.site.timeOut)
                break
            last = self.requests[-1]
            last.go_on()
        self._going_on = False

    def readConnectionLost(self) -> None:
        """See IHalfCloseableProtocol: the client sends no more; it may still wait for the answer to what it sent."""
        self.persistent = False
        if self._linger is not None or self.line_mode or self._reads_body:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """See IHalfCloseableProtocol: the answer was sent, and the client may read it."""

    def finish_soon(self) -> None:
        """The server stops: end now if no head is complete, else after the answer that is under way."""
        self.persistent = False
        if self.line_mode:
            self.loseConnection()

    def timeoutConnection(self) -> None:
        """Called when the client was silent for too long."""
        if self._linger is not None:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()

    # --- what must be refused

    def lineReceived(self, line: bytes) -> None:
        """Called by the parser."""
        if line[:1] in (b" ", b"\t"):
            self.refuse(head.FOLDED)
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called by the parser."""
        self.refuse(head.HEAD_TOO_LARGE if self.requests else head.LINE_TOO_LONG)

    def headerReceived(self, line: bytes) -> bool:
        """Called by the parser."""
        if (refusal := head.check_header(line)) is not None:
            self.refuse(refusal)
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Called by the parser."""
        self._head_begun = False
        request = self.requests[-1]
        if (refusal := head.check_headers(request.requestHeaders, self._version)) is not None:
            self.refuse(refusal)
            return
        head.unify_connection(request.requestHeaders)
        if self.length is None:
            self._transferDecoder = ChunkedDecoder(request.handleContentChunk, self._finishRequestBody)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Called by the parser at the end of a request."""
        if self._linger is None:  # the parser takes the head of a refused request for one without a body
            super().allContentReceived()
            if self.requests[-1].finished:
                super().requestDone(self.requests[-1])

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._reads_body:  # its consumer is told, and the route answers
            self.requests[-1].body.lost(Failure(BodyMalformed("The chunked encoding of the body is broken.")))
            self.pause_body()
        elif self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(head.HEAD_TOO_LARGE)
        else:
            self.refuse(head.NOT_HTTP)

    def refuse(self, refusal: head.Refusal) -> None:
        """Answer a request that cannot be read, and close."""
        self.transport.write(refusal.answer)
        log.info("{peer}: {code} {text}", peer=self.transport.getPeer(), code=refusal.code, text=refusal.text.decode())
        self._close_gently()

    def _close_gently(self) -> None:
        """Close so that the client can read the answer: unread bytes would make it a reset (RFC 9112 section 9.6)."""
        self._linger = LINGER_BYTES
        self.clearLineBuffer()
        self.setRawMode()
        self.transport.unregisterProducer()
        if not self.isSecure():
            self.transport.loseWriteConnection()  # flush, then FIN; reading goes on
        self.transport.resumeProducing()
        self.setTimeout(LINGER_TIME)

    # --- the body

    def pause_body(self) -> None:
        """See BodySource. A slow store is not a slow client: no time-out runs meanwhile."""
        self._body_paused = True
        self.transport.pauseProducing()
        self.setTimeout(None)

    def resume_body(self) -> None:
        """See BodySource."""
        self._body_paused = False
        self.transport.bufferSize = BODY_READ_SIZE if len(self.site.connections) < MANY else BODY_READ_SIZE_OF_MANY
        if not self._waitingForTransport:  # who does not read its answers is not read either
            self.transport.resumeProducing()
        if self._reads_body:
            self.setTimeout(self.site.timeOut)

    def send_continue(self) -> None:
        """See BodySource."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def resumeProducing(self) -> None:
        """Called by the transport when what was written is on its way."""
        super().resumeProducing()
        if self._body_paused:
            self.transport.pauseProducing()
        self._go_on()

    def requestDone(self, request: StreamingRequest) -> None:
        """Called by the request when it is finished."""
        if request.body_pending:
            request.body.fail(Failure(BodyCut("The answer came before the body was whole.")))
        self._body_paused = False
        self.transport.bufferSize = HEAD_READ_SIZE
        self.setTimeout(self.site.timeOut)  # setTimeout(None) has forgotten it
        if not request.body_pending:
            super().requestDone(request)
        elif self.persistent:
            self.resume_body()  # the little that is left is dropped
        else:
            self.requests.remove(request)
            self._close_gently()


class StreamingSite(server.Site):
    """Makes a StreamingChannel for every connection. HTTP/1.1 only.

    access_log: None: there is none. idle_timeout: seconds for which a client may send nothing.
    """

    protocol: Any = StreamingChannel
    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: Any,
        idle_timeout: float,
        access_log: AccessLog | None = None,
    ) -> None:
        super().__init__(resource, StreamingRequest, timeout=idle_timeout, reactor=clock)
        self.connections: set[StreamingChannel] = set()
        self._access_log = access_log

    def renew(self, resource: IResource, idle_timeout: float, access_log: AccessLog | None) -> None:
        """Take these in the place of those that it was made with: for new requests, and new connections."""
        self.resource, self.timeOut, self._access_log = resource, idle_timeout, access_log

    def acceptableProtocols(self) -> list[bytes]:
        """See IProtocolNegotiationFactory."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Nothing to open: the access log goes to the log."""

    def stopFactory(self) -> None:
        """Nothing to close."""

    def log(self, request: Any) -> None:
        """Called by each request when it is finished, or its client gone."""
        if self._access_log is not None:
            self._access_log(request, max(0.0, self.reactor.seconds() - request.begun))

    def finish_connections(self) -> None:
        """Close the idle connections, and each other one when its answer is complete."""
        for channel in list(self.connections):
            channel.finish_soon()

    def cut_connections(self) -> None:
        """Break off every connection that is still open."""
        for channel in list(self.connections):
            channel.transport.abortConnection()
