"""Files that are sent to a socket without passing through this process: real files, sockets and reactor."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from imgsvc import page_cache
from imgsvc.errors import ObjectDamaged, StoreUnavailable
from imgsvc.interfaces import IFileBacked
from imgsvc.model import Span
from imgsvc.pipeline.delivery import Delivery
from imgsvc.pipeline.sendfile import WINDOW, SendfileProducer
from imgsvc.pipeline.stall import StallTimer
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import make
from imgsvc.threads import ReactorThreads
from tests.pipeline.rigs import Sink
from tests.support.store_contract import put, store_services

DATA = os.urandom(1 << 20) * 33 + b"end"
HEAD = b"headers\r\n"
NAME, UPLOAD = "6f1ed002-ab5c-4b9c-8f4f-2a7b4b0a4c1e", "0000000001-aa"


class RecordingThreads(ReactorThreads):
    """Threads that note their calls."""

    def __init__(self, calls: list[str], name: str, size: int) -> None:
        super().__init__(reactor, name, size)
        self._calls = calls

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self._calls.append(repr(function))
        return super().run(function, *arguments)


class Receiver(Protocol):
    """The client's end of a connection."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Deferred[None] = Deferred()
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        for size, waiting in list(self._waiting):
            if len(self.data) >= size:
                self._waiting.remove((size, waiting))
                waiting.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(None)

    def received(self, size: int) -> Deferred[None]:
        """Fires when so many bytes have come."""
        waiting: Deferred[None] = Deferred()
        if len(self.data) >= size:
            waiting.callback(None)
        else:
            self._waiting.append((size, waiting))
        return waiting


class Sender(Protocol):
    """The server's end. Like Klein, it cancels the sending when the client has disconnected."""

    def __init__(self, made: Deferred[Sender]) -> None:
        self._made = made
        self.sending: Deferred[None] | None = None
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._made.callback(self)

    def connectionLost(self, reason: Any = None) -> None:
        if self.sending is not None:
            self.sending.cancel()
        self.lost.callback(None)


class SendfileTests(TestCase):
    """The bytes that arrive at the client."""

    async def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.folder = folder
        self.calls: list[str] = []
        self.store = make(
            StoreSettings("local"),
            {"path": "images"},
            store_services(folder, lambda name, size: RecordingThreads(self.calls, name, size), reactor),
        )
        await self.store.start()
        self.addCleanup(self.store.stop)
        self.location = await put(self.store, NAME, UPLOAD, DATA)
        self.clock = Clock()
        self.delivery = Delivery(self.clock, 10.0)

        made: Deferred[Sender] = Deferred()
        factory = Factory.forProtocol(lambda: Sender(made))
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        self.client = Receiver()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), self.client)
        self.sender = await made
        for transport, buffer in ((self.client.transport, socket.SO_RCVBUF), (self.sender.transport, socket.SO_SNDBUF)):
            transport.getHandle().setsockopt(socket.SOL_SOCKET, buffer, 256 << 10)  # far less than the object
        self.sink = Sink(self.sender.transport)
        self.addCleanup(self._close)

    async def _close(self) -> None:
        if not self.client.lost.called:
            self.client.transport.abortConnection()
        await self.client.lost
        await self.sender.lost

    def object_path(self) -> str:
        """The file of the object."""
        return str(self.folder / "images" / NAME)

    def evict(self) -> None:
        """Make the kernel drop the bytes of the file."""
        fd = os.open(self.object_path(), os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertFalse(page_cache.resident(fd, 0, len(DATA)), "the file system keeps the pages of this test")
        finally:
            os.close(fd)

    async def send(self, span: Span) -> Deferred[None]:
        """Begin to send a span of the object. `Sender` catches the result too."""
        reader = await self.store.reader(self.location, span)
        verifyObject(IFileBacked, reader)
        self.calls.clear()
        self.sender.sending = Deferred.fromCoroutine(self.delivery.send(reader, self.sink))
        return self.sender.sending

    async def assert_arrives(self, span: Span) -> None:
        """The span arrives after the headers, and the connection is free again."""
        before = len(self.client.data)
        await (await self.send(span))
        await self.client.received(before + len(HEAD) + span.length)
        self.assertEqual(HEAD + DATA[span.start : span.stop], self.client.data[before:])
        self.assertEqual((span.length, 0), (self.sink.took_back, self.sink.was_cut))
        self.assertIsNone(self.sender.transport.producer)
        self.assertEqual([], self.clock.getDelayedCalls())

    async def test_whole(self) -> None:
        """A whole file of more than one window is sent. Nothing passes through a thread if it is in memory."""
        await self.assert_arrives(Span(0, len(DATA)))
        self.assertEqual([], self.calls)

    async def test_spans(self) -> None:
        """Spans are sent one after the other on one connection, across pages and windows."""
        for start, length in (
            (0, 65 << 10),
            (4095, 65537),
            (WINDOW - 1, 70_000),
            (1, 2 * WINDOW),
            (len(DATA) - 99_999, 99_999),
        ):
            await self.assert_arrives(Span(start, length))

    async def test_cold(self) -> None:
        """Bytes that are not in memory are first loaded by a thread of the store, one window at a time."""
        self.evict()
        await self.assert_arrives(Span(0, len(DATA)))
        self.assertIn(len(self.calls), range(1, 10))  # the kernel reads ahead of them

    async def test_cold_and_small(self) -> None:
        """A small span arrives too, whether the kernel or a thread loads it first."""
        self.evict()
        await self.assert_arrives(Span(5 << 20, 1000))

    async def test_truncated(self) -> None:
        """If a file ends early, the connection is cut after the existing bytes, and the error is raised."""
        reader = await self.store.reader(self.location, Span(0, len(DATA)))
        os.truncate(self.object_path(), 6 << 20)
        self.sender.sending = sending = Deferred.fromCoroutine(self.delivery.send(reader, self.sink))
        with self.assertRaises(ObjectDamaged):
            await sending
        await self.client.lost
        self.assertGreaterEqual(self.sink.was_cut, 1)
        self.assertLessEqual(len(self.client.data), len(HEAD) + (6 << 20))
        self.assertEqual((HEAD + DATA)[: len(self.client.data)], self.client.data)
        self.assertEqual([], self.clock.getDelayedCalls())

    async def test_client_gone(self) -> None:
        """If the client disconnects, the sending ends and the file is closed."""
        sending = await self.send(Span(0, len(DATA)))
        self.client.transport.pauseProducing()
        self.client.transport.abortConnection()
        with self.assertRaises(CancelledError):
            await sending
        await self.sender.lost
        paths = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
        self.assertNotIn(os.path.realpath(self.object_path()), paths)
        self.assertEqual([], self.clock.getDelayedCalls())

    async def test_client_stalls(self) -> None:
        """A client that takes nothing for the time-out is cut. One that takes something is not."""
        self.client.transport.pauseProducing()
        sending = await self.send(Span(0, len(DATA)))
        for size in (1 << 20, 2 << 20, 3 << 20):
            self.clock.advance(9)
            self.assertEqual(0, self.sink.was_cut)
            self.client.transport.resumeProducing()
            await self.client.received(size)
            self.client.transport.pauseProducing()
        while not sending.called:
            self.clock.advance(10)
            await _turn()
        with self.assertRaises(CancelledError):
            await sending
        self.assertGreaterEqual(self.sink.was_cut, 1)
        self.assertTrue(0 < self.sink.counted < len(DATA), self.sink.counted)  # for the access log
        self.assertLess(len(self.client.data), len(HEAD + DATA))

    async def test_load_fails_late(self) -> None:
        """A load that fails after the client has disconnected is no error."""
        reader = await self.store.reader(self.location, Span(0, len(DATA)))
        self.addCleanup(reader.stopProducing)
        loading: Deferred[None] = Deferred()
        reader.load = lambda offset, length: loading
        self.evict()
        stall = StallTimer(self.clock, 10, self.sink.cut)
        producer = SendfileProducer(reader, self.sink, self.sender.transport, stall)
        verifyObject(IPullProducer, producer)
        self.sender.sending = sending = producer.start()
        await self.client.received(len(HEAD))
        self.client.transport.abortConnection()
        with self.assertRaises(CancelledError):
            await sending
        loading.errback(StoreUnavailable("local", "gone"))
        await loading
        stall.stop()

    async def test_load_fails(self) -> None:
        """If the store cannot load the bytes, the connection is cut, and its error is raised."""
        reader = await self.store.reader(self.location, Span(0, len(DATA)))
        loading: Deferred[None] = Deferred()
        reader.load = lambda offset, length: loading
        self.evict()
        self.sender.sending = sending = Deferred.fromCoroutine(self.delivery.send(reader, self.sink))
        await self.client.received(len(HEAD))
        loading.errback(StoreUnavailable("local", "gone"))
        with self.assertRaises(StoreUnavailable):
            await sending
        await self.client.lost
        self.assertEqual(HEAD, bytes(self.client.data))


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def _turn() -> Deferred[None]:
    """One turn of the reactor."""
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
    return turn
