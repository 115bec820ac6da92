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
from imgsvc.producers import PushProducer

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
class DigestingProducer(PushProducer):
    """Produces the bytes of a source, and computes digests of what it produces.

    It holds one block and the next one.

    source: a Source. run: a Runner, which computes the digests. algorithms: hashlib's names. moved: called with the
    number of bytes produced so far.

    length: bytes to produce, or UNKNOWN_LENGTH. produced: bytes so far. complete: whether that is all. digests: hex
    strings by algorithm, of what was produced.
    """

    registers = False
    tells_of_stop = False

    def __init__(
        self,
        source: Source,
        run: Runner,
        algorithms: Iterable[str] = (MD5, SHA512),
        moved: Callable[[int], None] = lambda produced: None,
    ) -> None:
        super().__init__()
        self.length: int | str = UNKNOWN_LENGTH if source.size is None else source.size
        self.produced = 0
        self._source = source
        self._run = run
        self._moved = moved
        self._digests = {algorithm: new_digest(algorithm) for algorithm in algorithms}
        self._at_end = False
        self._reading: Deferred[bytes] | None = None
        self._preparing = False
        self._ready: bytes | None = None

    @property
    def complete(self) -> bool:
        return self._at_end or self.produced == self.length

    @property
    def digests(self) -> Mapping[str, str]:
        return {algorithm: digest.hexdigest() for algorithm, digest in self._digests.items()}

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See PushProducer. Fails with LocalFileError."""
        return super().startProducing(consumer)

    def _begin(self) -> None:
        self._reading = self._source.read(0)
        self._advance()

    def _next(self) -> bytes | None:
        block, self._ready = self._ready, None
        if block is not None:
            self.produced += len(block)
        return block

    def _wrote(self, size: int) -> None:
        self._moved(self.produced)

    def _is_over(self) -> bool:
        return self._at_end

    def _fetch(self) -> bool:
        """Begin to read and digest the next block, unless one is under way or waits to be sent."""
        if self._preparing or self._ready is not None or self._at_end:
            return False
        self._preparing = True
        Deferred.fromCoroutine(self._prepare()).addCallbacks(self._prepared, self._failed)
        return not self._preparing

    async def _prepare(self) -> bytes:
        """Wait for the next block and digest it. Returns b"" at the end.

        A block is digested before it is sent: the server may answer as soon as it has the last byte.
        """
        reading = self._reading
        assert reading is not None
        block = await reading
        if self._consumer is None or not block:
            self._reading = None
            return b""
        # Read the next block meanwhile, but do not wait for it before this one is sent.
        self._reading = self._source.read(self.produced + len(block))
        await gather_or_cancel([self._run(digest.update, block) for digest in self._digests.values()])
        return block

    def _prepared(self, block: bytes) -> None:
        self._preparing = False
        if self._consumer is None:
            return
        if block:
            self._ready = block
        elif self.length in (UNKNOWN_LENGTH, self.produced):
            self._at_end = True
        else:
            fault = f"ended after {self.produced} of {self.length} bytes"
            self._end(Failure(LocalFileError(self._source.name, fault)))
        self._advance()

    def _failed(self, failure: Failure) -> None:
        self._preparing = False
        if self._consumer is None:
            log.debug("Reading {name} failed after the end: {failure}", name=self._source.name, failure=failure)
        else:
            self._end(failure)

    def _clear(self) -> None:
        """Drop the current block, and cancel the read that is under way."""
        self._ready = None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            reading.addErrback(lambda failure: None)
