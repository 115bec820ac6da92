"""The HTTP/1.1 server: requests that reach their route when the headers are complete, with the body still unread.

twisted.web calls a resource after the whole body was read. Here `gotLength` begins the request, and its body is a
producer (`web/body.py`). What twisted.web does not refuse and HTTP does (RFC 9112, sections 3.2, 5.2, 6.1) is refused.

This is the one module that touches names which Twisted does not promise to keep: `HTTPChannel._command`, `_path`,
`_version`, `_respondToBadRequestAndDisconnect`, and `Request.gotLength`, `handleContentChunk`, `requestReceived`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import txaio
from twisted.internet import interfaces
from twisted.internet.abstract import FileDescriptor
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource
from zope.interface import implementer

from imgsvc.errors import BodyMalformed
from imgsvc.interfaces import IOutlet
from imgsvc.web.body import RequestBody, cut

log = txaio.make_logger()

LINGER_BYTES = 1 << 20
"""Bytes read, and dropped, of a body after its refusal, so that the client gets to read the answer ..."""
LINGER_TIME = 5.0
"""... and seconds for which this goes on."""
LONGEST_LENGTH = 19
"""Digits of a Content-Length."""
READ_SIZE = 256 << 10
"""Bytes read from a socket at once while few bodies are on their way ..."""
READ_SIZE_OF_MANY = 64 << 10
MANY = 64
"""... and when there are this many connections or more."""


@implementer(IOutlet)
class StreamingRequest(server.Request):
    """A request whose `body` is a RequestBody."""

    body: RequestBody
    caller: Any = None
    request_id: str = ""
    _begun = True

    def gotLength(self, length: int | None) -> None:
        """Called by the channel when the headers are complete."""
        expects = self.requestHeaders.getRawHeaders(b"expect", [b""])[0].lower() == b"100-continue"
        self.requestHeaders.removeHeader(b"expect")  # the channel would send 100 by itself
        self.content = BytesIO()
        self.body = RequestBody(self.channel, length, expects and self.channel._version == b"HTTP/1.1")
        if length != 0:
            self._begun = False
            self.channel.begin_soon(self)

    def begin(self, command: bytes, path: bytes, version: bytes) -> None:
        """Run the route. Called by the channel once its parser is done with the headers."""
        self._begun = True
        super().requestReceived(command, path, version)

    def handleContentChunk(self, data: bytes) -> None:
        """Called by the channel with decoded bytes of the body."""
        self.body.data_received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called by the channel at the end of the body."""
        self.body.all_received()
        if not self.body.announced:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Refuse paths that are not UTF-8; otherwise find the resource and render it."""
        try:
            unquote_to_bytes(self.path).decode("utf-8")
        except UnicodeDecodeError:
            self.setResponseCode(400)
            self.answer(b"The path is not UTF-8.")
            return
        super().process()

    def answer(self, text: bytes) -> None:
        """Finish with a line of plain text, outside of any route."""
        self.setHeader(b"content-type", b"text/plain; charset=utf-8")
        self.setHeader(b"content-length", b"%d" % len(text))
        self.write(text)
        self.finish()

    @property
    def body_pending(self) -> bool:
        """Whether bytes of the body are still to come."""
        return not self.body.complete

    def write(self, data: bytes) -> None:
        """See IRequest. An answer that comes before the end of the body ends the connection."""
        if not self.startedWriting and self.channel is not None:
            if self.body_pending:
                self.channel.persistent = False
            if not self.channel.persistent:
                self.setHeader(b"connection", b"close")
        super().write(data)

    def connectionLost(self, reason: Failure) -> None:
        """Called by the channel. First klein learns that nobody waits, then the consumer of the body."""
        body = self.__dict__.get("body")
        if body is not None:
            body.lost(cut(reason))
        super().connectionLost(reason)
        if body is not None:
            body.tell()

    # --- IOutlet

    def plain_transport(self) -> FileDescriptor | None:
        """See IOutlet."""
        transport = getattr(self.channel, "transport", None)
        plain = (
            isinstance(transport, FileDescriptor)
            and interfaces.ISystemHandle.providedBy(transport)
            and not interfaces.ISSLTransport.providedBy(transport)
            and self.responseHeaders.hasHeader(b"content-length")
        )
        return transport if plain else None

    def lend_transport(self) -> None:
        """See IOutlet."""
        self.write(b"")
        self.channel.transport.unregisterProducer()

    def take_back_transport(self, sent: int) -> None:
        """See IOutlet."""
        self.sentLength += sent
        if self.channel is not None:
            self.channel.transport.registerProducer(self.channel, True)

    def cut(self) -> None:
        """See IOutlet."""
        if self.channel is not None:
            self.channel.transport.abortConnection()


@implementer(interfaces.IHalfCloseableProtocol)
class StreamingChannel(http.HTTPChannel):
    """One connection."""

    site: StreamingSite
    _waiting_request: StreamingRequest | None = None
    _reading_headers = False
    _body_paused = False
    _linger: int | None = None

    # --- the connection

    def connectionMade(self) -> None:
        """Called by the transport."""
        self.site.connections.add(self)
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = READ_SIZE if len(self.site.connections) < MANY else READ_SIZE_OF_MANY
        super().connectionMade()

    def connectionLost(self, reason: Failure) -> None:
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
        if self.line_mode and self._reading_headers:
            LineReceiver.dataReceived(self, data)  # a slow head has one time-out, not one a byte
        else:
            self._reading_headers = bool(self.line_mode)
            super().dataReceived(data)
        self._begin_waiting()

    def readConnectionLost(self) -> None:
        """See IHalfCloseableProtocol: the client sends no more; it may still wait for the answer to what it sent."""
        if self._linger is None and self.requests and not self.requests[-1].body_pending:
            self.persistent = False
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """See IHalfCloseableProtocol: the answer was sent, and the client may read it."""

    def begin_soon(self, request: StreamingRequest) -> None:
        """Begin a request that has a body as soon as the parser is done with what it has read."""
        self._waiting_request = request
        self._arguments = (self._command, self._path, self._version)
        self.pause_body()

    def _begin_waiting(self) -> None:
        request, self._waiting_request = self._waiting_request, None
        if request is not None and request.channel is not None:
            request.begin(*self._arguments)

    def finish_soon(self) -> None:
        """The server stops: end now if idle, else after the answer that is under way."""
        if self.requests:
            self.persistent = False
        else:
            self.loseConnection()

    # --- what must be refused

    def lineReceived(self, line: bytes) -> None:
        """Called by the parser. Refuses folded headers (RFC 9112 section 5.2)."""
        if line[:1] in (b" ", b"\t") and self._reading_headers:
            self.refuse(400, b"A header line begins with a blank.")
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called by the parser."""
        self.refuse(431, b"A header line is too long.")

    def headerReceived(self, line: bytes) -> bool:
        """Called by the parser."""
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value.strip()) > LONGEST_LENGTH:
            self.refuse(400, b"The Content-Length is not a size.")
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Called by the parser."""
        self._reading_headers = False
        headers = self.requests[-1].requestHeaders
        hosts = headers.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (not hosts and self._version != b"HTTP/1.0"):
            self.refuse(400, b"A request has one Host header.")
        elif headers.hasHeader(b"transfer-encoding") and self._version == b"HTTP/1.0":
            self.refuse(400, b"HTTP/1.0 has no transfer encodings.")
        else:
            super().allHeadersReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        request = self.requests[-1] if self.requests else None
        body = None if request is None else request.__dict__.get("body")
        if body is not None and not body.complete:
            # Broken framing within a body: its consumer is told, and the route answers.
            body.lost(Failure(BodyMalformed("The chunked encoding of the body is broken.")))
            self.site.clock.callLater(0, body.tell)
            self.pause_body()
        elif self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(431, b"The headers are too large.")
        else:
            self.refuse(400, b"The request is not HTTP/1.1.")

    def refuse(self, code: int, text: bytes) -> None:
        """Answer a request that cannot be read, and close."""
        if self._linger is not None:
            return
        phrase = http.RESPONSES.get(code, b"Bad Request")
        phrase = phrase if isinstance(phrase, bytes) else phrase.encode("ascii")
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (code, phrase, len(text), text)
        )
        log.info("{peer}: {code} {text}", peer=self.transport.getPeer(), code=code, text=text.decode())
        self._close_gently()

    def _close_gently(self) -> None:
        """Close so that the client can read the answer: a close with unread bytes would send a reset (RFC 9112, 9.6)."""
        self._linger = LINGER_BYTES
        self._reading_headers = False
        self.length = None  # the parser must not take the head for that of a request without a body
        self.clearLineBuffer()
        self.setRawMode()
        self.rawDataReceived = lambda data: None  # type: ignore[method-assign]
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
        self.transport.resumeProducing()
        if self.requests and self.requests[-1].body_pending:
            self.setTimeout(self.site.timeOut)  # setTimeout(None) forgot it

    def send_continue(self) -> None:
        """See BodySource."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def resumeProducing(self) -> None:
        """Called by the transport when what was written is on its way."""
        super().resumeProducing()
        if self._body_paused:
            self.transport.pauseProducing()

    def requestDone(self, request: StreamingRequest) -> None:
        """Called by the request when it is finished."""
        self._body_paused = False
        if request.body_pending:
            self.requests.remove(request)
            self._close_gently()
            return
        super().requestDone(request)
        if self.persistent and not self.requests and self._linger is None:
            self._reading_headers = False
            self.setTimeout(self.site.timeOut)

    def timeoutConnection(self) -> None:
        """Called when the client was silent for too long."""
        if self._linger is not None:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()


class StreamingSite(server.Site):
    """Makes a StreamingChannel for every connection. HTTP/1.1 only.

    access_log: called with each finished request. idle_timeout: seconds for which a client may send nothing.
    """

    protocol = StreamingChannel
    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: Any,
        idle_timeout: float,
        access_log: Callable[[StreamingRequest], None] | None = None,
    ) -> None:
        super().__init__(resource, StreamingRequest, timeout=idle_timeout, reactor=clock, parsePOSTFormSubmission=False)
        self.clock = clock
        self.connections: set[StreamingChannel] = set()
        self._access_log = access_log

    def acceptableProtocols(self) -> list[bytes]:
        """See IProtocolNegotiationFactory."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Nothing to open: the access log goes to the log."""

    def stopFactory(self) -> None:
        """Nothing to close."""

    def log(self, request: StreamingRequest) -> None:
        """Called by each request when it is finished."""
        if self._access_log is not None:
            self._access_log(request)

    def finish_connections(self) -> None:
        """Close the idle connections, and each other one when its answer is complete."""
        for channel in list(self.connections):
            channel.finish_soon()

    def cut_connections(self) -> None:
        """Break off every connection that is still open."""
        for channel in list(self.connections):
            channel.transport.abortConnection()
