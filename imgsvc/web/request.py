"""A request of the HTTP/1.1 server (`web/channel.py`).

It reaches its route when the headers are complete. Its body, of which nothing is read yet, is a producer
(`web/body.py`). `HTTPChannel._command`, `_path` and `_version`, and `Request.gotLength`, `handleContentChunk` and
`requestReceived` are not part of Twisted's public API.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet import interfaces
from twisted.internet.abstract import FileDescriptor
from twisted.python.failure import Failure
from twisted.web import server
from zope.interface import implementer

from imgsvc.interfaces import IResponseSink
from imgsvc.model import Caller
from imgsvc.web import request_checks
from imgsvc.web.body import RequestBody, cut

SMALL_REST = 64 << 10
"""If no more than this many bytes of a refused body are left, they are read, and the connection is kept."""


@implementer(IResponseSink)
class StreamingRequest(server.Request):
    """A request whose `body` is a RequestBody."""

    channel: Any = None
    body: RequestBody
    caller: Caller | None = None
    """The caller, for the log; None until it is known. Handlers get it in their RequestContext."""
    request_id: str = ""
    begun = 0.0
    """When the headers were complete, by the clock of the site."""
    _line: tuple[bytes, bytes, bytes] | None = None

    def gotLength(self, length: int | None) -> None:
        """Called by the channel when the headers are complete."""
        expects = self.requestHeaders.getRawHeaders(b"expect", [b""])[0].lower() == b"100-continue"
        self.requestHeaders.removeHeader(b"expect")  # otherwise the channel sends 100 itself
        self.content = BytesIO()
        self.begun = self.channel.site.reactor.seconds()
        self._line = (self.channel._command, self.channel._path, self.channel._version)
        self.body = RequestBody(self.channel, length, expects and self.channel._version == b"HTTP/1.1")

    def handleContentChunk(self, data: bytes) -> None:
        """Called by the channel with decoded bytes of the body."""
        self.body.data_received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called by the channel at the end of the body."""
        self.body.all_received()

    @property
    def routed(self) -> bool:
        """Whether the route has been called."""
        return self._line is None

    def go_on(self) -> None:
        """Called by the channel when its parser has returned: run the route, once, and hand on the body."""
        if self._line is not None:
            (command, target, version), self._line = self._line, None
            if self.body_pending:
                self.channel.pause_body()
            else:
                self.channel.setTimeout(None)
            super().requestReceived(command, request_checks.origin_form(target), version)
        self.body.deliver()

    def process(self) -> None:
        """Refuse a target that is not a path. Otherwise find the resource and render it."""
        refusal = request_checks.check_path(self.method, self.path)
        if refusal is None:
            if b"?" in self.uri:  # twisted.web parses the query in another way
                self.args = request_checks.arguments(self.uri)
            super().process()
        else:
            self.code, self.startedWriting = refusal.code, 1  # the channel sends the response
            self.channel.refuse(refusal)

    @property
    def body_pending(self) -> bool:
        """Whether bytes of the body are still to come."""
        return not self.body.complete

    def write(self, data: bytes) -> None:
        """See IRequest. The connection ends after a response that is sent long before the end of the body."""
        if not self.startedWriting and self.channel is not None:
            if self.body.rest > SMALL_REST:
                self.channel.persistent = False
            if not self.channel.persistent:
                self.setHeader(b"connection", b"close")
        super().write(data)

    def finish(self) -> None:
        """See IRequest. Nothing is left to do when the client is gone."""
        if self.channel is not None:
            super().finish()

    def connectionLost(self, reason: Failure) -> None:
        """Called by the channel. Klein learns first that the connection is lost, and then the consumer of the body."""
        head_complete, channel = self.content is not None, self.channel
        if head_complete:
            self.body.lost(cut(reason))
        super().connectionLost(reason)
        if head_complete:
            self.body.deliver()
            if channel is not None and self._line is None:  # the route was called, and has not finished
                channel.site.log(self)

    # --- IResponseSink

    @property
    def started(self) -> bool:
        """See IResponseSink."""
        return bool(self.startedWriting)

    @property
    def sent(self) -> int:
        """See IResponseSink."""
        return int(self.sentLength)

    def plain_transport(self) -> FileDescriptor | None:
        """See IResponseSink."""
        transport = getattr(self.channel, "transport", None)
        plain = (
            isinstance(transport, FileDescriptor)
            and interfaces.ISystemHandle.providedBy(transport)
            and not interfaces.ISSLTransport.providedBy(transport)
            and self.responseHeaders.hasHeader(b"content-length")
        )
        return transport if plain else None

    def lend_transport(self) -> None:
        """See IResponseSink."""
        self.write(b"")
        self.channel.transport.unregisterProducer()

    def count(self, sent: int) -> None:
        """See IResponseSink."""
        self.sentLength += sent

    def take_back_transport(self) -> None:
        """See IResponseSink."""
        if self.channel is not None:
            self.channel.transport.registerProducer(self.channel, True)
            self.channel.resumeProducing()  # the transport's buffer is empty now

    def cut(self) -> None:
        """See IResponseSink."""
        if self.channel is not None:
            self.channel.transport.abortConnection()
