"""One connection of the HTTP/1.1 server.

A request reaches its route when its headers are complete, before its body is read.

twisted.web calls a resource only after the whole body was read. Here the channel starts a request when its parser has
returned from one read of the socket. The body is a producer (`web/body.py`).

Only this module and `web/request.py` use names that are not part of Twisted's public API. Here they are those of
HTTPChannel: `_version`, `_waitingForTransport`, `_dataBuffer`, `_receivedHeaderSize`, `_receivedHeaderCount`,
`_transferDecoder`, `_respondToBadRequestAndDisconnect`, `_finishRequestBody`.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet import interfaces
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from imgsvc.errors import BodyCut, BodyMalformed
from imgsvc.logger import make_logger
from imgsvc.rates import RateWatch
from imgsvc.web import request_checks
from imgsvc.web.ahead import AheadTurns
from imgsvc.web.buffers import BODY_READ_SIZE, HEAD_READ_SIZE, body_read_size, bound_unsent, read_at_once
from imgsvc.web.chunked import ChunkedDecoder, MalformedChunks
from imgsvc.web.crowd import Crowd
from imgsvc.web.request import StreamingRequest

log = make_logger()

LINGER_BYTES = 1 << 20
LINGER_TIME = 5.0
"""Bytes, and seconds, for which a refused body is read and dropped, so that the client can read the response."""
HEAD_TIME = 60.0
"""Seconds in which a head must arrive, from its first byte to its last, unless the idle timeout is shorter."""


class ChannelSite(Protocol):
    """What a connection needs of its site.

    timeOut, idle_timeout: seconds. minimum_rate: bytes per second of a body. body_reads: bytes of all bodies together
    that may be read in one turn of the reactor.
    """

    connections: Crowd
    turns: AheadTurns
    timeOut: float | None
    idle_timeout: float
    minimum_rate: int
    body_reads: int
    reactor: Any


@implementer(interfaces.IHalfCloseableProtocol)
class StreamingChannel(http.HTTPChannel):
    """One connection.

    While its parser is in line mode, it is idle or reads a head. Otherwise it reads a body, or waits for a response.
    After a refused request it lingers.
    """

    site: ChannelSite
    transport: Any
    _head_begun = False
    _body_paused = False
    _going_on = False
    _read_over = False
    _watch: RateWatch | None = None
    _linger: int | None = None
    _too_far_ahead = False
    """Whether the client has sent more behind a body than is kept."""
    _is_new = True
    """Whether no head was complete yet."""
    _unread = b""
    """What a new connection has sent, and what waits for its turn."""
    _gathered: list[bytes] | None = None
    """What has come in a read of the socket that is not over."""

    def connectionMade(self) -> None:
        """Called by the transport."""
        read_at_once(self.transport, HEAD_READ_SIZE)
        bound_unsent(self.transport, len(self.site.connections))
        super().connectionMade()
        if not self.site.connections.enter(self):
            if self.site.connections.may_tell:
                self._refuse_silently(request_checks.TOO_MANY)
            else:
                self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the transport."""
        self._gathered = None
        self.site.connections.leave(self)
        self._watch_no_more()
        self.site.turns.leave(self)
        super().connectionLost(reason)

    def gather(self) -> None:
        """Called by the transport before a read of its socket that may call dataReceived repeatedly."""
        self._gathered = []

    def receive_gathered(self) -> None:
        """Called by the transport at the end of that read. Handling one piece costs as much as handling sixteen."""
        gathered, self._gathered = self._gathered, None
        if gathered:
            self.dataReceived(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport. The first request of a new connection waits if too many of them come at once."""
        if self._gathered is not None:
            self._gathered.append(data)
            return
        turns = self.site.turns
        if not self._is_new:
            self._receive(data)
        elif self._unread or not turns.has_time():
            self._unread += data
            self.transport.pauseProducing()
            turns.wait(self, self._read)
        else:
            began = self.site.reactor.seconds()
            self._receive(data)
            turns.spend(self.site.reactor.seconds() - began)

    def _read(self) -> None:
        """Handle what has waited."""
        data, self._unread = self._unread, b""
        self.transport.resumeProducing()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self._linger is not None:
            self._linger -= len(data)
            if self._linger <= 0:
                self.transport.pauseProducing()  # the timeout ends the connection
            return
        try:
            if self.line_mode and self._head_begun:
                LineReceiver.dataReceived(self, data)  # a head has one timeout as a whole, which its bytes do not reset
            elif self.line_mode and not self._dataBuffer and not request_checks.begins_head(data):
                self.refuse(request_checks.NOT_HTTP)  # at once, because binary data may never contain the end of a line
            else:
                self._head_begun = bool(self.line_mode)
                if self._watch is not None:
                    self._watch.count(len(data))
                if not self.line_mode and not self._reads_body:
                    self.transport.pauseProducing()  # keep only one read of requests that wait
                super().dataReceived(data)
                if self._head_begun and self.site.idle_timeout > HEAD_TIME:
                    self.setTimeout(HEAD_TIME)
        except MalformedChunks:
            self._respondToBadRequestAndDisconnect()
        self._go_on()

    @property
    def _reads_body(self) -> bool:
        return not self.line_mode and bool(self.requests) and self.requests[-1].body_pending

    def _go_on(self) -> None:
        """Continue the latest request of the parser, outside of the parser; one request in each turn of the reactor.

        While the client does not receive its responses, the next request waits, at most for the timeout.
        """
        request = self._present
        if self._going_on or request is None or (not request.routed and self.site.turns.waits(self)):
            return
        if self._waitingForTransport:
            self.transport.pauseProducing()
            self.setTimeout(self.site.timeOut)
            return
        begins = not request.routed
        self._going_on = True
        request.go_on()
        self._going_on = False
        # With TLS, one read of a socket may cause many calls of dataReceived, each with a request.
        if self._present not in (None, request) or (begins and self.isSecure()):
            self.site.turns.wait(self, self._go_on)

    @property
    def _present(self) -> StreamingRequest | None:
        """The request with the latest complete head, if it is not done yet."""
        return self.requests[-1] if self._linger is None and not self.line_mode and self.requests else None

    def readConnectionLost(self) -> None:
        """See IHalfCloseableProtocol. The client sends nothing more, but may wait for responses."""
        if self._unread:
            self._read()
        self._read_over = True
        if self._linger is not None or self.line_mode or self._reads_body:
            self.loseConnection()
        elif not self._dataBuffer:
            self.persistent = False

    def writeConnectionLost(self) -> None:
        """See IHalfCloseableProtocol. The response was sent, and the client may still read it."""

    def finish_soon(self) -> None:
        """End the connection because the server stops: now if no request runs, else after its response."""
        if self._unread:
            self._read()
        self.persistent = False
        if self.line_mode:
            self.loseConnection()

    def close_idle(self) -> None:
        """See Connection in `crowd.py`."""
        self.setTimeout(None)
        if self.isSecure():  # an orderly close would wait for the client
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def timeoutConnection(self) -> None:
        """Called after the timeout."""
        if self._linger is not None:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()

    # --- refusals

    def lineReceived(self, line: bytes) -> None:
        """Called by the parser."""
        if line[:1] in (b" ", b"\t"):
            self.refuse(request_checks.FOLDED)
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called by the parser."""
        self.refuse(request_checks.HEAD_TOO_LARGE if self.requests else request_checks.LINE_TOO_LONG)

    def headerReceived(self, line: bytes) -> bool:
        """Called by the parser."""
        if (refusal := request_checks.check_header(line)) is not None:
            self.refuse(refusal)
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Called by the parser."""
        self._head_begun = self._is_new = False
        self.site.connections.busy(self)
        request = self.requests[-1]
        if (refusal := request_checks.check_headers(request.requestHeaders, self._version)) is not None:
            self.refuse(refusal)
            return
        request_checks.unify_connection(request.requestHeaders)
        if self.length is None:
            self._transferDecoder = ChunkedDecoder(request.handleContentChunk, self._finishRequestBody)
        super().allHeadersReceived()

    def _finishRequestBody(self, data: bytes) -> None:
        """Called by the decoder of a body at its end. data: what was read beyond it.

        LineReceiver copies all of that for each line that it splits off, so only a bounded part may go to it.
        """
        if len(data) > BODY_READ_SIZE:
            self._too_far_ahead, self.persistent, data = True, False, b""
        super()._finishRequestBody(data)

    def allContentReceived(self) -> None:
        """Called by the parser at the end of a request."""
        if self._linger is None:  # for the parser a refused request has no body
            super().allContentReceived()
            if self.requests[-1].finished:
                super().requestDone(self.requests[-1])

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._reads_body:  # the consumer fails, and the route answers
            self.requests[-1].body.lost(Failure(BodyMalformed("The chunked encoding of the body is broken.")))
            self.pause_body()
        elif self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(request_checks.HEAD_TOO_LARGE)
        else:
            self.refuse(request_checks.NOT_HTTP)

    def refuse(self, refusal: request_checks.Refusal) -> None:
        """Answer a request that cannot be read, and close the connection."""
        log.info("{peer}: {code} {text}", peer=self.transport.getPeer(), code=refusal.code, text=refusal.text.decode())
        self._refuse_silently(refusal)

    def _refuse_silently(self, refusal: request_checks.Refusal) -> None:
        self.transport.write(refusal.answer)
        self._close_gently()

    def _close_gently(self) -> None:
        """Close so that the client can read the response. Unread bytes would cause a reset (RFC 9112, section 9.6)."""
        self._linger = LINGER_BYTES
        read_at_once(self.transport, BODY_READ_SIZE)  # dropping bytes is cheapest in large pieces
        self._watch_no_more()
        self.clearLineBuffer()
        self.setRawMode()
        self.transport.unregisterProducer()
        if not self.isSecure():
            self.transport.loseWriteConnection()  # flush and send FIN; reading goes on
        self.transport.resumeProducing()
        self.setTimeout(LINGER_TIME)

    # --- the body

    def pause_body(self) -> None:
        """See BodySource. No timeout runs during the pause, because the client is not the slow part."""
        self._body_paused = True
        self.transport.pauseProducing()
        self.setTimeout(None)
        if self._watch is not None:
            self._watch.pause()

    def resume_body(self) -> None:
        """See BodySource."""
        self._body_paused = False
        read_at_once(self.transport, self._body_read_size)
        if not self._waitingForTransport:  # do not read from a client that does not read its responses
            self.transport.resumeProducing()
        if self._reads_body:
            self.setTimeout(self.site.timeOut)
            self._watch_rate()

    @property
    def _body_read_size(self) -> int:
        part = self.site.body_reads // max(self.site.connections.busy_count, 1)
        return body_read_size(self.requests[-1].body.expected if self.requests else 0, part, self.isSecure())

    def _watch_rate(self) -> None:
        if self._watch is None and self.site.minimum_rate:
            self._watch = RateWatch(self.site.reactor, self.site.minimum_rate, self._too_slow)
        if self._watch is not None:
            self._watch.go()

    def _watch_no_more(self) -> None:
        if self._watch is not None:
            self._watch.pause()
            self._watch = None

    def _too_slow(self) -> None:
        """Called when the client sends its body too slowly.

        The body fails, and the connection ends after the response.
        """
        rate = self.site.minimum_rate
        log.info("{peer}: sends fewer than {rate} bytes a second", peer=self.transport.getPeer(), rate=rate)
        request = self._present
        if request is None or request.finished:
            self.transport.abortConnection()
            return
        self.persistent = False
        request.body.fail(Failure(BodyCut(f"The body arrived with fewer than {rate} bytes per second, over a minute.")))

    def send_continue(self) -> None:
        """See BodySource."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def resumeProducing(self) -> None:
        """Called by the transport when it has sent the written bytes."""
        super().resumeProducing()
        if self._body_paused:
            self.transport.pauseProducing()
        self._go_on()

    def requestDone(self, request: StreamingRequest) -> None:
        """Called by the request when it is finished."""
        if request.body_pending:
            request.body.fail(Failure(BodyCut("The response was sent before the body was complete.")))
        self._body_paused = False
        read_at_once(self.transport, HEAD_READ_SIZE)
        if self._too_far_ahead or (request.body_pending and not self.persistent):
            self.requests.remove(request)
            self._close_gently()
        elif request.body_pending:
            self.setTimeout(self.site.timeOut)  # setTimeout(None) has removed it
            self.resume_body()  # read and drop the rest, which is small
        else:
            self._watch_no_more()
            self.site.connections.idle(self)
            self.setTimeout(self.site.timeOut)
            if self._read_over and not self._dataBuffer:
                self.persistent = False
            super().requestDone(request)
            if self._present is not None and not self._reads_body:
                self.transport.pauseProducing()  # read no more until the requests that were read have been processed
            if self._read_over and (self.line_mode or self._reads_body):
                self.loseConnection()  # the next request will never be complete
