"""Sends bytes of this machine as the body of a request, and computes their digests meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from imgsvc.client.digests import MD5, SHA512, new_digest
from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import Runner, ThreadedFile
from imgsvc.client.gathering import gather_or_cancel
from imgsvc.logger import make_logger

log = make_logger()

BLOCK: Final = 1024 * 1024


class Source(Protocol):
    """Bytes that are read in order.

    name: a string, for messages. size: bytes in all; None if not known beforehand.
    """

    name: str
    size: int | None

    def read(self, offset: int) -> Deferred[bytes]:
        """Read the next bytes: a Deferred of them, b"" at the end. offset: bytes, where the last read ended."""
        ...


class FileSource:
    """The bytes of a file. The caller closes the file. size: bytes."""

    def __init__(self, file: ThreadedFile, size: int) -> None:
        self.name = file.path
        self.size: int | None = size
        self._stop = size
        self._file = file

    def read(self, offset: int) -> Deferred[bytes]:
        """See Source. Fails with LocalFileError."""
        return self._file.read(offset, min(BLOCK, self._stop - offset))


class StreamSource:
    """The bytes of an iterator: their number is not known, and they can be read only once. name: for messages."""

    def __init__(self, blocks: AsyncIterator[bytes], name: str) -> None:
        self.name = name
        self.size: int | None = None
        self._blocks = blocks

    def read(self, offset: int) -> Deferred[bytes]:
        """See Source. Fails with what the iterator raises."""
        return Deferred.fromCoroutine(self._next())

    async def _next(self) -> bytes:
        async for block in self._blocks:
            if block:
                return block
        return b""


@implementer(IBodyProducer)
class DigestingProducer:
    """Produces the bytes of a source, and computes digests of what it produces.

    It holds one block and the next one.

    source: a Source. run: a Runner, which computes the digests. algorithms: hashlib's names. moved: called with the
    number of bytes produced so far.

    length: bytes to produce, or UNKNOWN_LENGTH. produced: bytes so far. complete: whether that is all. digests: hex
    strings by algorithm, of what was produced.
    """

    def __init__(
        self,
        source: Source,
        run: Runner,
        algorithms: Iterable[str] = (MD5, SHA512),
        moved: Callable[[int], None] = lambda produced: None,
    ) -> None:
        self.length: int | str = UNKNOWN_LENGTH if source.size is None else source.size
        self.produced = 0
        self._source = source
        self._run = run
        self._moved = moved
        self._digests = {algorithm: new_digest(algorithm) for algorithm in algorithms}
        self._at_end = False
        self._paused: Deferred[None] | None = None
        self._reading: Deferred[bytes] | None = None
        self._stopped = False

    @property
    def complete(self) -> bool:
        return self._at_end or self.produced == self.length

    @property
    def digests(self) -> Mapping[str, str]:
        return {algorithm: digest.hexdigest() for algorithm, digest in self._digests.items()}

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the bytes to `consumer`. Fails with LocalFileError; never fires after stopProducing."""
        finished: Deferred[None] = Deferred(lambda _: self.stopProducing())

        def ended(result: object) -> None:
            if not self._stopped:
                self._stopped = True
                finished.callback(None)

        def failed(failure: Failure) -> None:
            if self._stopped:
                log.debug("Reading {name} failed after the end: {failure}", name=self._source.name, failure=failure)
            else:
                self._stopped = True
                finished.errback(failure)

        Deferred.fromCoroutine(self._produce(consumer)).addCallbacks(ended, failed)
        return finished

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """End after the current block, and cancel the read that is under way. May be called several times."""
        self._stopped = True
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            reading.addErrback(lambda failure: None)
        self.resumeProducing()

    async def _produce(self, consumer: IConsumer) -> None:
        self._reading = self._source.read(0)
        while block := await self._next():
            # Read the next block meanwhile, but do not wait for it before this one is sent.
            self._reading = self._source.read(self.produced + len(block))
            # Digest the block before it is sent: the server may answer as soon as it has the last byte.
            await gather_or_cancel([self._run(digest.update, block) for digest in self._digests.values()])
            while self._paused is not None:
                await self._paused
            if self._stopped:
                return
            self.produced += len(block)
            consumer.write(block)
            self._moved(self.produced)
        if self._stopped:
            return
        if self.length not in (UNKNOWN_LENGTH, self.produced):
            raise LocalFileError(self._source.name, f"ended after {self.produced} of {self.length} bytes")
        self._at_end = True

    async def _next(self) -> bytes:
        """Wait for the block that is being read. Returns b"" at the end, and after stopProducing."""
        reading = self._reading
        block = b"" if reading is None else await reading
        if self._reading is reading:
            self._reading = None
        return b"" if self._stopped else block
