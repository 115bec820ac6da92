"""Sends the bytes of an upload, and reads a refusal that comes before the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from imgsvc.client.errors import TransferInterrupted
from imgsvc.client.session import Session

COMMIT_LIMIT: Final = 600.0
"""Seconds that the server may take for its answer after the last byte. It writes the bytes to the disk first."""


class _Watch:
    """Ends an upload when the server takes too long.

    Time in which the client waits for its own source does not count.
    """

    def __init__(self, clock: IReactorTime, limit: float, stalled: Callable[[], None]) -> None:
        self._clock = clock
        self._stalled = stalled
        self._over = False
        self._call: IDelayedCall | None = None
        self.allow(limit)

    def allow(self, seconds: float) -> None:
        """Give the server a time limit, in seconds from now."""
        self.hold()
        if not self._over:
            self._call = self._clock.callLater(seconds, self._run_out)

    def hold(self) -> None:
        """Stop the time, because the client waits for its own source."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def stop(self) -> None:
        """End the watch. May be called several times."""
        self._over = True
        self.hold()

    def _run_out(self) -> None:
        self._call = None
        self._stalled()


async def send(
    session: Session,
    path: str,
    producer: IBodyProducer,
    *,
    headers: Mapping[str, str],
) -> None:
    """PUT the bytes of a producer to the data of an image.

    path: `/v2/images/ID/file`. producer: an IBodyProducer. headers: strings by name, sent beside those of the session.

    An answer that comes before all bytes were sent is read, and ends the sending. Raises RequestRefused,
    TransferInterrupted, Unreachable, and what the producer fails with.
    """
    connection = session.transport.upload_connection()
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
            raise TransferInterrupted("The server answered that the upload is complete before all of it was sent.")
    except TransferInterrupted as problem:
        if not stalled:
            raise
        raise TransferInterrupted(f"The server took nothing for {session.stall_limit:.0f} seconds.") from problem
    finally:
        watch.stop()
        watched.stopProducing()
        connection.abort()


@implementer(IBodyProducer)
class _WatchedProducer:
    """Passes calls on to a producer, and tells a watch when its bytes move.

    It counts the bytes, because the server may have answered before the producer finds out that it is at its end.
    all_written: whether all bytes were written.
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
        """Called by the producer."""
        self._written += len(data)
        if self._consumer is not None:
            self._consumer.write(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        def finished(result: None) -> None:
            self._finished = True
            self._watch.allow(COMMIT_LIMIT)

        self._watch.hold()
        self._consumer = consumer
        sending: Deferred[None] = self._producer.startProducing(self)
        return sending.addCallback(finished)

    def pauseProducing(self) -> None:
        if not self._finished:
            self._watch.allow(self._stall_limit)
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._finished:
            self._watch.hold()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._producer.stopProducing()
