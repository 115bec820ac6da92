"""Sends a file to a plain socket without its bytes passing through this process."""

from __future__ import annotations

import os

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc import page_cache
from imgsvc.interfaces import IFileBacked, IOutlet
from imgsvc.logger import make_logger
from imgsvc.pipeline.stall import StallTimer

log = make_logger()

WINDOW = 16 << 20
"""Bytes whose presence in memory is asked for at once."""

LOAD = 4 << 20
"""Bytes that are brought into memory at once: a slow disk should have them before the client is given up."""


@implementer(IPullProducer)
class SendfileProducer:
    """os.sendfile, driven by the transport itself.

    Registered on the transport as a pull producer, it is asked for more each time the transport's own buffer is
    empty: the headers go first, and then the socket takes what it has room for. Bytes that are not in the page cache
    are first loaded in a thread, one window ahead, so that the reactor never waits for a disk.
    """

    def __init__(self, reader: IFileBacked, outlet: IOutlet, transport: FileDescriptor, stall: StallTimer) -> None:
        self._reader = reader
        self._outlet = outlet
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
        """Fires when the last byte was given to the kernel. Fails with OSError, or as `load` does.

        The Deferred is cancelled by whoever learns that the client is gone.
        """
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._done = done
        transport = self._transport
        assert transport is not None
        self._outlet.lend_transport()
        transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """See IPullProducer: the transport's own buffer is empty."""
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
        if sent == 0:  # the file ends here: the store says so in its own words
            self._load()
            return
        self._offset += sent
        self._left -= sent
        self._outlet.count(sent)
        self._stall.moved()
        if self._left:
            transport.startWriting()
        else:
            self._succeed()

    def stopProducing(self) -> None:
        """See IProducer: the connection is gone, or nobody wants more."""
        transport, self._transport = self._transport, None
        self._done = None
        if transport is not None and not transport.disconnected:
            self._outlet.cut()

    def _is_loaded(self) -> bool:
        """Whether the window that begins here is in memory. If not, it is loaded, and the transport started then."""
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
        self._outlet.take_back_transport()
        done.callback(None)

    def _fail(self, failure: Failure) -> None:
        self._loading = False
        done, self._done = self._done, None
        self.stopProducing()
        if done is not None:
            done.errback(failure)
