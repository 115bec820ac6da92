"""Sends a file to a plain socket without copying its bytes through this process."""

from __future__ import annotations

import os

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc import page_cache
from imgsvc.interfaces import IFileBacked, IResponseSink
from imgsvc.logger import make_logger
from imgsvc.pipeline.stall import StallTimer

log = make_logger()

WINDOW = 16 << 20
"""Bytes that are checked for presence in memory at a time."""

LOAD = 4 << 20
"""Bytes that are loaded into memory at a time. A slow disk should load them before the client's timeout."""


@implementer(IPullProducer)
class SendfileProducer:
    """Calls os.sendfile whenever the transport asks for more.

    It is a pull producer of the transport, which asks for more each time its own buffer is empty. So the headers go
    first, and then the socket takes as many bytes as it has room for. Bytes that are not in the page cache are loaded
    in a thread first, so that the reactor never waits for a disk.
    """

    def __init__(self, reader: IFileBacked, sink: IResponseSink, transport: FileDescriptor, stall: StallTimer) -> None:
        self._reader = reader
        self._sink = sink
        self._transport: FileDescriptor | None = transport
        self._stall = stall
        self._socket = transport.fileno()
        self._offset = reader.offset
        self._left = reader.length
        self._loaded_to = self._offset
        self._loading = False
        self._headers_first = True
        self._done: Deferred[None] | None = None

    def start(self) -> Deferred[None]:
        """Start sending. The Deferred fires when the kernel has the last byte. Cancel it when the client is gone.

        Fails with OSError, and with the errors of the reader's `load`.
        """
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._done = done
        transport = self._transport
        assert transport is not None
        self._sink.lend_transport()
        transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """See IPullProducer. The transport's own buffer is empty."""
        transport = self._transport
        if transport is None or self._loading:
            return
        if self._headers_first:
            self._headers_first = False
            transport.startWriting()
            return
        if self._offset >= self._loaded_to and not self._is_loaded():
            return
        try:
            sent = os.sendfile(
                self._socket, self._reader.fd, self._offset, min(self._left, self._loaded_to - self._offset)
            )
        except BlockingIOError:
            transport.startWriting()
            return
        except OSError as error:
            self._fail(Failure(error))
            return
        if sent == 0:  # the file is too short: `load` fails with the error of the store
            self._load()
            return
        self._offset += sent
        self._left -= sent
        self._sink.count(sent)
        self._stall.moved()
        if self._left:
            transport.startWriting()
        else:
            self._succeed()

    def stopProducing(self) -> None:
        """See IProducer. The connection is gone, or the Deferred was cancelled."""
        transport, self._transport = self._transport, None
        self._done = None
        if transport is not None and not transport.disconnected:
            self._sink.cut()

    def _is_loaded(self) -> bool:
        """Whether the window that begins here is in memory. If not, load it, and continue afterwards."""
        length = min(WINDOW, self._left)
        if page_cache.resident(self._reader.fd, self._offset, length):
            self._loaded_to = self._offset + length
            return True
        self._load()
        return False

    def _load(self) -> None:
        self._loading = True
        length = min(LOAD, self._left)
        loading = self._reader.load(self._offset, length)
        loading.addCallbacks(self._window_loaded, self._fail, callbackArgs=(self._offset + length,))

    def _window_loaded(self, _: object, loaded_to: int) -> None:
        self._loading = False
        self._loaded_to = loaded_to
        self._stall.moved()
        if self._transport is not None:
            self._transport.startWriting()

    def _succeed(self) -> None:
        transport, self._transport = self._transport, None
        done, self._done = self._done, None
        assert transport is not None and done is not None
        transport.unregisterProducer()
        self._sink.take_back_transport()
        done.callback(None)

    def _fail(self, failure: Failure) -> None:
        self._loading = False
        done, self._done = self._done, None
        self.stopProducing()
        if done is not None:
            done.errback(failure)
