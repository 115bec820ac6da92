"""Sending a file as the data of an image."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from imgsvc.client.connections import UploadConnection
from imgsvc.client.digests import DIGEST_FIELDS, MD5, SHA512, new_digest
from imgsvc.client.errors import Broken, LocalFileError, VerificationFailed
from imgsvc.client.files import Runner, ThreadedFile
from imgsvc.client.session import Session
from imgsvc.client.together import together
from imgsvc.client.view import ImageView

log = txaio.make_logger()

BLOCK: Final = 1024 * 1024
COMMIT_LIMIT: Final = 600.0
"""Seconds that the server may take for its answer after the last byte: it makes the bytes durable first."""


@implementer(IBodyProducer)
class FileProducer:
    """Produces a file, reading in threads, and computes digests of what it produces.

    Holds one block and the one after it. file: stays the caller's, who closes it when the transfer
    is over. length: bytes to produce. run: where digests are computed. moved: called with the bytes produced so
    far. digests: hex by algorithm, whole once the Deferred of startProducing has fired.
    """

    def __init__(
        self,
        file: ThreadedFile,
        length: int,
        run: Runner,
        algorithms: Iterable[str] = (MD5, SHA512),
        moved: Callable[[int], None] = lambda produced: None,
    ) -> None:
        self.length = length
        self._file = file
        self._run = run
        self._moved = moved
        self._digests = {algorithm: new_digest(algorithm) for algorithm in algorithms}
        self._paused: Deferred[None] | None = None
        self._stopped = False

    @property
    def digests(self) -> Mapping[str, str]:
        return {algorithm: digest.hexdigest() for algorithm, digest in self._digests.items()}

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the file to `consumer`. Fails with LocalFileError; never fires after stopProducing."""
        finished: Deferred[None] = Deferred(lambda _: self.stopProducing())

        def produced(result: object) -> None:
            if not self._stopped:
                self._stopped = True
                finished.callback(None)

        def failed(failure: Failure) -> None:
            if self._stopped:
                log.debug("Reading {path} failed after the end: {failure}", path=self._file.path, failure=failure)
            else:
                self._stopped = True
                finished.errback(failure)

        Deferred.fromCoroutine(self._produce(consumer)).addCallbacks(produced, failed)
        return finished

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """End after what is under way. Any number of times."""
        self._stopped = True
        self.resumeProducing()

    async def _produce(self, consumer: IConsumer) -> None:
        offset = 0
        block = await self._read(offset)
        while block and not self._stopped:
            # Before it is written: the server may answer the moment that it has the last byte.
            digesting = [self._run(digest.update, block) for digest in self._digests.values()]
            following, *_ = await together([self._read(offset + len(block)), *digesting])
            while self._paused is not None:
                await self._paused
            if self._stopped:
                return
            offset += len(block)
            consumer.write(block)
            self._moved(offset)
            block = following
        if offset != self.length and not self._stopped:
            raise LocalFileError(self._file.path, f"ended after {offset} of {self.length} bytes")

    def _read(self, offset: int) -> Deferred[bytes]:
        return self._file.read(offset, min(BLOCK, self.length - offset))


class _Watch:
    """Ends an upload whose bytes do not move."""

    def __init__(self, clock: IReactorTime, limit: float, stalled: Callable[[], None]) -> None:
        self._call: IDelayedCall = clock.callLater(limit, stalled)

    def allow(self, seconds: float) -> None:
        if self._call.active():
            self._call.reset(seconds)

    def stop(self) -> None:
        if self._call.active():
            self._call.cancel()


async def send(
    session: Session,
    path: str,
    producer: IBodyProducer,
    *,
    headers: Mapping[str, str],
    reactor: Any,
) -> None:
    """PUT a producer's bytes to a data path (`/v2/images/ID/file`).

    An answer that comes before all bytes were sent is read, and ends the sending. Raises Refused, Broken,
    Unreachable, and what the producer fails with.
    """
    connection = UploadConnection(reactor)
    stalled = False

    def give_up() -> None:
        nonlocal stalled
        stalled = True
        connection.abort()

    watch = _Watch(session.clock, session.stall_limit, give_up)
    watched = _WatchedProducer(producer, watch, session.stall_limit)
    try:
        response = await session.request(
            "PUT",
            path,
            headers={"Content-Type": "application/octet-stream", "Accept": "application/json", **headers},
            agent=connection.agent,
            answer_limit=0,
            data=watched,
        )
        if not 200 <= response.code < 300:
            raise await session.refusal(response)
        if not watched.all_written:
            raise Broken("The server said that it has the image before all of it was sent.")
    except Broken as problem:
        if not stalled:
            raise
        raise Broken(f"The server took nothing for {session.stall_limit:.0f} seconds.") from problem
    finally:
        watch.stop()
        watched.stopProducing()
        connection.abort()


@implementer(IBodyProducer)
class _WatchedProducer:
    """Passes on to a producer, and tells a watch whenever its bytes moved.

    A producer may find out that it is at its end only when the server has had all bytes and has answered, so
    they are counted: all_written is true when nothing is missing.
    """

    def __init__(self, producer: IBodyProducer, watch: _Watch, stall_limit: float) -> None:
        self.length = producer.length
        self._written = 0
        self._finished = False
        self._consumer: IConsumer | None = None
        self._producer = producer
        self._watch = watch
        self._stall_limit = stall_limit

    @property
    def all_written(self) -> bool:
        return self._finished or self._written == self.length

    def write(self, data: bytes) -> None:
        """What the producer writes."""
        self._written += len(data)
        if self._consumer is not None:
            self._consumer.write(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        def finished(result: None) -> None:
            self._finished = True
            self._watch.allow(COMMIT_LIMIT)

        self._watch.allow(self._stall_limit)
        self._consumer = consumer
        sending: Deferred[None] = self._producer.startProducing(self)
        return sending.addCallback(finished)

    def pauseProducing(self) -> None:
        self._watch.allow(self._stall_limit)
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self._watch.allow(self._stall_limit)
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._producer.stopProducing()


def upload_headers(size: int | None, store: str | None, digests: Mapping[str, str]) -> dict[str, str]:
    """The headers that tell the server beforehand what will come. digests: hex by hashlib's name."""
    headers: dict[str, str] = {}
    if size is not None:
        headers["X-OpenStack-Image-Size"] = str(size)
    if store is not None:
        headers["X-Image-Meta-Store"] = store
    known = [
        f"{DIGEST_FIELDS[algorithm]}=:{base64.b64encode(bytes.fromhex(value)).decode('ascii')}:"
        for algorithm, value in digests.items()
        if algorithm in DIGEST_FIELDS
    ]
    if known:
        headers["Repr-Digest"] = ", ".join(known)
    return headers


def check_upload(image: ImageView, size: int, digests: Mapping[str, str]) -> None:
    """Raise VerificationFailed unless what the server stored is what was sent: size and every digest known here."""
    if image.size != size:
        raise VerificationFailed(image.id, "size", image.size, size)
    if image.os_hash_algo and image.os_hash_value and image.os_hash_algo in digests:
        _compare(image, image.os_hash_algo, image.os_hash_value, digests)
    if MD5 in digests and image.checksum:
        _compare(image, MD5, image.checksum, digests)


def _compare(image: ImageView, algorithm: str, expected: str, digests: Mapping[str, str]) -> None:
    if expected.lower() != digests[algorithm]:
        raise VerificationFailed(image.id, algorithm, expected, digests[algorithm])
