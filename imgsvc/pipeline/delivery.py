"""Sends the bytes of a store's reader to the client, in the cheapest way that reader and connection allow."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IConsumer, IPushProducer, IReactorTime
from zope.interface import implementer

from imgsvc import page_cache
from imgsvc.interfaces import IFileBacked, IResponseSink, IStoreReader
from imgsvc.pipeline.sendfile import SendfileProducer
from imgsvc.pipeline.stall import StallTimer

SMALL = 64 << 10
"""A span of up to this many bytes that is in memory is sent in one write with its headers."""


@define
class Delivery:
    """Sends readers to sinks. send_timeout: seconds for which a client may receive nothing."""

    clock: IReactorTime
    send_timeout: float

    async def send(self, reader: IStoreReader, sink: IResponseSink) -> None:
        """Write all bytes of the reader to the sink. The reader is ended in every case.

        Raises the errors of the store. If it fails after the first byte, or stalls, the connection is cut, so that the
        client does not take the sent part for the whole.
        """
        try:
            if IFileBacked.providedBy(reader):
                if reader.length <= SMALL:
                    data = _read_cached(reader)
                    if data is not None:
                        sink.write(data)
                        return
                transport = sink.plain_transport()
                if transport is not None:
                    await self._sendfile(reader, sink, transport)
                    return
            await self._produce(reader, sink)
        except Exception:
            if sink.started:
                sink.cut()
            raise
        finally:
            reader.stopProducing()

    async def _sendfile(self, reader: IFileBacked, sink: IResponseSink, transport: FileDescriptor) -> None:
        stall = StallTimer(self.clock, self.send_timeout, sink.cut)
        try:
            await SendfileProducer(reader, sink, transport, stall).start()
        finally:
            stall.stop()

    async def _produce(self, reader: IStoreReader, sink: IResponseSink) -> None:
        stall = StallTimer(self.clock, self.send_timeout, sink.cut)
        done = reader.startProducing(_WatchedSink(sink, stall))
        try:
            await done
        finally:
            stall.stop()


def _read_cached(reader: IFileBacked) -> bytes | None:
    """All bytes of the reader, if they are in memory."""
    return page_cache.read_cached(reader.fd, reader.offset, reader.length) if reader.length else b""


@implementer(IConsumer, IPushProducer)
class _WatchedSink:
    """Passes bytes from a reader to the sink, and tells a StallTimer when bytes move."""

    def __init__(self, sink: IResponseSink, stall: StallTimer) -> None:
        self._sink = sink
        self._stall = stall
        self._producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer."""
        self._producer = producer
        self._sink.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self._sink.unregisterProducer()

    def write(self, data: bytes) -> None:
        """See IConsumer. A paused reader does not write, so each write means that the client has received bytes."""
        self._stall.moved()
        self._sink.write(data)

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._stall.moved()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """See IPushProducer. The connection is gone: stop reading until the handler of the request is cancelled."""
        self._producer.pauseProducing()
